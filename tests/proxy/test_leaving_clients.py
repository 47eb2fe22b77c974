"""What is left of a client that leaves, at whatever stage: forwarding.md F6, H20."""

import asyncio

import pytest

from tests.support.kernel import held_between, in_kernel
from tests.support.messages import read_head
from tests.support.proxy import Proxy, one_route, running_proxy, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    black_hole,
    head_of_request,
    pour,
    request,
    send,
    tell,
    wait,
)
from tests.support.wire import eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


LEAVING = {
    "while the upstream thinks": [request()],
    "before the body is sent": [head_of_request()],
    "after the head of the answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    ],
    "in the middle of the answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
    ],
    "in an endless answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\n\r\n"),
        pour(1 << 40),
    ],
}


@pytest.mark.parametrize("how", ["reset", "close", "FIN"])
@pytest.mark.parametrize("stage", list(LEAVING))
async def test_f6_a_client_that_leaves_ends_its_upstream_request(stage: str, how: str) -> None:
    """F6, H20: reset, close or FIN, at any stage: the upstream connection ends within 100 ms."""
    arrived = asyncio.Event()
    first, *rest = LEAVING[stage]
    async with through([first, tell(arrived), *rest]) as (client, _, upstream):
        body = b"Content-Length: 100000\r\n" if stage == "before the body is sent" else b""
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + body + b"\r\n" + b"x" * bool(body))
        await patiently(arrived.wait(), "the request to arrive")
        if stage.startswith(("after", "in")):
            await read_head(client)
        {"reset": client.reset, "close": client.close, "FIN": client.finish}[how]()
        connection = upstream.connections[0]
        await patiently(connection.peer_ended.wait(), f"the end ({stage})", 1.0)


async def test_f6_a_client_that_leaves_a_held_back_upload_ends_it() -> None:
    """F6, F7: also while nothing is read from it, because the upstream takes no more."""
    size = 64 * 1024 * 1024
    async with through([head_of_request(), black_hole()]) as (client, proxy, upstream):
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        pouring = asyncio.create_task(client.pour(size, bytes(64 * 1024)))
        receiver = await upstream.connection(0)
        await held_between(client, receiver, lambda: client.sent)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        client.reset()
        await eventually(lambda: proxy.server.state.open_exchanges == 0, "the request to end", 1.0)


async def test_f6_a_client_that_leaves_before_its_head_is_whole_costs_nothing() -> None:
    """F6: half a head, then gone: no connection to the upstream was made for it."""
    async with through(ALWAYS_OK) as (client, proxy, upstream):
        await client.send(b"GET / HTTP/1.1\r\nHo")
        client.reset()
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).status == 200
        assert len(upstream.connections) == 1


async def test_f6_a_client_that_leaves_while_it_queues_is_forgotten() -> None:
    """F6, O3: its place in the queue is given up, and the connection serves the next."""
    go, asked = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(asked), wait(go), send(OK), *ALWAYS_OK]
    async with through(script, upstream="pool: {max_connections: 1}") as (client, proxy, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        leaver = await proxy.client()
        await leaver.send(b"GET /leaver HTTP/1.1\r\nHost: a\r\n\r\n")
        async with await proxy.client() as other:
            await other.send(GET)
            leaver.reset()
            await asyncio.sleep(0)
            go.set()
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert all(one.target != b"/leaver" for one in upstream.requests)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_f6_a_client_that_does_not_wait_for_its_refusal_costs_nothing(how: str) -> None:
    """F6, S10: it is gone when the refusal is written; nothing is raised out of the connection."""
    async with through(ALWAYS_OK) as (client, proxy, _):
        client.sock.send(b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
        {"reset": client.reset, "close": client.close}[how]()
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).status == 200


async def test_f6_a_client_that_left_unseen_costs_nothing_when_its_fault_is_told() -> None:
    """F6, S10: it left while its upload was held back; telling it of the full pool fails softly."""
    asked = asyncio.Event()
    first: Script = [request(), tell(asked)]
    pool = "pool: {max_connections: 1, queue: 50ms}"
    async with through(first, upstream=pool) as (client, proxy, _):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as queueing:
            async with await proxy.client() as leaver:
                post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx"
                await leaver.send(post)
                await eventually(lambda: in_kernel() == 0, "the head to be read")
                await leaver.send(b"y")
                await eventually(lambda: in_kernel() == 0, "the upload to be read")
            assert (await queueing.exchange(GET)).status == 503


async def _leave(proxy: Proxy, number: int) -> None:
    client = await proxy.client()
    data = GET if number % 2 else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\nx"
    await client.send(data[: number % len(data) + 1] if number % 3 == 0 else data)
    for _ in range(number % 7):
        await asyncio.sleep(0)
    (client.reset if number % 5 else client.close)()


async def _leave_in_crowds(count: int, crowd: int) -> None:
    halting: Script = [head_of_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")]
    async with (
        ScriptedUpstream(halting) as upstream,
        running_proxy(one_route(upstream.url)) as proxy,
    ):
        for start in range(0, count, crowd):
            await asyncio.gather(*(_leave(proxy, number) for number in range(start, start + crowd)))
            upstream.forget_ended()


async def test_f6_nothing_is_left_of_those_who_leave() -> None:
    """F6: 300 clients that leave at changing moments; the fixture finds no task, socket, timer."""
    await _leave_in_crowds(300, 50)


@pytest.mark.slow
async def test_f6_nothing_is_left_of_ten_thousand_who_leave() -> None:
    """F6: the same with 10 000."""
    await _leave_in_crowds(10_000, 100)
