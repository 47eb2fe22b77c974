"""Defines the verdicts and reasons of CORS decisions, and the texts that describe them."""

from enum import StrEnum
from typing import Final, NamedTuple

from corsproxy.policy.printable import printable_ascii


class Verdict(StrEnum):
    """Whether a policy allows a request; `none` if the request has no Origin (cors.md 66)."""

    allowed = "allowed"
    refused = "refused"
    none = "none"


class Reason(StrEnum):
    """Why a policy allowed or refused a request: a stable code for logs, metrics, X-CORS-Debug (cors.md 66)."""

    allowed = "allowed"
    no_origin = "no_origin"
    origin_multiple = "origin_multiple"
    origin_malformed = "origin_malformed"
    origin_too_long = "origin_too_long"
    origin_null = "origin_null"
    origin_default_port = "origin_default_port"
    origin_case = "origin_case"
    origin_not_allowed = "origin_not_allowed"
    method_invalid = "method_invalid"
    method_forbidden = "method_forbidden"
    method_not_allowed = "method_not_allowed"
    headers_malformed = "headers_malformed"
    headers_too_many = "headers_too_many"
    header_not_allowed = "header_not_allowed"
    websocket_origin_not_allowed = "websocket_origin_not_allowed"


class ReasonText(NamedTuple):
    """The text of a reason: what happened ({subject} is the deciding value), how to fix it, which rule."""

    what: str
    fix: str
    rule: str


REASON_TEXTS: Final[dict[Reason, ReasonText]] = {
    Reason.allowed: ReasonText("{subject} is allowed", "nothing to do", "32"),
    Reason.no_origin: ReasonText(
        "the request has no Origin, so it is not a CORS request",
        "nothing to do; browsers send an Origin with every CORS request",
        "42",
    ),
    Reason.origin_multiple: ReasonText(
        "the request has more than one Origin line, or a list of origins: {subject}",
        "send one Origin line with one origin; check for a proxy in front that adds another",
        "8",
    ),
    Reason.origin_malformed: ReasonText(
        'the Origin "{subject}" is not scheme://host or scheme://host:port',
        "send an origin as browsers do: without path, user name or trailing slash",
        "10",
    ),
    Reason.origin_too_long: ReasonText(
        "the Origin is longer than 326 bytes: {subject}",
        "no browser sends such an origin; check what the client puts there",
        "9",
    ),
    Reason.origin_null: ReasonText(
        "the Origin is null: a sandboxed frame, a file, or a request that followed a redirect "
        "across origins",
        "request the final URL directly, or serve the page over http(s); as a last "
        "resort list null with dangerously_allow_null_origin: true, without credentials",
        "12, 59",
    ),
    Reason.origin_default_port: ReasonText(
        "the Origin {subject} contains the default port of its scheme, which browsers omit",
        "make the client send the origin without the port",
        "11",
    ),
    Reason.origin_case: ReasonText(
        "the Origin {subject} has upper-case letters; origins are compared byte for byte",
        "make the client send it in lower case, as browsers do",
        "11",
    ),
    Reason.origin_not_allowed: ReasonText(
        "the origin {subject} is not in allow_origins",
        "add it to allow_origins if that page may read the responses",
        "11",
    ),
    Reason.method_invalid: ReasonText(
        'Access-Control-Request-Method is not one valid method: "{subject}"',
        "send one method of at most 128 bytes in one line",
        "33",
    ),
    Reason.method_forbidden: ReasonText(
        "browsers forbid the method {subject}",
        "use another method; no policy can allow this one",
        "33",
    ),
    Reason.method_not_allowed: ReasonText(
        "the method {subject} is not in allow_methods",
        "add it to allow_methods; methods are case-sensitive",
        "33",
    ),
    Reason.headers_malformed: ReasonText(
        'Access-Control-Request-Headers contains an invalid header name: "{subject}"',
        "send header names of at most 128 bytes, separated by commas",
        "34",
    ),
    Reason.headers_too_many: ReasonText(
        "Access-Control-Request-Headers has more than 64 names, 16 empty elements or 4 KiB",
        "send fewer request headers",
        "34",
    ),
    Reason.header_not_allowed: ReasonText(
        "the request header {subject} is not in allow_headers",
        "add it to allow_headers; * does not cover authorization if credentials are allowed",
        "34, 35",
    ),
    Reason.websocket_origin_not_allowed: ReasonText(
        "the WebSocket handshake comes from {subject}, which is not in allow_origins",
        "add the origin to allow_origins, or set websocket.check_origin: false",
        "54",
    ),
}


def describe(reason: Reason, subject: bytes) -> str:
    """Describe `reason` in one sentence that names `subject`, the deciding value."""
    return REASON_TEXTS[reason].what.format(subject=printable_ascii(subject) or "(empty)")


def reasons_table() -> str:
    """Return all reasons as a Markdown table for the documentation, in the order of cors.md 66."""
    rows = [
        f"| `{reason}` | {text.what.format(subject='…')} | {text.fix} | {text.rule} |"
        for reason, text in REASON_TEXTS.items()
    ]
    return "\n".join(["| reason | what happened | what to do | rule |", "|---|---|---|---|", *rows])
