"""What a user may write about one CORS policy."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from corsproxy.config.models.types import (
    Flag,
    Section,
    Status,
    Text,
    WholeSeconds,
    key,
    section,
)


class PreflightSection(Section):
    """How preflights are answered (cors.md 31, 35, 38)."""

    status: Status = key(204, "Status of an allowed preflight: 200 to 299.")
    refused_status: Status = key(
        403,
        "Status of a refused preflight: 200, 204, or 400 to 499 but 401 and 407.",
    )
    style: Literal["full", "minimal"] = key(
        "full",
        "full lists all that is allowed, so that one cached preflight serves a whole page;"
        " minimal only what was asked.",
    )
    vary: Flag = key(
        True,  # noqa: FBT003 - a default
        "Whether preflight answers carry Vary, for caches that store them.",
        "true",
    )


class WebsocketSection(Section):
    """What holds for WebSocket handshakes (cors.md 54)."""

    check_origin: Flag = key(
        True,  # noqa: FBT003
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
        ["GET", "HEAD", "POST"],
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
        False,  # noqa: FBT003
        "Whether requests may carry cookies and Authorization of the browser.",
        "true",
    )
    max_age: WholeSeconds | None = key(
        None,
        "How long browsers may keep a preflight's answer; 0s for not at all.",
        "10m",
    )
    on_refused: Literal["forward", "block"] = key(
        "forward",
        "What becomes of a refused request that is no preflight: forward it and answer without"
        " CORS headers, or block it with 403.",
    )
    preflight: PreflightSection = section(PreflightSection, "How preflights are answered.")
    upstream_cors_headers: Literal["strip", "keep", "merge"] = key(
        "strip",
        "What becomes of CORS headers the upstream sends: strip (this policy alone speaks),"
        " keep (its own stay) or merge.",
    )
    timing_allow_origins: TimingAllowOrigins | None = key(
        None,
        "Origins that may read resource timing: same (as allow_origins) or a list.",
        "same",
    )
    resource_policy: Literal["cross-origin", "same-site", "same-origin"] | None = key(
        None,
        "The Cross-Origin-Resource-Policy of answers, for pages that require one.",
        "cross-origin",
    )
    websocket: WebsocketSection = section(WebsocketSection, "What holds for WebSocket handshakes.")
    debug: Flag = key(
        False,  # noqa: FBT003
        "Whether answers say in X-CORS-Debug why they were refused; not for production.",
        "false",
    )
    dangerously_allow_insecure_origins: Flag = key(
        False,  # noqa: FBT003
        "Whether credentials may go to origins without TLS.",
        "false",
    )
    dangerously_allow_public_suffix_wildcards: Flag = key(
        False,  # noqa: FBT003
        "Whether credentials may go to a wildcard under a public suffix, such as https://*.com.",
        "false",
    )
    dangerously_allow_null_origin: Flag = key(
        False,  # noqa: FBT003
        'Whether "null" may stand in allow_origins: every sandboxed page sends it.',
        "false",
    )
