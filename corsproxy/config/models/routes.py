"""Defines the keys of a route."""

from typing import Annotated, Literal

from pydantic import Discriminator, PlainValidator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from corsproxy.config.models.policies import PolicySection
from corsproxy.config.models.rules import RuleSection
from corsproxy.config.models.types import (
    Bytes,
    Flag,
    OneOrMany,
    Seconds,
    Section,
    Text,
    default_of,
    key,
    other_key,
    section,
)
from corsproxy.config.yaml.scalars import PlainScalar
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.cors.reasons import Reason

ReasonCode = Annotated[Reason, WithJsonSchema({"type": "string", "enum": list(Reason)})]


class MatchSection(Section):
    """Which requests a route matches (cors.md 71, 72)."""

    host: OneOrMany = key(
        [],
        "Host names, *.name for all subdomains; one or a list; default any.",
        "api.example.com",
    )
    path: OneOrMany = key(
        [],
        "Paths: with a / at the end, a prefix of whole segments (/api/ also matches /api), otherwise"
        " exact; one or a list; default any.",
        "/api/",
    )
    methods: list[Text] = key([], "Methods, case-sensitive; default any.", "[GET, POST, PUT]")


class RouteTimeoutsSection(Section):
    """Time limits of this route that override those of its upstream (forwarding.md O1)."""

    response_header: Seconds | None = key(
        None, "Until the head of the response; default the upstream's.", "5s"
    )
    idle: Seconds | None = key(
        None, "Between two parts of a response body; default the upstream's.", "60s"
    )
    total: Seconds | None = key(None, "For the whole exchange; default the upstream's.", "0s")
    tunnel_idle: Seconds | None = key(
        None, "How long a tunnel may be idle; default the upstream's.", "1h"
    )


class InlineTestSection(Section):
    """A request and its expected verdict; run by `corsproxy check`."""

    origin: Text | None = key(
        None,
        "The Origin of the request; default none.",
        "https://app.example.com",
    )
    method: Text = key("GET", "The method of the request, as its preflight announces it.", "PUT")
    headers: list[Text] = key(
        [],
        "The names of the headers that the script of the page sets.",
        "[authorization]",
    )
    path: Text | None = key(None, "A path that has to match this route.", "/api/items")
    expect: Literal["allowed", "refused", "none"] = key(
        ...,
        "The expected verdict; none if there is no Origin.",
        "allowed",
    )
    reason: ReasonCode | None = key(None, "The expected reason code.", "allowed")


def _shape_of_cors(value: object) -> str:
    if value is False or (isinstance(value, PlainScalar) and isinstance(value.value, bool)):
        return "<off>"
    return "<policy>" if isinstance(value, (dict, PolicySection)) else "<name>"


def _off(value: object) -> Literal[False]:
    if isinstance(value, PlainScalar) and value.value is False:
        return False
    raise PydanticCustomError("cors_true", "true is not a policy")


Cors = Annotated[
    Annotated[
        Literal[False],
        PlainValidator(_off),
        WithJsonSchema({"x-kind": "`false`", "const": False}),
        Tag("<off>"),
    ]
    | Annotated[PolicySection, Tag("<policy>")]
    | Annotated[Text, Tag("<name>")],
    Discriminator(_shape_of_cors),
]


class PathSection(Section):
    """How paths are mapped to the upstream, and back in links and cookies (cors.md 58)."""

    strip_prefix: Text | None = key(
        None,
        "A prefix to remove; it is sent to the upstream in X-Forwarded-Prefix.",
        "/api",
    )
    add_prefix: Text | None = key(None, "A prefix to add, after strip_prefix is removed.", "/v1")
    replace_prefix: Text | None = other_key(
        "The replacement for the one prefix in match.path; excludes the other two keys.",
        "/v1",
    )


class CookieSection(Section):
    """How to rewrite the upstream's cookies of some names (cors.md 60)."""

    name: Text = key(
        default_of(CookieSpec, "name"),
        "Which cookies: a name, in which * matches any characters; the first rule that matches is used.",
        '"*"',
    )
    domain: Text = key(
        default_of(CookieSpec, "domain"),
        "The Domain attribute: keep, remove, or a new value.",
        "remove",
    )
    path: dict[str, Text] = key(
        {},
        "Prefixes of the Path attribute: the upstream's and the public one; default the mapping of path.",
        "{/app: /api}",
    )
    secure: Flag | None = key(
        default_of(CookieSpec, "secure"), "Whether cookies are Secure; default unchanged.", "true"
    )
    http_only: Flag | None = key(
        default_of(CookieSpec, "http_only"),
        "Whether cookies are HttpOnly; default unchanged.",
        "true",
    )
    same_site: Literal["strict", "lax", "none"] | None = key(
        default_of(CookieSpec, "same_site"),
        "The SameSite attribute; none lets other sites send the cookie, and implies secure.",
        "none",
    )
    partitioned: Flag | None = key(
        default_of(CookieSpec, "partitioned"),
        "Whether each site that embeds the API has its own cookies (CHIPS); implies secure.",
        "true",
    )


class RouteSection(Section):
    """One route: which requests it matches, and how they are forwarded."""

    name: Text | None = key(
        None,
        "Its name in logs and metrics; default route-1 for the first, and so on.",
        "api",
    )
    match: MatchSection = section(
        MatchSection, "Which requests it matches; the most specific route wins."
    )
    upstream: Text = key(
        ..., "Where requests are forwarded to: the name of an upstream, or a URL.", "legacy"
    )
    cors: Cors | None = key(
        None,
        "The policy: a name, an inline policy, or false for none; default defaults.cors.",
        "spa",
    )
    path: PathSection = section(PathSection, "How paths are mapped to the upstream.")
    request_headers: list[RuleSection] = key(
        [],
        "Rules for request headers, applied in order; like response_headers, but without status.",
        '[{set: {X-Tenant: shop}}, {remove: [Cookie]}, {when: {methods: GET}, add: {X-Read: "1"}}]',
    )
    response_headers: list[RuleSection] = key(
        [],
        "Rules for response headers, applied in order, before the CORS headers are added.",
    )
    location: Literal["rewrite", "keep"] = key(
        "rewrite",
        "Whether references to the upstream in Location, Content-Location, Refresh and cookie paths"
        " are rewritten to public names.",
    )
    cookies: list[CookieSection] = key(
        [],
        "Rules for the upstream's cookies; the first whose name matches is applied.",
    )
    ambiguous_paths: Literal["reject", "forward"] = key(
        "reject",
        "What to do with paths that contain . or .. segments in any spelling, or %00: reject (400) or"
        " forward.",
    )
    max_body: Bytes | None = key(
        None,
        "Limit on the size of request bodies on this route; above: 413. Default: server.limits.max_body.",
        "10MiB",
    )
    upgrades: list[Text] = key(
        ["websocket"],
        "Protocols that a connection may be upgraded to, which makes it a tunnel; h2c is not supported.",
        "[websocket]",
    )
    timeouts: RouteTimeoutsSection = section(
        RouteTimeoutsSection,
        "Time limits for the upstream on this route.",
    )
    tests: list[InlineTestSection] = key(
        [],
        "Requests with their expected verdict; run by `corsproxy check`.",
    )
