"""The kinds of problems a configuration can have, and the problems that checks find in one.

A module that checks settings contains one table of its kinds, `KINDS`. A check yields problems and
decides nothing; what compiles a spec reports them (`require_sound`) and refuses a spec with errors.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from corsproxy.policy.printable import printable
from corsproxy.policy.source import SourcePos

Severity = Literal["error", "warning"]

# The position of what was not written in a file: a spec that was built in code.
NOWHERE: Final = SourcePos("", 0, 0)

LONGEST_VALUE: Final = 80
LONGEST_MESSAGE: Final = 320

# Values that are this program's own text, such as a list of keys: a message with one is never cut.
_OWN_TEXTS: Final = frozenset({"advice", "choices", "description", "reason", "what", "where"})

# What a check looks at is shown whole, so that its fault is visible; the message is cut instead.
_CHECKED: Final = frozenset({"value", "detail"})

_MASKED: Final = "a value that is not shown"
_CORRECT_THE_VARIABLE: Final = "correct the variable of the environment behind {value}"


class ProblemKind(NamedTuple):
    """One kind of problem.

    `id` is stable: "E012" is an error, "W004" a warning, and the id of a kind that is gone stays
    unused. `slug` is its name. `message` and `advice` contain the {names} of values; `why` is for
    `check --explain`.
    """

    id: str
    slug: str
    message: str
    advice: str
    why: str = ""

    @property
    def severity(self) -> Severity:
        """Whether the configuration cannot be used ("error") or should not be ("warning")."""
        return "error" if self.id.startswith("E") else "warning"

    def at(self, pos: SourcePos | None, **values: object) -> "Problem":
        """Return a problem of this kind at `pos`, with `values` for the names in its texts."""
        texts = {name: str(value) for name, value in values.items()}
        return Problem(self, pos or NOWHERE, texts)


class Problem(NamedTuple):
    """One thing wrong with a configuration.

    `pos` is `NOWHERE` for specs that were built in code. `values` are as they were written; texts
    show them escaped, so that a message stays one line, and cut, so that it stays readable.
    `width` is how many characters of the file belong to it, `line` the line that `pos` points at.
    """

    kind: ProblemKind
    pos: SourcePos
    values: Mapping[str, str]
    width: int = 1
    line: str = ""

    def __str__(self) -> str:
        """Return one line: position, severity, message, advice."""
        where = "" if self.pos == NOWHERE else f"{self.pos}: "
        return f"{where}{self.severity}: {self.message}; {self.advice}"

    @property
    def id(self) -> str:
        """The stable id of its kind."""
        return self.kind.id

    @property
    def slug(self) -> str:
        """The name of its kind."""
        return self.kind.slug

    @property
    def severity(self) -> Severity:
        """The severity of its kind."""
        return self.kind.severity

    @property
    def message(self) -> str:
        """What is wrong, with which value."""
        return self._filled(self.kind.message)

    @property
    def advice(self) -> str:
        """What to write instead."""
        return self._filled(self.kind.advice)

    def masked(self, reference: str) -> "Problem":
        """Return the problem without its values, which are secret: `reference` replaces them.

        `reference` is what the file contains instead, such as `${NAME}`.
        """
        kind = self.kind._replace(advice=_CORRECT_THE_VARIABLE)
        return self._replace(kind=kind, values={"value": reference, "detail": _MASKED})

    def _filled(self, text: str) -> str:
        filled = text.format_map({name: _shown(name, self.values[name]) for name in self.values})
        return filled if _OWN_TEXTS & self.values.keys() else shorten(filled, LONGEST_MESSAGE)


def _shown(name: str, value: str) -> str:
    text = printable(value)
    return text if name in _OWN_TEXTS or name in _CHECKED else shorten(text, LONGEST_VALUE)


def shorten(text: str, longest: int) -> str:
    """Return `text`, cut in the middle if it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 20]}…{text[-19:]}"


def by_slug(*kinds: ProblemKind) -> Mapping[str, ProblemKind]:
    """Return a table of `kinds` by their slugs."""
    return {kind.slug: kind for kind in kinds}


Report = Callable[[Problem], None]


class BadSpec(ValueError):  # noqa: N818 - the name says what is bad
    """A spec has errors, so nothing is compiled from it; `problem` is the first of them."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def ignore(_: Problem) -> None:
    """Report nothing: for specs that are built in code, whose errors are exceptions."""


def require_sound(problems: Iterable[Problem], report: Report) -> None:
    """Report each of `problems`; raise `BadSpec` afterwards if one of them is an error."""
    first: Problem | None = None
    for problem in problems:
        report(problem)
        if first is None and problem.severity == "error":
            first = problem
    if first is not None:
        raise BadSpec(first)
