"""Parses and validates the head of a request.

The request line, Host and the framing fields are validated here, the syntax of field lines by a
parser that is passed in. That gets a fixed request line, so that its list of methods and its syntax
of targets do not apply. A head that forwarding.md S1-S7 reject raises a Fault before a route is
matched.
"""

import re
from collections.abc import Callable
from typing import Final

from corsproxy.policy import fields as f
from corsproxy.policy.cache import cached
from corsproxy.policy.compiled import Limits
from corsproxy.policy.cors.decision import Facts
from corsproxy.policy.fields import Field
from corsproxy.policy.tokens import is_token
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import Body, ChunkedBody, LengthBody
from corsproxy.proxy.http.framing import (
    MOST_OPTIONS,
    NO_CONNECTION,
    Connection,
    ParseFields,
    is_chunked,
    is_unknown_coding,
    join_connections,
    read_connection,
    read_length,
)

_VISIBLE: Final = bytes(range(0x21, 0x7F))
_HOST: Final = re.compile(
    rb"([A-Za-z0-9._~!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?",
)
_LONGEST_HOST: Final = 261
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?]*)(.*)", re.IGNORECASE)
_DEFAULT_PORT: Final = {b"http": b":80", b"https": b":443"}
_LONGEST_REQUEST_ID: Final = 128
_REQUEST_ID: Final = b"-_.:+/=@~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

# How many lines of a chunked body are parsed in one turn of the loop (S9).
_MOST_CHUNK_LINES: Final = 512

_COMMON_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"},
)

FIRST_LINES: Final = {0: b"GET / HTTP/1.0", 1: b"GET / HTTP/1.1"}


class RequestHead:
    """A parsed request head.

    `fields` are the end-to-end fields in their original order and case; `minor` is the minor HTTP
    version; `length` is None without a Content-Length. `upgrade` is the protocol that the request
    asks to switch to, b"" for none.

    Defaults that most requests keep are attributes of the class, where they cost nothing.
    """

    host = b""
    origin: tuple[bytes, ...] = ()
    request_method: tuple[bytes, ...] = ()
    request_headers: tuple[bytes, ...] = ()
    fetch_site: bytes | None = None
    length: int | None = None
    chunked = False
    upgrade = b""
    expect: bytes | None = None
    request_id = b""
    forwarded: tuple[Field, ...] = ()
    connection: Connection = NO_CONNECTION

    def __init__(self, method: bytes, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.path = target.partition(b"?")[0]
        self.fields: list[Field] = []
        self.kinds = 0
        self.keep_alive = minor == 1

    @property
    def facts(self) -> Facts:
        """The input of the CORS decision."""
        return Facts(
            self.method,
            self.origin,
            self.request_method,
            self.request_headers,
            self.upgrade == b"websocket",
            None,
            self.fetch_site,
        )

    def body(self) -> Body | None:
        """Return a reader for the body that follows, or None if there is no body."""
        if self.chunked:
            return ChunkedBody(_MOST_CHUNK_LINES)
        return LengthBody(self.length) if self.length else None


def read_request_head(parse_fields: ParseFields, data: bytes, limits: Limits) -> RequestHead:
    """Parse the head in `data`, which ends with its empty line; raise Fault to reject it."""
    # Sizes first, so that a head that is too large is not parsed at all (S7).
    line_end = data.find(b"\r\n")
    if line_end > limits.max_request_line:
        raise Fault(faults.TOO_LONG_TARGET)
    if len(data) - line_end > limits.max_header_bytes + 4:
        raise Fault(faults.TOO_LARGE_HEAD)
    head = _read_request_line(data[:line_end])
    try:
        raw_fields = parse_fields(FIRST_LINES[head.minor] + data[line_end:])
    except ValueError as error:
        raise _parser_fault(data) from error
    if len(raw_fields) > limits.max_headers:
        raise Fault(faults.TOO_LARGE_HEAD)
    _sort_fields(head, raw_fields)
    return head


def _parser_fault(data: bytes) -> Fault:
    """Return the fault for a head that the parser rejected: it has one error for all causes."""
    lower = data.lower()
    if b"\r\nhost:" not in lower:
        return Fault(faults.BAD_HOST)
    if b"\r\ncontent-length" in lower or b"\r\ntransfer-encoding" in lower:
        return Fault(faults.BAD_FRAMING)
    return Fault(faults.BAD_HEADER)


def _read_request_line(line: bytes) -> RequestHead:
    """Parse exactly `method SP target SP version` (S3, RFC 9112 3)."""
    parts = line.split(b" ")
    if len(parts) != 3 or not (parts[0] in _COMMON_METHODS or is_token(parts[0])):
        raise Fault(faults.BAD_REQUEST_LINE)
    method, target, version = parts
    if version == b"HTTP/1.1":
        minor = 1
    elif version == b"HTTP/1.0":
        minor = 0
    elif re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version):
        raise Fault(faults.VERSION_NOT_SUPPORTED)
    else:
        raise Fault(faults.BAD_REQUEST_LINE)
    if not target or target.translate(None, _VISIBLE) or b"#" in target:
        raise Fault(faults.BAD_TARGET)
    return RequestHead(method, target, minor)


