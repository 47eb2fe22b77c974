"""The treatment of header fields, status and reason: forwarding.md H6-H10, H16, S13."""

import re

import pytest

from tests.support.messages import Field
from tests.support.proxy import as_answered, as_sent, assert_untouched, through
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import Script, request, send

HOST = b"Host: api.example.com\r\n"


def lines(*fields: Field) -> bytes:
    """Return these fields as header lines."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)


HOP_BY_HOP: list[Field] = [
    (b"Connection", b"keep-alive, X-Hop"),
    (b"connection", b"x-Other"),
    (b"X-Hop", b"1"),
    (b"x-other", b"2"),
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Proxy-Authenticate", b"Basic"),
    (b"Proxy-Authorization", b"Basic eDp5"),
    (b"TE", b"trailers"),
    (b"Trailer", b"X-Sum"),
    (b"Upgrade", b"h2c"),
    (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
]


async def test_h6_hop_by_hop_fields_end_here_on_the_way_up() -> None:
    """H6, H17: Connection, what it names, and the rest of the list do not reach the upstream."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        fields = [(b"A", b"1"), *HOP_BY_HOP, (b"B", b"2")]
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + lines(*fields) + b"\r\n")
        assert answer.status == 200
        assert as_sent(upstream.requests[0].head) == ((b"A", b"1"), (b"B", b"2"))


async def test_h6_hop_by_hop_fields_end_here_on_the_way_down() -> None:
    """H6: the same holds for a response."""
    down = [field for field in HOP_BY_HOP if field[0] not in {b"TE", b"Trailer"}]
    fields = lines((b"A", b"1"), *down, (b"Content-Length", b"0"), (b"B", b"2"))
    script: Script = [request(), send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")]
    async with through(script) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert as_answered(answer.head) == (
            (b"A", b"1"),
            (b"B", b"2"),
            (b"Content-Length", b"0"),
        )


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"content-length",
        b"COOKIE",
        b"Authorization",
        b"Origin",
        b"Cache-Control",
        b"Via",
        b"Forwarded",
        b"X-Forwarded-For",
        b"x-forwarded-anything",
    ],
)
async def test_h6_connection_may_not_name_what_must_arrive(name: bytes) -> None:
    """H6, cors.md 48: a client can not have end-to-end fields deleted on the way."""
    async with through(ALWAYS_OK) as way:
        fields = lines((b"Connection", b"close, " + name), (b"Origin", b"https://a.example"))
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


ORDINARY: list[Field] = [
    (b"accept", b"text/html, */*;q=0.1"),
    (b"X-Twice", b"one"),
    (b"x-twice", b"TWO"),
    (b"X-TWICE", b"one"),
    (b"Cookie", b"a=1; b=2"),
    (b"Cookie", b"c=3"),
    (b"x-EMPTY", b""),
    (b"!#$%&'*+-.^_`|~x", b"token"),
    (b"Set-Cookie", b"s=1; Path=/; Unknown"),
    (b"Set-Cookie", b"t=2"),
    (b"Content-Encoding", b"gzip"),
]


async def test_h7_all_other_lines_pass_both_ways_in_order_case_and_number() -> None:
    """H7, H10: nothing is merged, sorted, re-cased or dropped, in either direction."""
    answer_bytes = b"HTTP/1.1 200 OK\r\n" + lines(*ORDINARY) + b"Content-Length: 0\r\n\r\n"
    async with through([request(), send(answer_bytes)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + lines(*ORDINARY) + b"\r\n")
        assert as_sent(upstream.requests[0].head) == tuple(ORDINARY)
        assert as_answered(answer.head)[:-1] == tuple(ORDINARY)


async def test_h9_nothing_is_invented() -> None:
    """H9: a bare request stays bare except for Host and the proxy's own fields; so does a response."""
    async with through([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]) as way:
        answer = await way.client.exchange(b"POST / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert as_answered(answer.head) == ((b"Content-Length", b"0"),)
        head = way.upstream.requests[0].head
        assert as_sent(head) == ()
        assert head.names().count("host") == 1


@pytest.mark.parametrize(
    "name", [b"Authorization", b"Content-Type", b"User-Agent", b"Referer", b"Range", b"If-Range"]
)
async def test_h7_a_field_that_may_stand_once_is_refused_twice(name: bytes) -> None:
    """H7: two lines of a singleton are 400, even when they agree."""
    async with through(ALWAYS_OK) as way:
        twice = lines((name, b"x"), (name.lower(), b"x"))
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + twice + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


EVERY_BYTE = bytes([*range(0x21, 0x7F), 0x20, 0x09, *range(0x80, 0x100)])


async def test_h8_values_and_reasons_pass_as_bytes() -> None:
    """H8: every byte but the controls arrives as it was sent, in values and in the reason."""
    line = b"HTTP/1.1 299 " + EVERY_BYTE + b"\r\n"
    answer_bytes = line + lines((b"X-All", EVERY_BYTE)) + b"Content-Length: 0\r\n\r\n"
    async with through([request(), send(answer_bytes)]) as (client, _, upstream):
        fields = lines((b"X-All", EVERY_BYTE), (b"X-User", b"\x85admin"))
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        assert as_sent(upstream.requests[0].head) == (
            (b"X-All", EVERY_BYTE),
            (b"X-User", b"\x85admin"),
        )
        assert (answer.status, answer.reason) == (299, EVERY_BYTE)
        assert answer.head.value("x-all") == EVERY_BYTE


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.1 404 Nope, not here", 404, b"Nope, not here"),
        (b"HTTP/1.1 302 Found", 302, b"Found"),
        (b"HTTP/1.1 401 Who?", 401, b"Who?"),
        (b"HTTP/1.1 599 \xe9", 599, b"\xe9"),
        (b"HTTP/1.1 999 Far out", 999, b"Far out"),
    ],
)
async def test_h16_status_and_reason_are_the_upstreams(
    line: bytes, status: int, reason: bytes
) -> None:
    """H16: 200-999 with any reason, or none, pass; no redirect is followed."""
    fields = lines((b"Location", b"/other"), (b"Content-Length", b"0"))
    async with through([request(), send(line + b"\r\n" + fields + b"\r\n")]) as way:
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.reason) == (status, reason)
        assert len(way.upstream.requests) == 1


async def test_s13_a_request_is_written_anew() -> None:
    """S13: HTTP/1.1, one Host, one framing header, in digits without leading zeros (S1)."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(
            b"POST /x HTTP/1.0\r\nhost:  api.example.com \t\r\ncontent-LENGTH:\t002\r\nA:b\r\n\r\nhi",
        )
        assert answer.status == 200
        sent = upstream.requests[0]
        assert re.fullmatch(
            rb"POST /x HTTP/1\.1\r\n(?:[^\r\n:]+: [^\r\n]*\r\n)+\r\n", sent.head.raw
        )
        assert sent.head.values("host") == [upstream.authority.encode()]
        assert sent.head.values("content-length") == [b"2"]
        assert sent.body == b"hi"
        assert (b"A", b"b") in sent.head.fields


async def test_s13_chunks_are_written_anew() -> None:
    """S13, H15: extensions and trailers do not go upstream, the payload does."""
    chunks = b"003;ext=1\r\nabc\r\n2\r\nde\r\n00\r\nX-Trailer: poison\r\n\r\n"
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + chunks
        )
        assert answer.status == 200
        assert upstream.requests[0].body == b"abcde"
        assert b"ext" not in upstream.received[0]
        assert b"poison" not in upstream.received[0]
        assert upstream.requests[0].trailers == ()
