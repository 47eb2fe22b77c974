"""Defines the settings of a cookie rule, as the user wrote them."""

from dataclasses import dataclass
from typing import Final, Literal

from corsproxy.policy.source import SourcePos

SameSite = Literal["strict", "lax", "none"]

KEEP: Final = "keep"
REMOVE: Final = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSpec:
    """How to rewrite the cookies whose name matches `name` (cors.md 60).

    `name`: case-sensitive; `*` matches any characters, including none. `domain`: "keep", "remove", or
    the value that replaces that of a Domain attribute (a cookie without one stays a cookie of its
    host). `path`: pairs of the upstream's prefix and the public one. For flags, True adds the
    attribute, False removes it, None leaves it unchanged.
    """

    name: str = "*"
    domain: str = KEEP
    path: tuple[tuple[str, str], ...] = ()
    secure: bool | None = None
    http_only: bool | None = None
    same_site: SameSite | None = None
    partitioned: bool | None = None
    pos: SourcePos | None = None
