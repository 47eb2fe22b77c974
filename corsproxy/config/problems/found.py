"""Collects the problems of one file: without duplicates, up to a limit, in the order of the file."""

from collections.abc import Sequence
from typing import Final

from corsproxy.config.problems.index import BY_SLUG
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourcePos

# So many problems usually have one cause, which the first ones show.
MOST_PROBLEMS: Final = 200


def problem(slug: str, pos: SourcePos, width: int = 1, **values: object) -> Problem:
    """Return a problem of the kind `slug` at `pos`, with `width` characters underlined."""
    return BY_SLUG[slug].at(pos, **values)._replace(width=width)


class TooMany(Exception):  # noqa: N818 - control flow: reading stops
    """The limit of problems is reached, and one more error was found."""


class Unreadable(Exception):  # noqa: N818 - it carries a problem of the file, it is not a bug
    """The file cannot be read beyond this `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Found:
    """The problems found in one file so far, each once and at most `MOST_PROBLEMS`."""

    def __init__(self, file: str) -> None:
        self._file = file
        # By what is printed: problems that differ only in other values are the same.
        self._problems: dict[tuple[SourcePos, str, str, str], Problem] = {}
        self._silent: set[SourcePos] = set()
        self._left_out = False

    def silence(self, pos: SourcePos) -> None:
        """Ignore further problems at `pos`, whose value is unknown: they would be guesses."""
        self._silent.add(pos)

    def add(self, item: Problem) -> None:
        """Add a problem; above the limit, raise `TooMany` for an error and drop a warning."""
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
        """Return the problems in the order of the file, each with the line it points at."""
        placed = sorted(self._problems.values(), key=lambda item: item.pos)
        if self._left_out:
            end = SourcePos(self._file, max(1, len(lines)), 1)
            placed.append(problem("problems_left_out", end, count=MOST_PROBLEMS))
        return tuple(
            item._replace(line=lines[item.pos.line - 1] if item.pos.line <= len(lines) else "")
            for item in placed
        )
