"""Defines the faults of a request: each kind with its word, side, status and text.

A `Fault` is an exception of such a kind. The text for clients is fixed and never that of an
exception (forwarding.md F8).
"""

import json
from http import HTTPStatus
from typing import Final, Literal, NamedTuple

Side = Literal["client", "upstream", "proxy"]


class FaultKind(NamedTuple):
    """One kind of fault: its stable word, the side that caused it, and the client's status and text."""

    word: str
    side: Side
    status: int
    detail: str


class Fault(Exception):  # noqa: N818 - "fault" is the name the documentation gives it
    """A request that cannot be served. `note` is for the log only."""

    def __init__(self, kind: FaultKind, note: str = "") -> None:
        super().__init__(kind.word, note)
        self.kind = kind
        self.note = note


def _client(word: str, status: int, detail: str) -> FaultKind:
    return FaultKind(word, "client", status, detail)


def _upstream(word: str, status: int, detail: str) -> FaultKind:
    return FaultKind(word, "upstream", status, detail)


BAD_REQUEST_LINE: Final = _client("bad_request_line", 400, "The request line is malformed.")
BAD_TARGET: Final = _client("bad_target", 400, "The request target is malformed.")
AMBIGUOUS_PATH: Final = _client(
    "ambiguous_path",
    400,
    "The path contains a dot segment or an encoded NUL, which servers interpret differently. "
    "Send the path without it.",
)
BAD_HEADER: Final = _client("bad_header", 400, "A header field is malformed.")
BAD_HOST: Final = _client("bad_host", 400, "The Host header is missing, repeated or malformed.")
BAD_FRAMING: Final = _client(
    "bad_framing",
    400,
    "Content-Length or Transfer-Encoding is malformed, repeated or contradictory.",
)
BAD_CONNECTION: Final = _client(
    "bad_connection_header",
    400,
    "The Connection header lists a field that must not be removed, or more than 32 options.",
)
REPEATED_HEADER: Final = _client(
    "repeated_header",
    400,
    "A header field that may appear only once was sent more than once.",
)
BAD_CHUNK: Final = _client("bad_chunk", 400, "The chunked body is malformed.")
BAD_UPGRADE: Final = _client("bad_upgrade", 400, "A request with Upgrade must not have a body.")
# Malformed requests whose head was well-formed (forwarding.md P3).
MALFORMED_BODY: Final = frozenset({BAD_CHUNK, BAD_UPGRADE})
TOO_LONG_TARGET: Final = _client("uri_too_long", 414, "The request line is too long.")
TOO_LARGE_HEAD: Final = _client(
    "header_too_large",
    431,
    "The header section is too large or has too many fields.",
)
UNKNOWN_CODING: Final = _client(
    "transfer_coding_unknown",
    501,
    "The only transfer coding supported is chunked.",
)
VERSION_NOT_SUPPORTED: Final = _client(
    "http_version_not_supported",
    505,
    "Only HTTP/1.0 and HTTP/1.1 are supported.",
)
METHOD_NOT_ALLOWED: Final = _client(
    "method_not_allowed",
    405,
    "CONNECT and TRACE are not supported by this proxy.",
)
REQUEST_TIMEOUT: Final = _client(
    "request_timeout",
    408,
    "The request did not arrive in time.",
)
BODY_TOO_LARGE: Final = _client("body_too_large", 413, "The request body is too large.")
EXPECTATION_FAILED: Final = _client(
    "expectation_failed",
    417,
    "The only expectation supported is 100-continue.",
)
NO_ROUTE: Final = _client("no_route", 404, "No route matches this host, path and method.")
CORS_REFUSED: Final = _client(
    "cors_refused",
    403,
    "The CORS policy of this route does not allow this request from this origin.",
)
CLIENT_LEFT: Final = _client(
    "client_left", 499, "The client disconnected before the response was complete."
)
WRITE_STALLED: Final = _client(
    "client_write_stalled", 499, "The client stopped reading the response."
)

UPSTREAM_UNREACHABLE: Final = _upstream(
    "upstream_unreachable",
    502,
    "The upstream server cannot be reached.",
)
UPSTREAM_NAME: Final = _upstream(
    "upstream_name",
    502,
    "The upstream server's name cannot be resolved.",
)
UPSTREAM_TLS: Final = _upstream(
    "upstream_tls",
    502,
    "The TLS handshake with the upstream server failed.",
)
UPSTREAM_CLOSED: Final = _upstream(
    "upstream_closed",
    502,
    "The upstream server closed the connection before it responded.",
)
UPSTREAM_INVALID: Final = _upstream(
    "upstream_invalid",
    502,
    "The upstream server's response is not valid HTTP.",
)
UPSTREAM_CONNECT_TIMEOUT: Final = _upstream(
    "upstream_connect_timeout",
    504,
    "The upstream server did not accept a connection in time.",
)
UPSTREAM_TIMEOUT: Final = _upstream(
    "upstream_timeout",
    504,
    "The upstream server did not respond in time.",
)
UPSTREAM_TRUNCATED: Final = _upstream(
    "upstream_truncated",
    502,
    "The upstream server's response is incomplete.",
)
POOL_FULL: Final = FaultKind(
    "upstream_busy",
    "proxy",
    503,
    "All connections to the upstream server are busy. Try again shortly.",
)
TUNNELS_FULL: Final = FaultKind(
    "tunnels_full",
    "proxy",
    503,
    "All tunnels to the upstream server are in use. Try again later.",
)
CIRCUIT_OPEN: Final = FaultKind(
    "upstream_circuit_open",
    "proxy",
    503,
    "The upstream server failed several times in a row. Try again later.",
)
OVERLOADED: Final = FaultKind(
    "overloaded",
    "proxy",
    503,
    "The proxy is at its limit. Try again shortly.",
)
INTERNAL: Final = FaultKind("internal", "proxy", 500, "The proxy failed because of a bug in it.")

_RETRY_AFTER_SECONDS: Final = b"1"
_TITLES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    499: "Client Closed Request",
}


def title_of(status: int) -> str:
    """Return the reason phrase of `status`, "" if it is not registered."""
    return _TITLES.get(status, "")


def problem_fields(kind: FaultKind, request_id: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the header fields and the body of the response to a fault (RFC 9457, cors.md 64)."""
    body = json.dumps(
        {
            "type": "about:blank",
            "title": title_of(kind.status),
            "status": kind.status,
            "detail": kind.detail,
            "error": kind.word,
            "request_id": request_id.decode("ascii", "replace"),
        },
    ).encode()
    fields = [
        (b"Content-Type", b"application/problem+json"),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    if kind.status == 503:
        fields.append((b"Retry-After", _RETRY_AFTER_SECONDS))
    if kind is METHOD_NOT_ALLOWED:
        fields.append((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    return fields, body
