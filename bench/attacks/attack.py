"""One attack: its name, its number in the list of findings, and the function that runs it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bench.attacks.claims import Claim
from bench.attacks.product import Scene


class Attack(NamedTuple):
    """One reproduction. `rule` is the rule that it tries to break, `run` returns the measurements."""

    name: str
    rule: str
    title: str
    run: Callable[[Scene], Awaitable[list[Claim]]]
