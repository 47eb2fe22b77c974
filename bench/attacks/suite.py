"""Lists all attacks, in the order of the list of findings, and selects some by name or number."""

from typing import Final

from bench.attacks import (
    addresses,
    excess,
    gathered,
    local,
    paused,
    pipelining,
    remembered,
    resolver,
    silence,
    smuggling,
    spelling,
    tunnels,
    unread,
)
from bench.attacks.attack import Attack

_MODULES: Final = (
    *(smuggling, unread, paused, pipelining, silence, resolver, tunnels, gathered, remembered),
    *(spelling, local, excess, addresses),
)


def _number(attack: Attack) -> int:
    return int(attack.name.partition("-")[0])


SUITE: Final = tuple(
    sorted((attack for module in _MODULES for attack in module.ATTACKS), key=_number)
)


def chosen(names: list[str]) -> list[Attack]:
    """Return the attacks with these names or numbers; all if there are none. Raises KeyError."""
    for name in names:
        if not any(name in (attack.name, str(_number(attack))) for attack in SUITE):
            raise KeyError(name)
    return [
        attack
        for attack in SUITE
        if not names or attack.name in names or str(_number(attack)) in names
    ]
