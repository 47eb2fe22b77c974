"""Parses and validates the head of a response.

It is stricter than the parser of field lines (forwarding.md S11): a response that two recipients
could parse differently never reaches a client.
"""

import re
from typing import Final

from corsproxy.policy import fields as f
from corsproxy.policy.fields import Field
from corsproxy.policy.tokens import OWS
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import Body, ChunkedBody, LengthBody, UntilClose
from corsproxy.proxy.http.framing import (
    CONTROL_BYTES,
    NO_CONNECTION,
    Connection,
    ParseFields,
    is_chunked,
    join_connections,
    read_connection,
    read_length,
)

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 200
_DIGITS: Final = b"0123456789"
# How many lines of a chunked body are parsed in one turn of the loop (S9).
_MOST_CHUNK_LINES: Final = 512


class ResponseHead:
    """A parsed response head.

    `fields` are the end-to-end fields, `kinds` the set of kinds among them. `status_line` is the
    original status code and reason phrase: `200 OK`.
    """

    length: int | None = None
    chunked = False
    connection: Connection = NO_CONNECTION
    kept_for: float | None = None
    upgrade = b""

    def __init__(self, minor: int, status: int, status_line: bytes) -> None:
        self.minor = minor
        self.status = status
        self.status_line = status_line
        self.fields: list[Field] = []
        self.kinds = 0
        self.keep_alive = minor == 1

    def body(self, request_method: bytes) -> Body | None:
        """Return a reader for the body that follows, or None if there is no body.

        In the order of RFC 9112 6.3: method and status override framing fields, and chunked precedes
        the length (https://www.rfc-editor.org/rfc/rfc9112.html#section-6.3).
        """
        if request_method == b"HEAD" or self.status in {204, 304}:
            return None
        if self.chunked:
            return ChunkedBody(_MOST_CHUNK_LINES)
        if self.length is None:
            return UntilClose()
        return LengthBody(self.length) if self.length else None


def read_response_head(parse_fields: ParseFields, data: bytes) -> ResponseHead:
    """Parse the head in `data`, which ends with its empty line.

    Raises Fault UPSTREAM_INVALID to reject it.
    """
    line_end = data.find(b"\r\n")
    head = _read_status_line(data[:line_end])
    # Before the parser, which accepts a bare LF as the end of a line: a recipient that does not would
    # find other fields, or another end of the head
    # (https://www.rfc-editor.org/rfc/rfc9112.html#section-2.2).
    ends = data.count(b"\r\n")
    bare = data.count(b"\n") != ends or data.count(b"\r") != ends
    if bare or data.translate(None, CONTROL_BYTES) != data:
        raise Fault(faults.UPSTREAM_INVALID, "a control byte or a bare CR or LF in the head")
    if b" :" in data or b"\t:" in data or data[line_end + 2] in b" \t":
        _check_names(data[line_end:])
    try:
        raw_fields = parse_fields(_STATUS_LINE + data[line_end:])
    except ValueError as error:
        raise Fault(faults.UPSTREAM_INVALID, "a malformed header field") from error
    _sort_fields(head, raw_fields)
    return head


# White space before a field's colon, or before the first field: the C parser, which is lenient with
# responses, accepts it around framing fields (https://www.rfc-editor.org/rfc/rfc9112.html#section-5.1).
_SPACED_NAME: Final = re.compile(rb"\A\r\n[ \t]|\r\n[^\r\n:]*[ \t]:")


def _check_names(fields: bytes) -> None:
    if _SPACED_NAME.search(fields):
        raise Fault(faults.UPSTREAM_INVALID, "white space around a field name")


# The parser is used for fields only; with this status it applies no special rules.
_STATUS_LINE: Final = b"HTTP/1.1 200 OK"


def _read_status_line(line: bytes) -> ResponseHead:
    """Parse `HTTP/1.x SP 3DIGIT [SP reason]` (RFC 9112 4)."""
    version, code = line[:9], line[9:12]
    if version == b"HTTP/1.1 ":
        minor = 1
    elif version == b"HTTP/1.0 ":
        minor = 0
    else:
        raise Fault(faults.UPSTREAM_INVALID, "a status line that is not HTTP/1")
    if len(code) != 3 or code.strip(_DIGITS) or code[0] == 0x30 or line[12:13] not in {b" ", b""}:
        raise Fault(faults.UPSTREAM_INVALID, "an invalid status code")
    return ResponseHead(minor, int(code), line[9:] if len(line) > 12 else code + b" ")


def _sort_fields(head: ResponseHead, raw_fields: tuple[Field, ...]) -> None:
    if len(raw_fields) > MAX_FIELDS:
        raise Fault(faults.UPSTREAM_INVALID, "more than 200 header fields")
    kinds = f.FIELD_KINDS
    passed = head.fields
    seen = 0
    for field in raw_fields:
        kind = kinds[field[0]]
        if not kind:
            passed.append(field)
            continue
        seen |= kind
        if kind & _DROPPED:
            _read_field(head, kind, field[1])
        else:
            passed.append(field)
    head.kinds = seen
    _settle(head)


_DROPPED: Final = (
    f.HOP_BY_HOP | f.CONNECTION | f.KEEP_ALIVE | f.CONTENT_LENGTH | f.TRANSFER_ENCODING | f.UPGRADE
)


def _read_field(head: ResponseHead, kind: int, value: bytes) -> None:
    if kind == f.CONTENT_LENGTH:
        length = read_length(value)
        if length is None or head.length is not None:
            raise Fault(faults.UPSTREAM_INVALID, "an invalid Content-Length")
        head.length = length
    elif kind == f.TRANSFER_ENCODING:
        if head.chunked or not is_chunked(value):
            raise Fault(faults.UPSTREAM_INVALID, "an invalid Transfer-Encoding")
        head.chunked = True
    elif kind == f.CONNECTION:
        earlier = head.connection
        head.connection = read_connection(value)
        if earlier is not NO_CONNECTION:
            head.connection = join_connections(earlier, head.connection)
    elif kind == f.KEEP_ALIVE:
        head.kept_for = _read_keep_alive(value)
    elif kind == f.UPGRADE:
        head.upgrade = value.lower()


def _read_keep_alive(value: bytes) -> float | None:
    """Return the seconds of `Keep-Alive: timeout=N`, or None without a valid timeout (F4)."""
    for part in value.split(b","):
        name, _, number = part.strip(OWS).partition(b"=")
        if name.lower() == b"timeout" and 0 < len(number) <= 9 and not number.strip(_DIGITS):
            return float(number)
    return None


def _settle(head: ResponseHead) -> None:
    """Validate what depends on more than one field (S11, H12)."""
    # RFC 9112 6.3 permits Transfer-Encoding to override Content-Length; a recipient that does the
    # opposite would parse the rest as another response
    # (https://www.rfc-editor.org/rfc/rfc9112.html#section-6.3).
    if head.chunked and (head.length is not None or head.minor == 0):
        raise Fault(faults.UPSTREAM_INVALID, "Transfer-Encoding with Content-Length or in HTTP/1.0")
    options = head.connection
    if options.close:
        head.keep_alive = False
    elif head.minor == 0:
        head.keep_alive = options.keep_alive
    if options.named:
        # The fields that a server lists are hop-by-hop (H6). Framing fields and our CORS headers are
        # added later, so it cannot remove those (cors.md 48).
        head.fields = [field for field in head.fields if field[0].lower() not in options.named]
