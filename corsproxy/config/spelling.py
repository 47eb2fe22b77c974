"""Finds the known word that is closest to a misspelt one."""

from collections.abc import Iterable
from typing import Final

_LONGEST: Final = 64


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the word of `known` that `word` most likely means, or None.

    Case, `-` and `_` are ignored; beyond that, a third of the letters may be wrong.
    """
    if len(word) > _LONGEST:
        return None
    plain = _plain(word)
    best: tuple[int, str] | None = None
    for candidate in known:
        other = _plain(candidate)
        allowed = max(len(plain), len(other)) // 3
        if abs(len(plain) - len(other)) > allowed:
            continue
        distance = 0 if plain == other else _distance(plain, other)
        if distance <= allowed and (best is None or distance < best[0]):
            best = (distance, candidate)
    return None if best is None else best[1]


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _distance(one: str, other: str) -> int:
    """Return the edit distance: letters added, removed, changed or swapped with their neighbour."""
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            cost = min(
                above[column] + 1,
                current[column - 1] + 1,
                above[column - 1] + (letter != wanted),
            )
            swapped = row > 1 and column > 1 and letter == other[column - 2]
            if swapped and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return above[-1]
