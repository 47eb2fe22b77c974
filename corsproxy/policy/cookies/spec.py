"""A route's cookie settings as a user wrote them. Knows neither checks nor bytes."""

from dataclasses import dataclass
from typing import Final, Literal

from corsproxy.policy.source import SourcePos

SameSite = Literal["strict", "lax", "none"]

KEEP: Final = "keep"
REMOVE: Final = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieSpec:
    """What becomes of the cookies whose name fits `name` (cors.md 60).

    `name`: a `*` stands for any characters, none included; names are case-sensitive. `domain`:
    "keep", "remove", or the value that takes the place of a Domain attribute (a cookie without one
    stays with its host). `path`: from an upstream's prefix to the public one. True puts an
    attribute there, False takes it away, None leaves it.
    """

    name: str = "*"
    domain: str = KEEP
    path: tuple[tuple[str, str], ...] = ()
    secure: bool | None = None
    http_only: bool | None = None
    same_site: SameSite | None = None
    partitioned: bool | None = None
    pos: SourcePos | None = None
