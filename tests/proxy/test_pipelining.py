"""Requests sent without waiting for responses: forwarding.md S9."""

import asyncio
import contextlib

import pytest

from tests.support.kernel import held_between
from tests.support.messages import Truncated
from tests.support.proxy import through
from tests.support.upstream import (
    Script,
    black_hole,
    head_of_request,
    repeat,
    request,
    send,
    tell,
    wait,
)
from tests.support.wire import End, patiently

CORS = "cors: {allow_origins: [https://app.example.com], allow_methods: [PUT]}"


def get(target: str) -> bytes:
    """Return a GET of `target`."""
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def answer(body: bytes) -> bytes:
    """Return a 200 with this body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def test_responses_come_in_the_order_of_the_requests() -> None:
    """S9: twenty requests in one write get their twenty responses, in order."""
    script: Script = [step for n in range(20) for step in (request(), send(answer(b"%d" % n)))]
    async with through(script) as (client, _, upstream):
        await client.send(b"".join(get(f"/{n}") for n in range(20)))
        assert [(await client.response()).body for _ in range(20)] == [b"%d" % n for n in range(20)]
        assert [one.target for one in upstream.requests] == [b"/%d" % n for n in range(20)]


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_and_the_request_behind_it_are_told_apart(framing: str) -> None:
    """S9, S13: bodies that look like requests stay bodies, wherever a read happens to end."""
    body = get("/smuggled")
    post = b"POST /post HTTP/1.1\r\nHost: a\r\n"
    if framing == "length":
        data = post + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    else:
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        data = post + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    line = (data + get("/get")) * 3
    for size in (len(line), 7, len(data) - 2, len(data) + 1):
        async with through([repeat(request(), send(answer(b"ok")))]) as (client, _, upstream):
            for start in range(0, len(line), size):
                await client.send(line[start : start + size])
                await asyncio.sleep(0)
            assert [(await client.response()).body for _ in range(6)] == [b"ok"] * 6
            assert [one.target for one in upstream.requests] == [b"/post", b"/get"] * 3
            assert [one.body for one in upstream.requests] == [body, b""] * 3


async def test_the_next_request_waits_for_the_response_before_it() -> None:
    """S9: while the first is unanswered the second is not started, on any connection."""
    go, asked = asyncio.Event(), asyncio.Event()
    first: Script = [request(), tell(asked), wait(go), send(answer(b"1"))]
    later: Script = [repeat(request(), send(answer(b"2")))]
    async with through([*first, *later], later) as (client, proxy, upstream):
        await client.send(get("/1") + get("/2"))
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as other:  # when its response arrives, /2 had its chance
            assert (await other.exchange(get("/other"))).body == b"2"
        assert [one.target for one in upstream.requests] == [b"/1", b"/other"]
        go.set()
        assert (await client.response()).body == b"1"
        assert (await client.response()).body == b"2"


async def test_a_request_starts_only_when_the_body_before_it_is_consumed() -> None:
    """S9, F5: an early response does not let the bytes of a body be read as a request."""
    early: Script = [head_of_request(), send(answer(b"early"))]
    later: Script = [repeat(request(), send(answer(b"later")))]
    smuggled = get("/smuggled").ljust(100, b"x")
    async with through(early, later) as (client, _, upstream):
        await client.send(
            b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + smuggled
        )
        assert (await client.response()).body == b"early"
        await client.send(b"y" * (100_000 - len(smuggled)) + get("/2"))
        with contextlib.suppress(Truncated):  # S10: the connection may end instead
            assert (await client.response()).body == b"later"
        assert [one.target for one in upstream.requests] in ([b"/1"], [b"/1", b"/2"])


async def test_an_own_response_waits_for_its_turn() -> None:
    """S9: a preflight behind a slow GET gets its response after it, though it needs no upstream."""
    go, asked = asyncio.Event(), asyncio.Event()
    preflight = (
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n"
        b"Access-Control-Request-Method: PUT\r\n\r\n"
    )
    script: Script = [request(), tell(asked), wait(go), send(answer(b"slow"))]
    async with through(script, route=CORS) as (client, _, _):
        await client.send(get("/slow") + preflight)
        await asked.wait()
        go.set()
        assert (await client.response()).body == b"slow"
        assert (await client.response()).status == 204


async def test_a_bad_request_in_the_line_gets_a_response_in_its_place_and_ends_it() -> None:
    """S9, S4: the one before is served, what comes behind the bad one is never looked at."""
    script: Script = [repeat(request(), send(answer(b"good")))]
    async with through(script) as (client, _, upstream):
        await client.send(get("/good") + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n" + get("/behind"))
        assert (await client.response()).body == b"good"
        assert (await client.response()).status == 400
        assert await client.ending() in {End.FIN, End.RESET}
        assert [one.target for one in upstream.requests] == [b"/good"]


async def test_connection_close_ends_the_line() -> None:
    """S9, RFC 9112 9.3: nothing behind a request with `Connection: close` is served."""
    script: Script = [repeat(request(), send(answer(b"last")))]
    async with through(script) as (client, _, upstream):
        last = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        await client.send(last + get("/behind"))
        answered = await client.response()
        assert answered.head.value("connection") == b"close"
        await client.until_end()
        assert client.unread == b""
        assert [one.target for one in upstream.requests] == [b"/last"]


async def test_a_client_that_only_sends_is_held_back() -> None:
    """S9, O6: of 32 MiB of requests behind an unanswered one, 256 KiB at most are in the proxy."""
    async with through([request(), black_hole()]) as (client, _, upstream):
        pouring = asyncio.create_task(client.pour(32 * 1024 * 1024, get("/x") * 1000))
        receiver = await upstream.connection(0)
        held = await held_between(client, receiver, lambda: client.sent)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        assert held <= 256 * 1024
        assert len(upstream.connections) == 1
