"""The keys of a CORS policy."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from corsproxy.config.models.types import (
    Flag,
    Section,
    Status,
    Text,
    WholeSeconds,
    default_of,
    key,
    section,
)
from corsproxy.policy.cors.spec import DEFAULT_METHODS, PolicySpec, PreflightSpec


class PreflightSection(Section):
    """How preflights are answered (cors.md 31, 35, 38)."""

    status: Status = key(
        default_of(PreflightSpec, "status"), "Status of an allowed preflight: 200 to 299."
    )
    refused_status: Status = key(
        default_of(PreflightSpec, "refused_status"),
        "Status of a refused preflight: 200, 204, or 400 to 499 but 401 and 407.",
    )
    style: Literal["full", "minimal"] = key(
        default_of(PreflightSpec, "style"),
        "full lists all that is allowed, so that one cached preflight serves a whole page;"
        " minimal only what was asked.",
    )
    vary: Flag = key(
        default_of(PreflightSpec, "vary"),
        "Whether preflight answers carry Vary, for caches that store them.",
        "true",
    )


class WebsocketSection(Section):
    """What holds for WebSocket handshakes (cors.md 54)."""

    check_origin: Flag = key(
        default_of(PolicySpec, "check_websocket_origin"),
        "Whether a handshake from an origin that is not allowed is refused.",
        "true",
    )


def _shape_of_timing(value: object) -> str:
    return "<same>" if isinstance(value, str) else "<list>"


TimingAllowOrigins = Annotated[
    Annotated[Literal["same"], Tag("<same>")] | Annotated[list[Text], Tag("<list>")],
    Discriminator(_shape_of_timing),
]


class PolicySection(Section):
    """One CORS policy: who may read the answers, and how."""

    allow_origins: list[Text] = key(
        ...,
        "Origins that are allowed: exact ones, https://*.example.com for subdomains,"
        " http://localhost:* for any port, or * alone for any.",
        '[https://app.example.com, "https://*.preview.example.com", "http://localhost:*"]',
    )
    allow_methods: list[Text] = key(
        [method.text for method in DEFAULT_METHODS],
        "Methods that are allowed; GET, HEAD and POST always are. * for any.",
        "[GET, POST, PUT, PATCH, DELETE]",
    )
    allow_headers: list[Text] = key(
        [],
        "Request headers that are allowed beside those that always are. * for any.",
        "[authorization, content-type]",
    )
    expose_headers: list[Text] = key(
        [],
        "Response headers that scripts may read beside those they always may. * for all.",
        "[x-request-id]",
    )
    allow_credentials: Flag = key(
        default_of(PolicySpec, "allow_credentials"),
        "Whether requests may carry cookies and Authorization of the browser.",
        "true",
    )
    max_age: WholeSeconds | None = key(
        default_of(PolicySpec, "max_age"),
        "How long browsers may keep a preflight's answer; 0s for not at all.",
        "10m",
    )
    on_refused: Literal["forward", "block"] = key(
        default_of(PolicySpec, "on_refused"),
        "What becomes of a refused request that is no preflight: forward it and answer without"
        " CORS headers, or block it with 403.",
    )
    preflight: PreflightSection = section(PreflightSection, "How preflights are answered.")
    upstream_cors_headers: Literal["strip", "keep", "merge"] = key(
        default_of(PolicySpec, "upstream_cors_headers"),
        "What becomes of CORS headers the upstream sends: strip (this policy alone speaks),"
        " keep (its own stay) or merge.",
    )
    timing_allow_origins: TimingAllowOrigins | None = key(
        default_of(PolicySpec, "timing_allow_origins"),
        "Origins that may read resource timing: same (as allow_origins) or a list.",
        "same",
    )
    resource_policy: Literal["cross-origin", "same-site", "same-origin"] | None = key(
        default_of(PolicySpec, "resource_policy"),
        "The Cross-Origin-Resource-Policy of answers, for pages that require one.",
        "cross-origin",
    )
    websocket: WebsocketSection = section(WebsocketSection, "What holds for WebSocket handshakes.")
    debug: Flag = key(
        default_of(PolicySpec, "debug"),
        "Whether answers say in X-CORS-Debug why they were refused; not for production.",
        "false",
    )
    dangerously_allow_insecure_origins: Flag = key(
        default_of(PolicySpec, "dangerously_allow_insecure_origins"),
        "Whether credentials may go to origins without TLS.",
        "false",
    )
    dangerously_allow_public_suffix_wildcards: Flag = key(
        default_of(PolicySpec, "dangerously_allow_public_suffix_wildcards"),
        "Whether credentials may go to a wildcard under a public suffix, such as https://*.com.",
        "false",
    )
    dangerously_allow_null_origin: Flag = key(
        default_of(PolicySpec, "dangerously_allow_null_origin"),
        'Whether "null" may stand in allow_origins: every sandboxed page sends it.',
        "false",
    )