def _sort_fields(head: RequestHead, raw_fields: tuple[Field, ...]) -> None:
    """Forward, interpret or drop each field (H6, H7, S6)."""
    kinds = f.FIELD_KINDS
    passed = head.fields
    readers = _READERS
    seen = 0
    for field in raw_fields:
        kind = kinds[field[0]]
        if not kind:
            passed.append(field)
            continue
        if kind & seen:
            _check_repeated(kind, field[0], raw_fields)
        seen |= kind
        if kind & _PASSED:
            passed.append(field)
        if kind in readers:
            readers[kind](head, field[1])
        elif kind == f.FORWARDED:
            head.forwarded += (field,)
    head.kinds = seen
    _settle(head)


def _check_repeated(kind: int, name: bytes, fields: tuple[Field, ...]) -> None:
    """Reject a second line of a field that may occur once only (H7, S1, S2, S5)."""
    if kind in _REPEATED:
        raise Fault(_REPEATED[kind])
    lower = name.lower()
    if kind == f.SINGLETON and sum(field[0].lower() == lower for field in fields) > 1:
        raise Fault(faults.REPEATED_HEADER)


def _settle(head: RequestHead) -> None:
    """Validate what depends on more than one field."""
    seen = head.kinds
    # RFC 9112 6.3 permits Transfer-Encoding to override Content-Length, and 6.1 does not permit it in
    # HTTP/1.0. Both are used to smuggle requests past a proxy, so both are rejected (S1;
    # https://www.rfc-editor.org/rfc/rfc9112.html#section-11.2).
    if seen & f.TRANSFER_ENCODING and (seen & f.CONTENT_LENGTH or head.minor == 0):
        raise Fault(faults.BAD_FRAMING)
    if not seen & f.HOST and head.minor == 1:  # RFC 9112 3.2
        raise Fault(faults.BAD_HOST)
    if head.target[0] != 0x2F:
        _settle_target(head)
    if seen & f.CONNECTION:
        named = head.connection.named
        # Before rules and CORS see the fields: a field that the sender lists is hop-by-hop, whatever
        # its name (H6; https://www.rfc-editor.org/rfc/rfc9110.html#section-7.6.1).
        if named:
            head.fields = [field for field in head.fields if field[0].lower() not in named]
            head.forwarded = tuple([one for one in head.forwarded if one[0].lower() not in named])
        if head.connection.close:
            head.keep_alive = False
        elif head.minor == 0:
            head.keep_alive = head.connection.keep_alive
    # Last, because it depends on Connection: Upgrade without that option, or in HTTP/1.0, is ignored
    # (H17; https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
    if head.upgrade and (not head.connection.upgrade or head.minor == 0):
        head.upgrade = b""


def _settle_target(head: RequestHead) -> None:
    """Rewrite absolute-form to origin-form (H3, RFC 9112 3.2.2); keep `*` and CONNECT's target."""
    if head.method == b"CONNECT" or (head.target == b"*" and head.method == b"OPTIONS"):
        return
    match = _ABSOLUTE.fullmatch(head.target)
    if match is None:
        raise Fault(faults.BAD_TARGET)
    scheme, authority, rest = match.groups()
    port = _DEFAULT_PORT[scheme.lower()]
    named = host_of(authority)
    if named is None:
        raise Fault(faults.BAD_TARGET)
    if not head.kinds & f.HOST:
        head.host = named  # HTTP/1.0 without Host: the target names it
    elif named.lower().removesuffix(port) != head.host.lower().removesuffix(port):
        raise Fault(faults.BAD_TARGET)
    head.target = rest if rest.startswith(b"/") else b"/" + rest
    head.path = head.target.partition(b"?")[0]


