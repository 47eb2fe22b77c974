"""The keys of a route."""

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
    """Which requests a route takes (cors.md 71, 72)."""

    host: OneOrMany = key(
        [],
        "Host names, *.name for all below a name; one or a list; none means any.",
        "api.example.com",
    )
    path: OneOrMany = key(
        [],
        "Paths: /api/ is a prefix of whole segments and matches /api too, any other is exact; one"
        " or a list; none means any.",
        "/api/",
    )
    methods: list[Text] = key([], "Methods, case-sensitive; none means any.", "[GET, POST, PUT]")


class RouteTimeoutsSection(Section):
    """What this route waits for otherwise than its upstream says (forwarding.md O1)."""

    response_header: Seconds | None = key(
        None, "To send the head of its answer; default the upstream's.", "5s"
    )
    idle: Seconds | None = key(
        None, "Between two pieces of an answer's body; default the upstream's.", "60s"
    )
    total: Seconds | None = key(None, "For a whole exchange; default the upstream's.", "0s")
    tunnel_idle: Seconds | None = key(
        None, "How long a tunnel may stay silent; default the upstream's.", "1h"
    )


class InlineTestSection(Section):
    """A request and what the policy has to say about it; run by `corsproxy check`."""

    origin: Text | None = key(
        None,
        "The Origin that is sent; default: none is.",
        "https://app.example.com",
    )
    method: Text = key("GET", "The method of the request, announced by its preflight.", "PUT")
    headers: list[Text] = key(
        [],
        "The names of headers that the page's script sets.",
        "[authorization]",
    )
    path: Text | None = key(None, "A path that has to come to this route, too.", "/api/items")
    expect: Literal["allowed", "refused", "none"] = key(
        ...,
        "The verdict that is right; none: there is no Origin.",
        "allowed",
    )
    reason: ReasonCode | None = key(None, "The reason code that is right.", "allowed")


def _shape_of_cors(value: object) -> str:
    if value is False or (isinstance(value, PlainScalar) and isinstance(value.value, bool)):
        return "<off>"
    return "<policy>" if isinstance(value, (dict, PolicySection)) else "<name>"


def _off(value: object) -> Literal[False]:
    if isinstance(value, PlainScalar) and value.value is False:
        return False
    raise PydanticCustomError("cors_true", "true says nothing")


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
    """How paths change on their way to the upstream, and back in links and cookies (cors.md 58)."""

    strip_prefix: Text | None = key(
        None,
        "A prefix to take off; the upstream is told it in X-Forwarded-Prefix.",
        "/api",
    )
    add_prefix: Text | None = key(None, "A prefix to put in front, after the other is off.", "/v1")
    replace_prefix: Text | None = other_key(
        "What takes the place of the one prefix in match.path; without the other two keys.",
        "/v1",
    )


class CookieSection(Section):
    """What becomes of some of the upstream's cookies (cors.md 60)."""

    name: Text = key(
        default_of(CookieSpec, "name"),
        "Which cookies: a name, * for any characters; the first rule counts.",
        '"*"',
    )
    domain: Text = key(
        default_of(CookieSpec, "domain"),
        "The Domain attribute: keep it, remove it, or what takes its place.",
        "remove",
    )
    path: dict[str, Text] = key(
        {},
        "Prefixes of the Path attribute: the upstream's, then the public one; default as path says.",
        "{/app: /api}",
    )
    secure: Flag | None = key(
        default_of(CookieSpec, "secure"), "Whether cookies are Secure; default as they are.", "true"
    )
    http_only: Flag | None = key(
        default_of(CookieSpec, "http_only"),
        "Whether cookies are HttpOnly; default as they are.",
        "true",
    )
    same_site: Literal["strict", "lax", "none"] | None = key(
        default_of(CookieSpec, "same_site"),
        "The SameSite attribute; none lets other sites send the cookie, and includes secure.",
        "none",
    )
    partitioned: Flag | None = key(
        default_of(CookieSpec, "partitioned"),
        "Whether each site that embeds the API has cookies of its own (CHIPS); includes secure.",
        "true",
    )


class RouteSection(Section):
    """One route: which requests it takes, and what becomes of them."""

    name: Text | None = key(
        None,
        "Its name in logs and metrics; default route-1 for the first, and so on.",
        "api",
    )
    match: MatchSection = section(MatchSection, "Which requests it takes; the most specific wins.")
    upstream: Text = key(..., "Where requests go: the name of an upstream, or a URL.", "legacy")
    cors: Cors | None = key(
        None,
        "The policy: its name, a policy written here, or false for none; default defaults.cors.",
        "spa",
    )
    path: PathSection = section(PathSection, "How paths change on their way to the upstream.")
    request_headers: list[RuleSection] = key(
        [],
        "Rules for the headers of requests, applied in order; as response_headers, but no status.",
        '[{set: {X-Tenant: shop}}, {remove: [Cookie]}, {when: {methods: GET}, add: {X-Read: "1"}}]',
    )
    response_headers: list[RuleSection] = key(
        [],
        "Rules for the headers of answers, applied in order, before the CORS headers are added.",
    )
    location: Literal["rewrite", "keep"] = key(
        "rewrite",
        "Whether Location, Content-Location, Refresh and cookie paths that name the upstream get"
        " public names.",
    )
    cookies: list[CookieSection] = key(
        [],
        "Rules for the upstream's cookies; the first whose name fits is applied.",
    )
    ambiguous_paths: Literal["reject", "forward"] = key(
        "reject",
        "What becomes of paths with . or .. segments in any spelling, or %00: reject (400) or"
        " forward.",
    )
    max_body: Bytes | None = key(
        None,
        "Size of a request's body on this route; above: 413. Default: server.limits.max_body.",
        "10MiB",
    )
    upgrades: list[Text] = key(
        ["websocket"],
        "Protocols that a connection may be upgraded to, and then is a tunnel; never h2c.",
        "[websocket]",
    )
    timeouts: RouteTimeoutsSection = section(
        RouteTimeoutsSection,
        "How long the upstream may take on this route.",
    )
    tests: list[InlineTestSection] = key(
        [],
        "Requests with the verdict that is right; run by `corsproxy check`.",
    )
