"""A side that stalls pauses the other one: forwarding.md F7, O6."""

import asyncio

import pytest

from tests.support.kernel import held_between, resident_bytes
from tests.support.messages import read_head
from tests.support.proxy import through
from tests.support.upstream import (
    Script,
    head_of_request,
    pour,
    request,
    send,
    swallow,
    tell,
    until,
    wait,
)
from tests.support.wire import patiently

MIB = 1024 * 1024
LIMIT = 256 * 1024  # bytes in the proxy, a direction
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZES = [
    pytest.param(64 * MIB, id="64 MiB"),
    pytest.param(1024 * MIB, id="1 GiB", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("size", SIZES)
async def test_a_client_that_does_not_read_holds_the_upstream_back(size: int) -> None:
    """F7: while the client stalls at most 256 KiB are in the proxy; then every byte arrives."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with through([request(), send(head), pour(size)]) as (client, _, upstream):
        await client.send(GET)
        sender = await upstream.connection(0)
        held = await held_between(sender, client, lambda: sender.sent)
        assert sender.sent < size, "the upstream was not held back"
        assert held <= LIMIT + len(head)
        before = resident_bytes()
        await read_head(client)
        assert await client.count(size) == size
        assert resident_bytes() - before < 10 * MIB


@pytest.mark.parametrize("size", SIZES)
async def test_an_upstream_that_does_not_read_holds_the_client_back(size: int) -> None:
    """F7: the same for an upload."""
    go = asyncio.Event()
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    script: Script = [head_of_request(), wait(go), swallow(size), send(ok)]
    async with through(script) as (client, _, upstream):
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        pouring = asyncio.create_task(client.pour(size, bytes(64 * 1024)))
        receiver = await upstream.connection(0)
        held = await held_between(client, receiver, lambda: client.sent)
        assert client.sent < size, "the client was not held back"
        assert held <= LIMIT
        before = resident_bytes()
        go.set()
        assert (await client.response()).status == 200
        await pouring
        assert resident_bytes() - before < 10 * MIB


CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"


@pytest.mark.parametrize("size", [64 * MIB])
async def test_chunks_are_held_back_too(size: int) -> None:
    """F7: an endless chunked response stalls with its client."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    poured = len(CHUNK) * (size // 0x10000)
    async with through([request(), send(head), pour(poured, CHUNK)]) as (client, _, upstream):
        await client.send(GET)
        sender = await upstream.connection(0)
        held = await held_between(sender, client, lambda: sender.sent)
        assert sender.sent < poured, "the upstream was not held back"
        assert held <= LIMIT + len(head)


async def test_a_slow_stream_is_passed_on_piece_by_piece() -> None:
    """H19: each piece reaches the client before the upstream sends the next."""
    turns = [asyncio.Event() for _ in range(5)]
    steps: Script = [request(), send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")]
    for number, turn in enumerate(turns):
        steps += [wait(turn), send(b"data: %d\n\n" % number)]
    async with through(steps) as (client, _, _):
        await client.send(GET)
        await read_head(client)
        for number, turn in enumerate(turns):
            turn.set()
            assert await client.until(b"\n\n") == b"data: %d\n\n" % number


async def test_an_upload_is_passed_on_piece_by_piece() -> None:
    """H19, H11: a chunked upload reaches the upstream as it comes, not when it is whole."""
    there = asyncio.Event()
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    script: Script = [until(b"first\r\n"), tell(there), until(b"0\r\n\r\n"), send(ok)]
    async with through(script) as (client, _, _):
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"5\r\nfirst\r\n")
        await patiently(there.wait(), "the first chunk to reach the upstream")
        await client.send(b"6\r\nsecond\r\n0\r\n\r\n")
        assert (await client.response()).status == 200
