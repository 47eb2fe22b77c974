"""What pure functions returned for a value of the wire, remembered. Knows a bound, no particular value.

Peers choose the values, so both their number and their size are bounded: a memory without the
second bound keeps whatever a stranger once sent (forwarding.md O6). No other memory may hold bytes
of the wire between requests.
"""

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

# In bytes. What recurs is shorter: hosts, origins, addresses, field names.
LONGEST_REMEMBERED: Final = 128


class Memo(dict[bytes, T]):
    """A dictionary that asks `function` for what it does not have, and keeps `most` values.

    A look-up of what is remembered costs no call. A full one begins anew: whoever fills it on
    purpose costs a recomputation, and never memory.
    """

    __slots__ = ("function", "most")

    def __init__(self, function: Callable[[bytes], T], most: int) -> None:
        super().__init__()
        self.function = function
        self.most = most

    def __missing__(self, value: bytes) -> T:
        result = self.function(value)
        if len(value) <= LONGEST_REMEMBERED:
            if len(self) >= self.most:
                self.clear()
            self[value] = result
        return result


def remembered(most: int) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Remember up to `most` results of a pure function of one value of the wire (O6)."""

    def remember(function: Callable[[bytes], T]) -> Callable[[bytes], T]:
        return Memo(function, most).__getitem__

    return remember
