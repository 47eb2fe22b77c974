"""Prints problems in one of four formats: with an excerpt, one line each, as JSON, for GitHub."""

import unicodedata
from collections.abc import Sequence
from typing import Final, Literal

from corsproxy.policy.printable import json_text
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourcePos

Format = Literal["full", "concise", "json", "github"]

_EXCERPT: Final = 100


def format_problems(problems: Sequence[Problem], style: Format) -> str:
    """Return `problems` as text that ends in a newline; "" if there are none (JSON: an empty list)."""
    if style == "json":
        return json_text([_as_json(item) for item in problems]) + "\n"
    write = {"full": _full, "concise": concise, "github": _github}[style]
    return "".join(f"{write(item)}\n" for item in problems)


def concise(item: Problem) -> str:
    """Return one line: `FILE:LINE:COLUMN: E012 message`."""
    return f"{item.pos}: {item.id} {item.message}"


def _full(item: Problem) -> str:
    """Return the message, an excerpt with a caret under the fault, and the advice."""
    gutter = " " * len(str(item.pos.line))
    shown = [
        f"{item.severity}[{item.id}]: {item.message}",
        *excerpt(item.pos, item.line, item.width),
        f"{gutter} = help: {item.advice}",
        "",
    ]
    return "\n".join(shown)


def excerpt(pos: SourcePos, line: str, width: int) -> list[str]:
    """Return lines that show `line` of the file with `width` characters underlined at `pos`."""
    number = str(pos.line)
    gutter = " " * len(number)
    text, start = _around(line, pos.column - 1)
    shown = [f"{gutter}--> {pos}"]
    if text.strip():
        # Never beyond the line: a value of several lines is underlined on its first.
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
    """Return white space as wide as `text` on a terminal; tabs are kept."""
    return "".join("\t" if char == "\t" else " " * _cells(char) for char in text)


def _cells(text: str) -> int:
    """Return how many terminal columns `text` occupies."""
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
