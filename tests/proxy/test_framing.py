"""The treatment of bodies and of interim responses: forwarding.md H11-H13, H15, H18."""

import pytest

from tests.support.proxy import through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import close, request, send
from tests.support.wire import End

HOST = b"Host: api.example.com\r\n"


BODIES = {
    "none": (b"", b""),
    "length": (b"Content-Length: 5\r\n", b"hello"),
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", list(BODIES))
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"OPTIONS", b"FOO"])
async def test_h11_the_framing_of_a_request_is_kept(method: bytes, framing: str) -> None:
    """H11: length stays length, chunked stays chunked, none stays none, for every method."""
    fields, body = BODIES[framing]
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(method + b" / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body)
        assert answer.status == 200
        sent = upstream.requests[0]
        assert sent.framing == framing
        assert sent.body == (b"hello" if body else b"")
        again = await client.exchange(b"GET /again HTTP/1.1\r\n" + HOST + b"\r\n")
        assert again.status == 200
        assert upstream.requests[-1].target == b"/again"


async def test_h11_a_length_of_zero_is_kept() -> None:
    """H11: `Content-Length: 0` is not the same as no length."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.exchange(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        assert upstream.requests[0].head.value("content-length") == b"0"


@pytest.mark.parametrize(
    ("answer_bytes", "framing", "end"),
    [
        (b"Content-Length: 5\r\n\r\nhello", "length", None),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "chunked", None),
        (
            b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n",
            "chunked",
            None,
        ),
        (b"\r\nhello", "close", End.FIN),
    ],
)
async def test_h11_the_framing_of_a_response_is_kept(
    answer_bytes: bytes, framing: str, end: End | None
) -> None:
    """H11, H15: the client sees the upstream's framing; trailers are dropped."""
    async with through([request(), send(b"HTTP/1.1 200 OK\r\n" + answer_bytes), close()]) as way:
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.body, answer.framing) == (b"hello", framing)
        assert answer.trailers == ()
        assert way.client.end is end


async def test_h18_an_old_client_gets_no_chunks() -> None:
    """H18: to HTTP/1.0 a body of unknown length ends with the connection."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with through([request(), send(data)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        assert (answer.body, answer.framing) == (b"hello", "close")


async def test_h18_an_old_client_may_keep_its_connection() -> None:
    """H18, RFC 9112 9.3: HTTP/1.0 with `Connection: keep-alive` and a known length goes on."""
    async with through(ALWAYS_OK) as (client, _, _):
        for _ in range(2):
            answer = await client.exchange(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert answer.head.value("connection") == b"keep-alive"
            assert answer.body == b"hi"
        last = await client.exchange(b"GET / HTTP/1.0\r\n\r\n")
        assert last.head.value("connection") == b"close"
        assert await client.ending() is End.FIN


async def test_h12_head_keeps_the_length_that_get_would_have() -> None:
    """H12: the length is the upstream's, no body follows, the connections go on."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    async with through([request(), send(head), request(), send(OK)]) as (client, _, upstream):
        answer = await client.exchange(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD")
        assert answer.head.value("content-length") == b"1234"
        again = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert again.body == b"hi"
        assert len(upstream.connections) == 1


async def test_h12_head_of_a_chunked_resource_keeps_its_framing_header() -> None:
    """H12, H11: no length is invented for HEAD."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with through([request(), send(head), request(), send(OK)]) as (client, _, _):
        answer = await client.exchange(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD")
        assert answer.head.value("content-length") is None
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", None),
        (b"HTTP/1.1 204 No Content\r\nX: 1\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 304 Not Modified\r\nX: 1\r\nContent-Length: 77\r\n\r\n", b"77"),
        (b"HTTP/1.1 304 Not Modified\r\nX: 1\r\n\r\n", None),
    ],
)
async def test_h12_204_and_304_have_no_body(head: bytes, kept: bytes | None) -> None:
    """H12: 204 has neither body nor length; 304 has no body; both connections go on."""
    async with through([request(), send(head), request(), send(OK)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.head.value("x") == b"1"
        assert answer.head.value("content-length") == kept
        assert answer.head.value("transfer-encoding") is None
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"
        assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"),
    ],
)
async def test_h12_a_body_where_none_may_be_is_not_passed_on(method: str, head: bytes) -> None:
    """H12: the response goes without it, and the upstream connection is not used again."""
    async with through([request(), send(head + b"POISON")], ALWAYS_OK) as (client, _, upstream):
        await client.exchange(method.encode() + b" / HTTP/1.1\r\n" + HOST + b"\r\n", method)
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"
        assert len(upstream.connections) == 2


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


async def test_h13_interim_responses_pass_except_for_100() -> None:
    """H13, cors.md 47: 102 and 103 reach an HTTP/1.1 client in order, 100 ends here."""
    async with through([request(), send(CONTINUE + PROCESSING + HINTS + OK)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert [one.first_line for one in answer.interim] == [
            b"HTTP/1.1 102 Processing",
            b"HTTP/1.1 103 Early Hints",
        ]
        assert answer.interim[1].values("link") == [b"</a.css>; rel=preload"]
        assert (answer.status, answer.body) == (200, b"hi")


async def test_h13_an_old_client_sees_no_interim_response() -> None:
    """H13: HTTP/1.0 has no 1xx."""
    async with through([request(), send(CONTINUE + HINTS + OK)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        assert answer.interim == ()
        assert answer.body == b"hi"


async def test_h13_a_switch_nobody_asked_for_is_a_fault() -> None:
    """H13: 101 without an upgrade asked for is 502, and that connection is dropped."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with through([request(), send(switch)], ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 502
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200
        assert len(upstream.connections) == 2
