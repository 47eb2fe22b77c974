"""Collects the problems of one file while it is read: each once, up to a limit, in its order."""

from collections.abc import Sequence
from typing import Final

from corsproxy.config.problems.index import BY_SLUG
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourcePos

# So many problems have one cause or two; the first show it.
MOST_PROBLEMS: Final = 200


def problem(slug: str, pos: SourcePos, width: int = 1, **values: object) -> Problem:
    """Return a problem of the kind `slug` at `pos`, which `width` characters of the file belong to."""
    return BY_SLUG[slug].at(pos, **values)._replace(width=width)


class TooMany(Exception):  # noqa: N818 - enough was found to stop reading
    """More problems were found than anybody reads, errors among them."""


class Unreadable(Exception):  # noqa: N818 - it carries a problem, and is no fault of the program
    """Nothing after this `problem` can be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Found:
    """The problems of one file while it is read: each once, and not more than anybody reads."""

    def __init__(self, file: str) -> None:
        self._file = file
        # By what is printed of them: what differs in other values only is the same problem.
        self._problems: dict[tuple[SourcePos, str, str, str], Problem] = {}
        self._silent: set[SourcePos] = set()
        self._left_out = False

    def silence(self, pos: SourcePos) -> None:
        """Ignore further problems at `pos`, whose value is not known: they would be a guess."""
        self._silent.add(pos)

    def add(self, item: Problem) -> None:
        """Add a problem; above the limit raise `TooMany` for an error and leave a warning out."""
        if item.pos in self._silent:
            return
        key = (item.pos, item.id, item.message, item.advice)
        if key not in self._problems and len(self._problems) >= MOST_PROBLEMS:
            self._left_out = True
            if item.severity == "error":
                raise TooMany
            return
        self._problems.setdefault(key, item)

    @property
    def has_errors(self) -> bool:
        """Whether the configuration cannot be used."""
        return any(item.severity == "error" for item in self._problems.values())

    def in_order(self, lines: Sequence[str]) -> tuple[Problem, ...]:
        """Return the problems in the order of the file, with the line each points at."""
        placed = sorted(self._problems.values(), key=lambda item: item.pos)
        if self._left_out:
            end = SourcePos(self._file, max(1, len(lines)), 1)
            placed.append(problem("problems_left_out", end, count=MOST_PROBLEMS))
        return tuple(
            item._replace(line=lines[item.pos.line - 1] if item.pos.line <= len(lines) else "")
            for item in placed
        )
