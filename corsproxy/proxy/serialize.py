"""Serializes the heads that the proxy sends to upstreams and clients.

Heads are always written anew from parsed parts: one version, one Host, one framing field (forwarding.md
S13), the end-to-end fields unchanged (H7), and added fields only as documented (H9).
"""

from typing import Final

from corsproxy.policy.compiled import Route, Upstream
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.fields import Field
from corsproxy.proxy.context import RequestContext, host_sent
from corsproxy.proxy.faults import title_of
from corsproxy.proxy.forwarded import Caller, forwarded_lines
from corsproxy.proxy.http.bodies import Body, ChunkedBody
from corsproxy.proxy.http.request_head import RequestHead
from corsproxy.proxy.http.response_head import ResponseHead

VIA: Final = b"Via: 1.1 corsproxy\r\n"
_VIA_1_0: Final = b"Via: 1.0 corsproxy\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: Final = b"Connection: close\r\n"
_KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


def join_fields(fields: list[Field]) -> bytes:
    """Serialize `fields`, one line each."""
    parts: list[bytes] = []
    for name, value in fields:
        parts += (name, b": ", value, b"\r\n")
    return b"".join(parts)


def serialize_request_head(
    head: RequestHead,
    route: Route,
    caller: Caller,
    request_id: bytes,
    decision: Decision | None,
) -> bytes:
    """Return the head of the request for the route's upstream, with its empty line."""
    target, fields = head.target, head.fields
    if route.transforms_requests:
        target = route.mapping.to_upstream(head.target)
        prefix = route.mapping.stripped(head.target)
        added = _added_lines(head, caller, request_id, route.upstream, prefix)
        fields = RequestContext(route, head, caller, request_id, decision).fields_sent(added)
        added = b""  # they are among `fields` now, so that rules apply to them
    else:
        added = _added_lines(head, caller, request_id, route.upstream)
    host = host_sent(head, route.upstream)
    parts = [head.method, b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    for name, value in fields:
        parts += (name, b": ", value, b"\r\n")
    parts.append(added)
    if head.chunked:
        parts.append(_CHUNKED)
    elif head.length is not None:
        parts.append(b"Content-Length: %d\r\n" % head.length)
    if head.upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
    parts.append(b"\r\n")
    return b"".join(parts)


def _added_lines(
    head: RequestHead,
    caller: Caller,
    request_id: bytes,
    upstream: Upstream,
    prefix: bytes = b"",
) -> bytes:
    """Return the lines that the proxy adds (H9); `prefix` was stripped from the path."""
    return b"".join(
        (
            forwarded_lines(head, caller, upstream.forwarded, prefix),
            b"X-Request-Id: %b\r\n" % request_id,
            VIA if head.minor else _VIA_1_0,
        ),
    )


def serialize_response_head(
    head: ResponseHead,
    body: Body | None,
    lines: bytes,
    connection: bytes,
    *,
    chunked: bool,
) -> bytes:
    """Return the head of an upstream's response for the client, with its empty line.

    `lines` are the rewritten header lines, `connection` is a serialized Connection field or b"".
    """
    # Transfer-Encoding first: a message must not have both (S13;
    # https://www.rfc-editor.org/rfc/rfc9112.html#section-6.2).
    if chunked:
        framing = _CHUNKED
    elif head.length is not None and head.status != 204 and not isinstance(body, ChunkedBody):
        framing = b"Content-Length: %d\r\n" % head.length
    else:
        framing = b""
    via = VIA if head.minor else _VIA_1_0
    return b"".join(
        (b"HTTP/1.1 ", head.status_line, b"\r\n", lines, via, framing, connection, b"\r\n"),
    )


def serialize_local_response(
    status: int, lines: bytes, body: bytes, connection: bytes, method: bytes
) -> bytes:
    """Return a complete response of the proxy's own; to HEAD, with the length but without the body."""
    framing = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
    return b"".join(
        (
            _status_line(status),
            lines,
            framing,
            connection,
            b"\r\n",
            b"" if method == b"HEAD" else body,
        ),
    )


_STATUS_LINES: Final[dict[int, bytes]] = {}


def _status_line(status: int) -> bytes:
    line = _STATUS_LINES.get(status)
    if line is None:
        line = _STATUS_LINES[status] = f"HTTP/1.1 {status} {title_of(status)}\r\n".encode()
    return line


def connection_line(minor: int, *, keep_alive: bool) -> bytes:
    """Return the Connection field for a client of HTTP/1.`minor`; b"" if the default applies."""
    if not keep_alive:
        return CLOSE
    return b"" if minor else _KEEP_ALIVE
