"""What a stream of bytes holds, by the strict reading of RFC 9112 alone."""

import re
from typing import Final, NamedTuple

from tests.support.messages import Head, parse_head

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.[01]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [\t -~\x80-\xff]*")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~\x80-\xff]*)?")


class Malformed(ValueError):  # noqa: N818 - a verdict on what came, not an error of the test
    """The stream is not a message that RFC 9112 allows."""


class Seen(NamedTuple):
    """The parts of a complete request on which two proxies must agree."""

    method: bytes
    target: bytes
    framing: str
    body: bytes


class Got(NamedTuple):
    """A final response; `framing` is close where only the connection's end delimits it."""

    status: int
    framing: str
    body: bytes
    is_whole: bool


def take_request(data: bytes) -> tuple[Seen, int] | None:
    """Return the request that `data` begins with and its size, None while it is not whole."""
    head = _take_head(data)
    if head is None:
        return None
    line = _REQUEST_LINE.fullmatch(head.first_line)
    if line is None:
        raise Malformed(f"no request line: {head.first_line!r}")
    framing = _framing_of(head)
    body = _take_body(framing or "none", head, data, len(head.raw))
    if body is None:
        return None
    return Seen(line[1], line[2], framing or "none", body[0]), body[1]


def read_answers(data: bytes, methods: list[bytes]) -> list[Got]:
    """Return the final responses in `data`, a stream that has ended, to requests of `methods`."""
    answers: list[Got] = []
    while data and len(answers) < len(methods):
        head = _take_head(data)
        if head is None:
            break
        line = _STATUS_LINE.fullmatch(head.first_line)
        if line is None:
            raise Malformed(f"no status line: {head.first_line!r}")
        status, at = int(line[1]), len(head.raw)
        if 100 <= status < 200 and status != 101:
            data = data[at:]
            continue
        got, at = _take_answer(status, head, data, methods[len(answers)])
        answers.append(got)
        data = data[at:]
    return answers


def _take_answer(status: int, head: Head, data: bytes, method: bytes) -> tuple[Got, int]:
    at = len(head.raw)
    if method == b"HEAD" or status in {101, 204, 304}:
        return Got(status, "none", b"", is_whole=True), at
    framing = _framing_of(head) or "close"
    body = _take_body(framing, head, data, at)
    if body is None:
        return Got(status, framing, data[at:], is_whole=False), len(data)
    return Got(status, framing, body[0], is_whole=True), body[1]


def _take_head(data: bytes) -> Head | None:
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    try:
        return parse_head(data[:end])
    except AssertionError as error:
        raise Malformed(str(error)) from None


def _framing_of(head: Head) -> str | None:
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise Malformed(f"framed more than once: {head.raw!r}")
    if codings and codings[0].lower() != b"chunked":
        raise Malformed(f"an unknown coding: {codings}")
    if lengths and not re.fullmatch(rb"[0-9]{1,19}", lengths[0]):
        raise Malformed(f"no length: {lengths}")
    return "chunked" if codings else "length" if lengths else None


def _take_body(framing: str, head: Head, data: bytes, at: int) -> tuple[bytes, int] | None:
    if framing == "none":
        return b"", at
    if framing == "close":
        return data[at:], len(data)
    if framing == "chunked":
        return _take_chunks(data, at)
    end = at + int(head.values("content-length")[0])
    return (data[at:end], end) if end <= len(data) else None


def _take_chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    body = b""
    while (end := data.find(b"\r\n", at)) >= 0:
        size = _SIZE.fullmatch(data[at:end])
        if size is None:
            raise Malformed(f"no chunk size: {data[at:end]!r}")
        length = int(size[1], 16)
        at = end + 2
        if not length:
            return _take_trailers(body, data, at)
        body += data[at : at + length]
        at += length + 2
        if data[at - 2 : at] != b"\r\n":
            if len(data) >= at:
                raise Malformed("no CRLF behind a chunk")
            return None
    return None


def _take_trailers(body: bytes, data: bytes, at: int) -> tuple[bytes, int] | None:
    while (end := data.find(b"\r\n", at)) >= 0:
        if end == at:
            return body, end + 2
        at = end + 2
    return None
