"""Defines the keys of a CORS policy."""

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
    """How the proxy responds to preflights (cors.md 31, 35, 38)."""

    status: Status = key(
        default_of(PreflightSpec, "status"),
        "Status of the response to an allowed preflight: 200 to 299.",
    )
    refused_status: Status = key(
        default_of(PreflightSpec, "refused_status"),
        "Status of the response to a refused preflight: 200, 204, or 400 to 499 except 401 and 407.",
    )
    style: Literal["full", "minimal"] = key(
        default_of(PreflightSpec, "style"),
        "full lists everything that is allowed, so that one cached preflight serves a whole page;"
        " minimal lists only what was requested.",
    )
    vary: Flag = key(
        default_of(PreflightSpec, "vary"),
        "Whether responses to preflights have Vary, for caches that store them.",
        "true",
    )


class WebsocketSection(Section):
    """The treatment of WebSocket handshakes (cors.md 54)."""

    check_origin: Flag = key(
        default_of(PolicySpec, "check_websocket_origin"),
        "Whether handshakes from origins that are not allowed are refused.",
        "true",
    )


def _shape_of_timing(value: object) -> str:
    return "<same>" if isinstance(value, str) else "<list>"


TimingAllowOrigins = Annotated[
    Annotated[Literal["same"], Tag("<same>")] | Annotated[list[Text], Tag("<list>")],
    Discriminator(_shape_of_timing),
]


class PolicySection(Section):
    """One CORS policy: which pages may send which requests and read which responses."""

    allow_origins: list[Text] = key(
        ...,
        "Allowed origins: exact ones, https://*.example.com for subdomains, http://localhost:* for any"
        " port, or only * for any origin.",
        '[https://app.example.com, "https://*.preview.example.com", "http://localhost:*"]',
    )
    allow_methods: list[Text] = key(
        [method.text for method in DEFAULT_METHODS],
        "Allowed methods; GET, HEAD and POST are always allowed. * for any.",
        "[GET, POST, PUT, PATCH, DELETE]",
    )
    allow_headers: list[Text] = key(
        [],
        "Allowed request headers, in addition to the CORS-safelisted ones. * for any.",
        "[authorization, content-type]",
    )
    expose_headers: list[Text] = key(
        [],
        "Response headers that scripts may read, in addition to the CORS-safelisted ones. * for all.",
        "[x-request-id]",
    )
    allow_credentials: Flag = key(
        default_of(PolicySpec, "allow_credentials"),
        "Whether requests with cookies or other credentials of the browser are allowed.",
        "true",
    )
    max_age: WholeSeconds | None = key(
        default_of(PolicySpec, "max_age"),
        "How long browsers may cache the response to a preflight; 0s disables caching.",
        "10m",
    )
    on_refused: Literal["forward", "block"] = key(
        default_of(PolicySpec, "on_refused"),
        "What to do with a refused request other than a preflight: forward it, with no CORS headers in"
        " the response, or block it with 403.",
    )
    preflight: PreflightSection = section(PreflightSection, "How the proxy responds to preflights.")
    upstream_cors_headers: Literal["strip", "keep", "merge"] = key(
        default_of(PolicySpec, "upstream_cors_headers"),
        "CORS headers from the upstream: strip (only those of this policy are sent), keep (the"
        " upstream's are sent) or merge.",
    )
    timing_allow_origins: TimingAllowOrigins | None = key(
        default_of(PolicySpec, "timing_allow_origins"),
        "Origins whose pages may read resource timing: same (as allow_origins) or a list.",
        "same",
    )
    resource_policy: Literal["cross-origin", "same-site", "same-origin"] | None = key(
        default_of(PolicySpec, "resource_policy"),
        "The Cross-Origin-Resource-Policy of responses, for pages that require one.",
        "cross-origin",
    )
    websocket: WebsocketSection = section(
        WebsocketSection, "The treatment of WebSocket handshakes."
    )
    debug: Flag = key(
        default_of(PolicySpec, "debug"),
        "Whether responses have X-CORS-Debug with verdict and reason; not for production.",
        "false",
    )
    dangerously_allow_insecure_origins: Flag = key(
        default_of(PolicySpec, "dangerously_allow_insecure_origins"),
        "Whether origins without TLS are allowed with credentials.",
        "false",
    )
    dangerously_allow_public_suffix_wildcards: Flag = key(
        default_of(PolicySpec, "dangerously_allow_public_suffix_wildcards"),
        "Whether a wildcard under a public suffix, such as https://*.com, is allowed with credentials.",
        "false",
    )
    dangerously_allow_null_origin: Flag = key(
        default_of(PolicySpec, "dangerously_allow_null_origin"),
        'Whether allow_origins may contain "null", the origin of every sandboxed page.',
        "false",
    )
