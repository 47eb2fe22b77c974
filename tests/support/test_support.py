"""The harness against itself: it sees what it must see, and fails when it must fail."""

import asyncio
from pathlib import Path

import pytest

from tests.support.client import RawClient
from tests.support.leaks import Leaks
from tests.support.messages import Truncated, parse_head
from tests.support.upstream import (
    ScriptedUpstream,
    close,
    half_close,
    pour,
    repeat,
    request,
    reset,
    send,
    wait,
)
from tests.support.wire import End, Ended, connect

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


async def test_an_exchange_is_recorded_byte_for_byte_on_both_sides() -> None:
    """What the client sent is what the upstream received, and the response is read whole."""
    async with (
        ScriptedUpstream([repeat(request(), send(OK))]) as upstream,
        await RawClient.to(upstream.address) as client,
    ):
        for _ in range(2):
            answer = await client.exchange(GET)
            assert (answer.status, answer.body, answer.framing) == (200, b"hi", "length")
        assert upstream.received == [GET * 2]
        assert [one.target for one in upstream.requests] == [b"/a", b"/a"]
        client.finish()
        assert (await upstream.connection(0)).received == GET * 2


async def test_a_unix_socket_serves_the_same(tmp_path: Path) -> None:
    """A path in place of a port."""
    path = str(tmp_path / "u.sock")
    async with (
        ScriptedUpstream([request(), send(OK)], path=path) as upstream,
        await RawClient.to(upstream.address) as client,
    ):
        assert upstream.url == f"unix:{path}"
        assert (await client.exchange(GET)).body == b"hi"


async def test_a_reset_and_a_fin_are_told_apart() -> None:
    """The first connection is reset, the second closed, the third only half."""
    async with ScriptedUpstream(
        [request(), reset()],
        [request(), close()],
        [request(), half_close(), request(), send(OK)],
    ) as upstream:
        for expected in (End.RESET, End.FIN, End.FIN):
            async with await RawClient.to(upstream.address) as client:
                await client.send(GET)
                assert await client.ending() is expected


@pytest.mark.parametrize(
    ("data", "end", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", close(), End.FIN),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", close(), End.FIN),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n",
            close(),
            End.FIN,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", reset(), End.RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Le", close(), End.FIN),
    ],
)
async def test_a_cut_response_is_not_taken_for_a_whole_one(
    data: bytes, end: object, expected: End
) -> None:
    """The reader raises Truncated, and says how the connection ended."""
    async with (
        ScriptedUpstream([request(), send(data), end]) as upstream,  # type: ignore[list-item]
        await RawClient.to(upstream.address) as client,
    ):
        with pytest.raises(Truncated) as caught:
            await client.exchange(GET)
        assert caught.value.end is expected


async def test_the_reader_keeps_what_comes_after_a_message() -> None:
    """Excess bytes are neither lost nor part of the message."""
    async with (
        ScriptedUpstream(
            [request(), send(b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK + b"more")]
        ) as up,
        await RawClient.to(up.address) as client,
    ):
        answer = await client.exchange(GET)
        assert [one.value("a") for one in answer.interim] == [b"b"]
        assert client.unread == b"more"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\n\r\n\r\n",
        b"GET / HTTP/1.1\r\n A: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\x00\r\n\r\n",
    ],
)
def test_the_reader_is_strict(raw: bytes) -> None:
    """A head that RFC 9112 forbids fails the test that received it."""
    with pytest.raises(AssertionError):
        parse_head(raw)


async def test_what_is_poured_is_counted_as_it_goes() -> None:
    """A reader that stalls stops the sender; a reader that reads gets every byte."""
    async with (
        ScriptedUpstream([request(), pour(32 * 1024 * 1024)]) as upstream,
        await RawClient.to(upstream.address) as client,
    ):
        await client.send(GET)
        assert await client.count(32 * 1024 * 1024) == 32 * 1024 * 1024
        assert upstream.connections[0].sent == 32 * 1024 * 1024


async def test_a_script_that_fails_fails_the_test() -> None:
    """Bytes that are not a valid request are reported when the upstream ends."""
    upstream = await ScriptedUpstream([request()]).__aenter__()
    async with await RawClient.to(upstream.address) as client:
        await client.send(b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
        assert await client.ending() is End.FIN
    with pytest.raises(ExceptionGroup):
        await upstream.__aexit__(None, None, None)


async def test_a_wait_holds_the_script_back() -> None:
    """Nothing is sent before the test says so; a closed listener refuses."""
    go = asyncio.Event()
    async with ScriptedUpstream([request(), wait(go), send(OK)]) as upstream:
        async with await RawClient.to(upstream.address) as client:
            await client.send(GET)
            await upstream.connection(0)
            assert client.unread == b""
            go.set()
            assert (await client.response()).body == b"hi"
        upstream.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(upstream.address)


async def test_leaks_are_found_by_kind() -> None:
    """A task, a timer, a socket and an error in a callback each fail the check."""
    loop = asyncio.get_running_loop()
    leaks = Leaks()
    assert leaks.remaining() == []
    task = loop.create_task(asyncio.Event().wait())
    timer = loop.call_later(60, print)
    async with ScriptedUpstream():
        assert len(leaks.remaining()) == 3
    task.cancel()
    timer.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await leaks.assert_none()
    loop.call_soon(lambda: 1 // 0)
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        await leaks.assert_none()


async def test_a_peer_that_ends_raises_inside_a_read() -> None:
    """Ended carries what had come."""
    async with (
        ScriptedUpstream([request(), send(b"abc"), close()]) as upstream,
        await RawClient.to(upstream.address) as client,
    ):
        await client.send(GET)
        with pytest.raises(Ended) as caught:
            await client.until(b"\r\n")
        assert caught.value.rest == b"abc"
