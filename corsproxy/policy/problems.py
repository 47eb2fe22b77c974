"""Defines the problems that checks find in a configuration, and their kinds.

Each module that checks settings has one table of its kinds, `KINDS`. A check only returns problems;
the function that compiles a spec reports them and rejects a spec with errors (`require_sound`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from corsproxy.policy.printable import printable
from corsproxy.policy.source import SourcePos

Severity = Literal["error", "warning"]

# The position of a spec that was built in code, not read from a file.
NOWHERE: Final = SourcePos("", 0, 0)

LONGEST_VALUE: Final = 80
LONGEST_MESSAGE: Final = 320

# Values that are text of this program, such as a list of keys: a message with one is never cut.
_OWN_TEXTS: Final = frozenset({"advice", "choices", "description", "reason", "what", "where"})

# A value that was checked is shown in full, so that its fault is visible; the message is cut instead.
_CHECKED: Final = frozenset({"value", "detail"})

_MASKED: Final = "a value that is not shown"
_CORRECT_THE_VARIABLE: Final = "correct the environment variable in {value}"


class ProblemKind(NamedTuple):
    """One kind of problem.

    `id` is stable: "E012" is an error, "W004" a warning; the id of a removed kind is not reused.
    `slug` is its name. `message` and `advice` contain {placeholders} for values; `why` is for
    `check --explain`.
    """

    id: str
    slug: str
    message: str
    advice: str
    why: str = ""

    @property
    def severity(self) -> Severity:
        """Whether the configuration is unusable (error) or only doubtful (warning)."""
        return "error" if self.id.startswith("E") else "warning"

    def at(self, pos: SourcePos | None, **values: object) -> "Problem":
        """Return a problem of this kind at `pos`, with `values` for the placeholders in its texts."""
        texts = {name: str(value) for name, value in values.items()}
        return Problem(self, pos or NOWHERE, texts)


class Problem(NamedTuple):
    """One problem in a configuration.

    `pos` is `NOWHERE` for specs that were built in code. `values` are as the user wrote them; texts
    show them escaped, so that a message is one line, and shortened, so that it is readable. `width`
    is the number of characters to underline, `line` the line of the file that `pos` points at.
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
        """The stable id of the kind."""
        return self.kind.id

    @property
    def slug(self) -> str:
        """The name of the kind."""
        return self.kind.slug

    @property
    def severity(self) -> Severity:
        """The severity of the kind."""
        return self.kind.severity

    @property
    def message(self) -> str:
        """What is wrong, with which value."""
        return self._filled(self.kind.message)

    @property
    def advice(self) -> str:
        """How to fix it."""
        return self._filled(self.kind.advice)

    def masked(self, reference: str) -> "Problem":
        """Return the problem with its secret values replaced by `reference`.

        `reference` is what the file contains, such as `${NAME}`.
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
    """Return `text`, with its middle cut out if it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 20]}…{text[-19:]}"


def by_slug(*kinds: ProblemKind) -> Mapping[str, ProblemKind]:
    """Return a table of `kinds` by their slugs."""
    return {kind.slug: kind for kind in kinds}


Report = Callable[[Problem], None]


class BadSpec(ValueError):  # noqa: N818 - the name is what is bad
    """A spec has errors and is not compiled; `problem` is the first one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def ignore(_: Problem) -> None:
    """Drop the problem: for specs that are built in code, whose errors are exceptions."""


def require_sound(problems: Iterable[Problem], report: Report) -> None:
    """Report each of `problems`; then raise `BadSpec` if one of them is an error."""
    first: Problem | None = None
    for problem in problems:
        report(problem)
        if first is None and problem.severity == "error":
            first = problem
    if first is not None:
        raise BadSpec(first)
