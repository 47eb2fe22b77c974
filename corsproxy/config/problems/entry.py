"""One kind of problem, as the tables of this package hold it. Knows no particular one."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One kind of problem. `message` and `advice` hold {names} of values, `why` is for reading."""

    id: str
    message: str
    advice: str
    why: str
