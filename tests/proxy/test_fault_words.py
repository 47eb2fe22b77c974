"""The response to each fault: word, status and text are kept (cors.md 64, forwarding.md F8)."""

import json
from http import HTTPStatus

import pytest

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault, FaultKind, problem_fields

# Pages and dashboards go by the word and the status; the side says whom a circuit breaker blames.
TABLE = [
    ("bad_request_line", "client", 400, "The request line is malformed."),
    ("bad_target", "client", 400, "The request target is malformed."),
    ("ambiguous_path", "client", 400, "The path contains a dot segment or an encoded NUL, which servers interpret differently. Send the path without it."),
    ("bad_header", "client", 400, "A header field is malformed."),
    ("bad_host", "client", 400, "The Host header is missing, repeated or malformed."),
    ("bad_framing", "client", 400, "Content-Length or Transfer-Encoding is malformed, repeated or contradictory."),
    ("bad_connection_header", "client", 400, "The Connection header lists a field that must not be removed, or more than 32 options."),
    ("repeated_header", "client", 400, "A header field that may appear only once was sent more than once."),
    ("bad_chunk", "client", 400, "The chunked body is malformed."),
    ("bad_upgrade", "client", 400, "A request with Upgrade must not have a body."),
    ("uri_too_long", "client", 414, "The request line is too long."),
    ("header_too_large", "client", 431, "The header section is too large or has too many fields."),
    ("transfer_coding_unknown", "client", 501, "The only transfer coding supported is chunked."),
    ("http_version_not_supported", "client", 505, "Only HTTP/1.0 and HTTP/1.1 are supported."),
    ("method_not_allowed", "client", 405, "CONNECT and TRACE are not supported by this proxy."),
    ("request_timeout", "client", 408, "The request did not arrive in time."),
    ("body_too_large", "client", 413, "The request body is too large."),
    ("expectation_failed", "client", 417, "The only expectation supported is 100-continue."),
    ("no_route", "client", 404, "No route matches this host, path and method."),
    ("cors_refused", "client", 403, "The CORS policy of this route does not allow this request from this origin."),
    ("client_left", "client", 499, "The client disconnected before the response was complete."),
    ("client_write_stalled", "client", 499, "The client stopped reading the response."),
    ("upstream_unreachable", "upstream", 502, "The upstream server cannot be reached."),
    ("upstream_name", "upstream", 502, "The upstream server's name cannot be resolved."),
    ("upstream_tls", "upstream", 502, "The TLS handshake with the upstream server failed."),
    ("upstream_closed", "upstream", 502, "The upstream server closed the connection before it responded."),
    ("upstream_invalid", "upstream", 502, "The upstream server's response is not valid HTTP."),
    ("upstream_connect_timeout", "upstream", 504, "The upstream server did not accept a connection in time."),
    ("upstream_timeout", "upstream", 504, "The upstream server did not respond in time."),
    ("upstream_truncated", "upstream", 502, "The upstream server's response is incomplete."),
    ("upstream_busy", "proxy", 503, "All connections to the upstream server are busy. Try again shortly."),
    ("tunnels_full", "proxy", 503, "All tunnels to the upstream server are in use. Try again later."),
    ("upstream_circuit_open", "proxy", 503, "The upstream server failed several times in a row. Try again later."),
    ("overloaded", "proxy", 503, "The proxy is at its limit. Try again shortly."),
    ("internal", "proxy", 500, "The proxy failed because of a bug in it."),
]  # fmt: skip
KINDS = {one.word: one for one in vars(faults).values() if isinstance(one, FaultKind)}


def test_each_fault_is_what_it_was() -> None:
    """cors.md 64: words are stable; a new fault gets a line in the table."""
    assert [tuple(kind) for kind in KINDS.values()] == TABLE


@pytest.mark.parametrize("word", KINDS)
def test_a_problem_names_its_fault_and_its_request(word: str) -> None:
    """cors.md 64: the six members of RFC 9457 and ours, and nothing that a cache would keep."""
    kind = KINDS[word]
    fields, body = problem_fields(kind, b"r-1")
    titles = {413: "Content Too Large", 499: "Client Closed Request"}
    assert json.loads(body) == {
        "type": "about:blank",
        "title": titles.get(kind.status) or HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "detail": kind.detail,
        "error": word,
        "request_id": "r-1",
    }
    expected = [
        (b"Content-Type", b"application/problem+json"),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
    ]
    if kind.status == 503:
        expected.append((b"Retry-After", b"1"))
    if word == "method_not_allowed":
        expected.append((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    assert fields == expected


def test_only_what_is_in_a_body_counts_as_a_malformed_body() -> None:
    """P3: whose head was well-formed; all others that are malformed have none."""
    assert {kind.word for kind in faults.MALFORMED_BODY} == {"bad_chunk", "bad_upgrade"}


def test_a_fault_keeps_its_kind_and_its_note() -> None:
    """F8: the note is for the log."""
    fault = Fault(KINDS["upstream_invalid"], "an invalid status code")
    assert (fault.kind.word, fault.note) == ("upstream_invalid", "an invalid status code")
    assert Fault(KINDS["no_route"]).note == ""
