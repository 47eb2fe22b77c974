"""A problem of a configuration and the four ways to print it. Knows words and carets, no rules."""

import unicodedata
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from corsproxy.config.problems.catalogue import ENTRIES
from corsproxy.policy.printable import json_text, printable
from corsproxy.policy.problems import Severity
from corsproxy.policy.source import SourcePos

Format = Literal["full", "concise", "json", "github"]

# So many problems have one cause or two; the first show it.
MOST_PROBLEMS: Final = 200

_EXCERPT: Final = 100
LONGEST_VALUE: Final = 80
LONGEST_MESSAGE: Final = 320

# Parts of messages that are this program's own words, and so are never cut.
_OWN_WORDS: Final = frozenset({"advice", "choices", "description", "reason", "what", "where"})


class Problem(NamedTuple):
    """One thing wrong with a file.

    `id` is stable ("E012": an error, "W004": a warning); `slug` is its name. `width` is how many
    characters the caret underlines; `line` is the line of the file that `pos` points at.
    """

    id: str
    slug: str
    pos: SourcePos
    message: str
    advice: str
    width: int = 1
    line: str = ""

    @property
    def severity(self) -> Severity:
        """Whether the configuration cannot be used ("error") or only should not be so."""
        return "error" if self.id.startswith("E") else "warning"


def problem(slug: str, pos: SourcePos, width: int = 1, **values: object) -> Problem:
    """Return the problem `slug` of the catalogue, with `values` in its words.

    Values are escaped, so that a message stays one line, and cut, so that it stays readable.
    """
    entry = ENTRIES[slug]
    shown = {
        name: (str if name in _OWN_WORDS else shorten)(printable(str(value)))
        for name, value in values.items()
    }
    return Problem(
        id=entry.id,
        slug=slug,
        pos=pos,
        message=entry.message.format(**shown),
        advice=entry.advice.format(**shown),
        width=width,
    )


def shorten(text: str, longest: int = LONGEST_VALUE) -> str:
    """Return `text`, cut in the middle where it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 20]}…{text[-19:]}"


class TooMany(Exception):  # noqa: N818 - enough was found to stop reading
    """More problems were found than anybody reads, errors among them."""


class Unreadable(Exception):  # noqa: N818 - it carries a problem, and is no fault of the program
    """Nothing after this `problem` can be read."""

    def __init__(self, fault: Problem) -> None:
        super().__init__(fault.message)
        self.problem = fault


class Found:
    """The problems of one file while it is read: each once, and not more than anybody reads."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: dict[Problem, None] = {}
        self._silent: set[SourcePos] = set()
        self._left_out = False

    def silence(self, pos: SourcePos) -> None:
        """Add nothing more about a value that could not be made out: it would be a guess."""
        self._silent.add(pos)

    def add(self, item: Problem) -> None:
        """Keep a problem; raise `TooMany` for an error too many. Warnings are left out silently."""
        if item.pos in self._silent:
            return
        if item not in self._problems and len(self._problems) >= MOST_PROBLEMS:
            self._left_out = True
            if item.severity == "error":
                raise TooMany
            return
        self._problems[item] = None

    @property
    def has_errors(self) -> bool:
        """Whether anything found so far forbids the configuration."""
        return any(item.severity == "error" for item in self._problems)

    def in_order(self, lines: Sequence[str]) -> tuple[Problem, ...]:
        """Return the problems in the order of the file, with the line each points at."""
        placed = sorted(self._problems, key=lambda item: item.pos)
        if self._left_out:
            end = SourcePos(self._file, max(1, len(lines)), 1)
            placed.append(problem("problems_left_out", end, count=MOST_PROBLEMS))
        return tuple(
            item._replace(line=lines[item.pos.line - 1] if item.pos.line <= len(lines) else "")
            for item in placed
        )


def format_problems(problems: Sequence[Problem], style: Format) -> str:
    """Return `problems` as text, the last line ended; nothing for none (JSON: an empty list)."""
    if style == "json":
        return json_text([_as_json(item) for item in problems]) + "\n"
    write = {"full": _full, "concise": concise, "github": _github}[style]
    return "".join(f"{write(item)}\n" for item in problems)


def concise(item: Problem) -> str:
    """Return one line: `FILE:LINE:COLUMN: E012 message`."""
    return f"{item.pos}: {item.id} {item.message}"


def _full(item: Problem) -> str:
    """Return the message, the line with a caret under the fault, and what to do instead."""
    gutter = " " * len(str(item.pos.line))
    shown = [
        f"{item.severity}[{item.id}]: {item.message}",
        *excerpt(item.pos, item.line, item.width),
        f"{gutter} = help: {item.advice}",
        "",
    ]
    return "\n".join(shown)


def excerpt(pos: SourcePos, line: str, width: int) -> list[str]:
    """Return lines that show `pos`: its `line` of the file, `width` characters underlined."""
    number = str(pos.line)
    gutter = " " * len(number)
    text, start = _around(line, pos.column - 1)
    shown = [f"{gutter}--> {pos}"]
    if text.strip():
        # Never beyond the line; a value that goes on over several lines is marked on its first.
        width = max(1, min(width, len(text) - start))
        carets = "^" * max(1, _cells(text[start : start + width]))
        shown += [
            f"{gutter} |",
            f"{number} | {text}",
            f"{gutter} | {_blank(text[:start])}{carets}",
        ]
    return shown


def _around(line: str, start: int) -> tuple[str, int]:
    """Return the part of `line` around `start` that fits, and where `start` is in it."""
    visible = "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)
    begin = max(0, start - _EXCERPT // 2) if len(visible) > _EXCERPT else 0
    return visible[begin : begin + _EXCERPT].rstrip(), start - begin


def _blank(text: str) -> str:
    """Return white space as wide as `text` on a terminal; tabs stay tabs."""
    return "".join("\t" if char == "\t" else " " * _cells(char) for char in text)


def _cells(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _as_json(item: Problem) -> dict[str, str | int]:
    return {
        "id": item.id,
        "name": item.slug,
        "severity": item.severity,
        "file": item.pos.file,
        "line": item.pos.line,
        "column": item.pos.column,
        "message": item.message,
        "advice": item.advice,
    }


def _github(item: Problem) -> str:
    """Return a workflow command that marks the line in a pull request."""
    where = f"file={_property(item.pos.file)},line={item.pos.line},col={item.pos.column}"
    data = _data(f"{item.message}; {item.advice}")
    return f"::{item.severity} {where},title={item.id}::{data}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
