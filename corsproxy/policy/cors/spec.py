"""The terms of a CORS policy: plain, placed values, before they are checked and compiled.

The bridge between what a user may write (`config`) and what decides (`policy`): `config.build`
makes `PolicySpec` from the file, `policy.checks` judges them, `policy.cors` compiles them.
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
    """How a preflight is answered (cors.md 31, 35, 38)."""

    status: int = 204
    refused_status: int = 403
    style: PreflightStyle = "full"
    vary: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """What one policy says.

    `max_age` is in seconds, None leaves Access-Control-Max-Age out. `timing_allow_origins` is
    "same" (as `allow_origins`), a list of its own, or None for no Timing-Allow-Origin.
    `positions` maps the name of each key that was written to where its value stands.
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
        """Return where the value of `key` was written, else where the policy itself stands."""
        return dict(self.positions).get(key, self.pos)
