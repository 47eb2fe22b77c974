"""Bodies that are left unread when their response is complete: forwarding.md S10, F5, S9.

test_max_body.py has the refusals for size.
"""

import asyncio

import pytest

from tests.support.proxy import through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import Script, head_of_request, repeat, request, send
from tests.support.wire import End, patiently

KIB = 1024
GET = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
# Before the upstream has a request with a length it has the whole body up to 64 KiB (O4): only of
# a chunked one, or behind a response of the proxy's own, there is something left to read.
NOWHERE = "match: {path: /here}"


def posting(length: int, path: bytes = b"/") -> bytes:
    """Return the head of an upload with this length."""
    return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path, length)


@pytest.mark.parametrize("sent", [0, 1, 30_000])
async def test_s10_a_short_rest_is_read_and_the_connection_kept(sent: int) -> None:
    """S10: up to 64 KiB: the next request on the connection is served."""
    length = 64 * KIB
    async with through(ALWAYS_OK, route=NOWHERE) as (client, _, upstream):
        answer = await client.exchange(posting(length) + b"x" * sent)
        assert (answer.status, answer.head.value("connection")) == (404, None)
        await client.send(b"x" * (length - sent))
        assert (await client.exchange(GET.replace(b"/next", b"/here"))).status == 200
        assert [one.target for one in upstream.requests] == [b"/here"]


async def test_s10_what_looks_like_a_request_in_the_rest_is_none() -> None:
    """S10, S9: the rest of a body is counted, not read."""
    rest = b"GET /here HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    async with through(ALWAYS_OK, route=NOWHERE) as (client, _, upstream):
        assert (await client.exchange(posting(10 + len(rest)) + b"x" * 10)).status == 404
        answer = await client.exchange(rest + GET.replace(b"/next", b"/here?own"))
        assert answer.status == 200
        assert [one.target for one in upstream.requests] == [b"/here?own"]


async def test_s10_a_short_rest_that_does_not_come_ends_the_connection() -> None:
    """S10: it is waited for one second; what comes later is not a request."""
    async with through(ALWAYS_OK, route=NOWHERE) as (client, _, upstream):
        loop = asyncio.get_running_loop()
        assert (await client.exchange(posting(100))).status == 404
        began = loop.time()
        assert await client.ending() is End.FIN
        assert 0.9 < loop.time() - began < 3.0
        await client.send(b"x" * 100 + GET.replace(b"/next", b"/here"))
        assert upstream.connections == []


@pytest.mark.parametrize("length", [64 * KIB + 1, 10_000_000])
async def test_s10_a_long_rest_ends_the_connection_behind_a_readable_response(length: int) -> None:
    """S10: the response says so; what arrives is discarded, so that no reset hides the response."""
    async with through(ALWAYS_OK, route=NOWHERE) as (client, _, _):
        answer = await client.exchange(posting(length))
        assert (answer.status, answer.head.value("connection")) == (404, b"close")
        await patiently(client.send(b"x" * length), "the body to be taken")
        assert client.end in {None, End.FIN}
        client.finish()
        assert await client.ending() is End.FIN


async def test_s10_a_rest_in_chunks_is_read_up_to_the_limit() -> None:
    """S10, F5: an early response to a chunked upload, whose rest ends within 64 KiB."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    early: Script = [head_of_request(), send(OK)]
    async with through(early, [repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(head + chunk)).body == b"hi"
        assert (await client.exchange(chunk * 3 + b"0\r\nX: y\r\n\r\n" + GET)).body == b"hi"
        assert upstream.requests[-1].target == b"/next"


async def test_s10_a_rest_in_chunks_beyond_the_limit_ends_the_connection() -> None:
    """S10, S9: the rest is discarded, and what is behind it is never served."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
    early: Script = [head_of_request(), send(OK)]
    async with through(early, [repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(head + chunk)).body == b"hi"
        await client.send(chunk * 40)  # more than one read takes
        await client.send(b"0\r\n\r\n" + GET)
        assert await client.ending() is End.FIN
        assert [one.target for one in upstream.requests] == [b"/"]


async def test_s10_a_rest_that_breaks_its_framing_ends_the_connection() -> None:
    """S10, S4: it is unknown where the next request begins."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    early: Script = [head_of_request(), send(OK)]
    async with through(early, [repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(head + b"1\r\nx\r\n")).body == b"hi"
        await client.send(b"xyz\r\n0\r\n\r\n" + GET)
        assert await client.ending() is End.FIN
        assert [one.target for one in upstream.requests] == [b"/"]