@cached(1024)
def host_of(value: bytes) -> bytes | None:
    """Return the host in `value` with its port, if any; None if it is not a valid Host (S5).

    An empty port is dropped with its colon (RFC 3986 6.2.3).
    """
    # Wider than the grammars of origins (`policy.cors.origins`) and of the configuration
    # (`policy.authority`): clients may send any reg-name (RFC 3986 3.2.2,
    # https://www.rfc-editor.org/rfc/rfc3986.html#section-3.2.2), and no name is resolved here.
    match = _HOST.fullmatch(value) if len(value) <= _LONGEST_HOST else None
    if match is None:
        return None
    name, port = match.groups()
    if not port:
        return name
    return value if 1 <= int(port) <= 65535 else None


def _read_host(head: RequestHead, value: bytes) -> None:
    host = host_of(value)
    if host is None:
        raise Fault(faults.BAD_HOST)
    head.host = host


def _read_length(head: RequestHead, value: bytes) -> None:
    head.length = read_length(value)
    if head.length is None:
        raise Fault(faults.BAD_FRAMING)


def _read_transfer_encoding(head: RequestHead, value: bytes) -> None:
    head.chunked = is_chunked(value)
    if not head.chunked:
        raise Fault(faults.UNKNOWN_CODING if is_unknown_coding(value) else faults.BAD_FRAMING)


def _read_connection(head: RequestHead, value: bytes) -> None:
    earlier = head.connection
    head.connection = read_connection(value)
    if earlier is not NO_CONNECTION:
        head.connection = join_connections(earlier, head.connection)
    if head.connection.is_malformed or head.connection.listed > MOST_OPTIONS:
        raise Fault(faults.BAD_CONNECTION)


def _read_origin(head: RequestHead, value: bytes) -> None:
    head.origin += (value,)


def _read_request_method(head: RequestHead, value: bytes) -> None:
    head.request_method += (value,)


def _read_request_headers(head: RequestHead, value: bytes) -> None:
    head.request_headers += (value,)


def _read_fetch_site(head: RequestHead, value: bytes) -> None:
    head.fetch_site = value


def _read_upgrade(head: RequestHead, value: bytes) -> None:
    head.upgrade = value.lower()


def _read_expect(head: RequestHead, value: bytes) -> None:
    head.expect = value


def _read_request_id(head: RequestHead, value: bytes) -> None:
    if 0 < len(value) <= _LONGEST_REQUEST_ID and not value.translate(None, _REQUEST_ID):
        head.request_id = value


_READERS: Final[dict[int, Callable[[RequestHead, bytes], None]]] = {
    f.HOST: _read_host,
    f.CONTENT_LENGTH: _read_length,
    f.TRANSFER_ENCODING: _read_transfer_encoding,
    f.CONNECTION: _read_connection,
    f.ORIGIN: _read_origin,
    f.REQUEST_METHOD: _read_request_method,
    f.REQUEST_HEADERS: _read_request_headers,
    f.FETCH_SITE: _read_fetch_site,
    f.UPGRADE: _read_upgrade,
    f.EXPECT: _read_expect,
    f.REQUEST_ID: _read_request_id,
}

# Fields that are interpreted here and also forwarded; every other special field is dropped and, if the
# upstream needs it, written anew (S13).
_PASSED: Final = (
    f.ORIGIN
    | f.REQUEST_METHOD
    | f.REQUEST_HEADERS
    | f.FETCH_SITE
    | f.SINGLETON
    | f.VARY
    | f.VIA
    | f.CORS
    | f.LOCATION
    | f.SET_COOKIE
    | f.TIMING
    | f.RESOURCE_POLICY
    | f.UNDERSCORED
)
_REPEATED: Final = {
    f.HOST: faults.BAD_HOST,
    f.CONTENT_LENGTH: faults.BAD_FRAMING,
    f.TRANSFER_ENCODING: faults.BAD_FRAMING,
    f.EXPECT: faults.REPEATED_HEADER,
    f.UPGRADE: faults.REPEATED_HEADER,
}
