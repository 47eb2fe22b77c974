"""Defines positions in the configuration."""

from typing import NamedTuple


class SourcePos(NamedTuple):
    """A position in a configuration file: `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class SourceText(NamedTuple):
    """A text from the configuration and its position; None if it was built in code."""

    text: str
    pos: SourcePos | None = None
