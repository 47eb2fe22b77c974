"""What is wrong with a setting: a value with its place and words. Knows no particular setting.

Each module that checks settings keeps one table of `Words` by slug; a `Finding` is made from a row.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from corsproxy.policy.printable import printable
from corsproxy.policy.source import SourcePos

Severity = Literal["error", "warning"]


class Words(NamedTuple):
    """How a finding is said: `message` and `suggestion` may hold {value} and {detail}."""

    severity: Severity
    message: str
    suggestion: str


class Finding(NamedTuple):
    """One thing wrong: what (`slug` is stable), with which value, where, and what to do instead."""

    slug: str
    severity: Severity
    pos: SourcePos | None
    value: str
    message: str
    suggestion: str

    def __str__(self) -> str:
        """Return one line: place, severity, message, suggestion."""
        where = f"{self.pos}: " if self.pos else ""
        return f"{where}{self.severity}: {self.message}; {self.suggestion}"


def find(
    table: Mapping[str, Words],
    slug: str,
    value: str,
    pos: SourcePos | None,
    detail: str = "",
) -> Finding:
    """Return the finding `slug` of `table`, its words filled with a value as it was written."""
    words = table[slug]
    shown = printable(value)
    return Finding(
        slug=slug,
        severity=words.severity,
        pos=pos,
        value=value,
        message=words.message.format(value=shown, detail=detail),
        suggestion=words.suggestion.format(value=shown, detail=detail),
    )
