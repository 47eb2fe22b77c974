"""Where in the configuration something was written. Knows no file system and no YAML."""

from typing import NamedTuple


class SourcePos(NamedTuple):
    """A position in a configuration file: `line` and `column` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class SourceText(NamedTuple):
    """One item of a list that a user wrote, with the place where it stands (None: built in code)."""

    text: str
    pos: SourcePos | None = None
