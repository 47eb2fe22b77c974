"""What an attack is: its name, its number in the list of findings, and how it is run."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bench.attacks.claims import Claim
from bench.attacks.product import Scene


class Attack(NamedTuple):
    """One reproduction. `rule` is what it breaks, `run` returns what was measured."""

    name: str
    rule: str
    title: str
    run: Callable[[Scene], Awaitable[list[Claim]]]
