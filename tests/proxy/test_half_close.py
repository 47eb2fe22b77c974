"""What the end of a client's sending means: that it has left, or that it waits (forwarding.md H20)."""

import asyncio

import pytest

from tests.support.proxy import through
from tests.support.upstream import Script, head_of_request, repeat, request, send, tell, wait
from tests.support.wire import End, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWER = "half_close: answer"


def halting(asked: asyncio.Event, go: asyncio.Event) -> Script:
    """Respond only once the test releases it."""
    return [request(), tell(asked), wait(go), send(OK), repeat(request(), send(OK))]


async def test_by_default_it_means_that_the_client_has_left() -> None:
    """H20, F6: as a browser's abort looks; the upstream request ends within 100 ms."""
    asked = asyncio.Event()
    async with through([request(), tell(asked)]) as (client, _, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the request")
        client.finish()
        await patiently(upstream.connections[0].peer_ended.wait(), "the end of the request", 1.0)


async def test_a_half_closed_client_that_is_served_may_wait() -> None:
    """H20: `answer` keeps the exchange alive; afterwards the connection ends."""
    asked, go = asyncio.Event(), asyncio.Event()
    async with through(halting(asked, go), server=ANSWER) as (client, _, _):
        await client.send(GET)
        client.finish()
        await patiently(asked.wait(), "the request")
        go.set()
        assert (await client.response()).body == b"hi"
        assert await client.ending() is End.FIN


async def test_pipelined_requests_of_a_half_closed_client_are_served_too() -> None:
    """H20, S9: all that was sent before the FIN gets its response, in order."""
    asked, go = asyncio.Event(), asyncio.Event()
    async with through(halting(asked, go), server=ANSWER) as (client, _, upstream):
        await client.send(GET + GET + GET)
        client.finish()
        go.set()
        for _ in range(3):
            assert (await client.response()).body == b"hi"
        assert await client.ending() is End.FIN
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("start", [GET + b"GET / HT", b"GET / HTTP/1.1\r\nHo"])
async def test_half_a_head_before_it_is_no_request(start: bytes) -> None:
    """H20: what can never become whole is not waited for."""
    async with through([repeat(request(), send(OK))], server=ANSWER) as (client, _, upstream):
        await client.send(start)
        client.finish()
        if start.startswith(GET):
            assert (await client.response()).body == b"hi"
        assert await client.ending() is End.FIN
        assert len(upstream.requests) == start.count(GET)


async def test_half_a_body_before_it_is_no_request() -> None:
    """H20, S13: the upstream never takes a request for complete whose body was cut."""
    arrived = asyncio.Event()
    async with through([head_of_request(), tell(arrived)], server=ANSWER) as (client, _, upstream):
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000
        )
        await patiently(arrived.wait(), "the head")
        client.finish()
        await patiently(upstream.connections[0].peer_ended.wait(), "the end of the request", 1.0)


async def test_a_half_closed_client_that_leaves_is_detected_by_writing() -> None:
    """H20: `until a write fails`; nothing is left behind (the fixture looks)."""
    asked, go = asyncio.Event(), asyncio.Event()
    async with through(halting(asked, go), server=ANSWER) as (client, _, upstream):
        await client.send(GET)
        client.finish()
        await patiently(asked.wait(), "the request")
        client.close()
        go.set()
        await upstream.connection(0)
