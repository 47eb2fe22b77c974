"""Defines the settings of a CORS policy, as the user wrote them.

`config.compile` builds a `PolicySpec` from the file, `check` validates it, `policy` compiles it.
"""

from dataclasses import dataclass
from typing import Literal

from corsproxy.policy.source import SourcePos, SourceText

PreflightStyle = Literal["full", "minimal"]
UpstreamCorsHeaders = Literal["strip", "keep", "merge"]
OnRefused = Literal["forward", "block"]
ResourcePolicy = Literal["cross-origin", "same-site", "same-origin"]

DEFAULT_METHODS = (SourceText("GET"), SourceText("HEAD"), SourceText("POST"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightSpec:
    """How the proxy responds to a preflight (cors.md 31, 35, 38)."""

    status: int = 204
    refused_status: int = 403
    style: PreflightStyle = "full"
    vary: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """The settings of one policy.

    `max_age` is in seconds; None omits Access-Control-Max-Age. `timing_allow_origins` is "same" (as
    `allow_origins`), a separate list, or None for no Timing-Allow-Origin. `positions` are pairs of
    a key in the file and the position of its value.
    """

    name: str
    allow_origins: tuple[SourceText, ...]
    allow_methods: tuple[SourceText, ...] = DEFAULT_METHODS
    allow_headers: tuple[SourceText, ...] = ()
    expose_headers: tuple[SourceText, ...] = ()
    allow_credentials: bool = False
    max_age: int | None = None
    preflight: PreflightSpec = PreflightSpec()
    upstream_cors_headers: UpstreamCorsHeaders = "strip"
    on_refused: OnRefused = "forward"
    timing_allow_origins: Literal["same"] | tuple[SourceText, ...] | None = None
    resource_policy: ResourcePolicy | None = None
    check_websocket_origin: bool = True
    debug: bool = False
    dangerously_allow_insecure_origins: bool = False
    dangerously_allow_public_suffix_wildcards: bool = False
    dangerously_allow_null_origin: bool = False
    pos: SourcePos | None = None
    positions: tuple[tuple[str, SourcePos], ...] = ()

    def place_of(self, key: str) -> SourcePos | None:
        """Return the position of the value of `key`; that of the policy if it is absent."""
        return dict(self.positions).get(key, self.pos)
