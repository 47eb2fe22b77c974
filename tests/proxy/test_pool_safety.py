"""No response ever reaches another request: forwarding.md S12, F3."""

import array
import asyncio
import fcntl
import random
import termios

import pytest

from tests.support.client import RawClient
from tests.support.proxy import Proxy, one_route, running_proxy, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    UpstreamConnection,
    close,
    head_of_request,
    repeat,
    request,
    reset,
    send,
)
from tests.support.wire import Ended, eventually

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_a_connection_is_used_again() -> None:
    """S12: two requests of two clients, one after the other, share one upstream connection."""
    async with through(ALWAYS_OK) as (client, proxy, upstream):
        assert (await client.exchange(GET)).body == b"hi"
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 1
        assert len(upstream.requests) == 2


@pytest.mark.parametrize("pushed", [POISON, b"x", b"\r\n", b"HTTP/1.1 408 Timeout\r\n\r\n"])
async def test_a_byte_on_an_idle_connection_closes_it(pushed: bytes) -> None:
    """S12: what an upstream pushes between requests reaches nobody; its connection is closed."""
    async with through([request(), send(OK)], ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(GET)).body == b"hi"
        first = await upstream.connection(0)
        await first.send(pushed)
        await eventually(first.peer_ended.is_set, "the proxy to close the connection")
        assert (await client.exchange(GET)).body == b"hi"
        assert client.unread == b""
        assert len(upstream.connections) == 2


@pytest.mark.parametrize("order", ["push first", "request first"])
async def test_bytes_that_the_loop_has_not_seen_are_found_before_reuse(order: str) -> None:
    """S12: poison and the next request arrive in the same turn of the loop, in either order."""
    async with through([request(), send(OK)], ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(GET)).body == b"hi"
        first = upstream.connections[0]
        pushes = [(first.sock, POISON), (client.sock, GET)]
        for sock, data in pushes if order == "push first" else reversed(pushes):
            sock.send(data)  # no turn of the loop lies between the two
        answer = await client.response()
        assert answer.body == b"hi"
        assert len(upstream.connections) == 2


@pytest.mark.parametrize("how", [close(), reset()], ids=["FIN", "reset"])
async def test_a_connection_that_its_upstream_ended_is_not_used(how: object) -> None:
    """S12, F4: an idle connection that has ended is dropped, and nobody sees a fault."""
    async with through([request(), send(OK), how], ALWAYS_OK) as (client, _, upstream):  # type: ignore[list-item]
        assert (await client.exchange(GET)).body == b"hi"
        assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + POISON,
        OK + b"\r\n",
        OK + b"x",
        b"HTTP/1.1 204 No Content\r\n\r\n" + POISON,
        b"HTTP/1.1 304 Not Modified\r\n\r\n" + POISON,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + POISON,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + POISON,
    ],
)
async def test_excess_behind_a_response_is_cut_off(answer: bytes) -> None:
    """S11, S12: the response goes without what came behind it, and the connection is dropped."""
    async with through([request(), send(answer)], ALWAYS_OK) as (client, _, upstream):
        first = await client.exchange(GET)
        assert first.body in (b"hi", b"")
        assert first.status < 400
        assert (await client.exchange(GET)).body == b"hi"
        assert client.unread == b""
        assert len(upstream.connections) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_a_connection_that_will_end_is_not_kept(answer: bytes) -> None:
    """S12, RFC 9112 9.3: `Connection: close`, or HTTP/1.0 without keep-alive."""
    async with through([request(), send(answer)], ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(GET)).body == b"hi"
        assert client.end is None
        assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 2


@pytest.mark.parametrize("size", [64 * 1024, 128 * 1024, 256_000, 256 * 1024])
async def test_excess_behind_the_end_of_a_read_is_found(size: int) -> None:
    """S12: poison that a read just did not reach must not be the response to the one that queues."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = b"x" * (size - len(head % size))
    first: Script = [request(), send(head % len(body) + body + POISON)]
    pool = "pool: {max_connections: 1, queue: 2s}"
    async with through(first, ALWAYS_OK, upstream=pool) as (client, proxy, _):
        await client.send(GET)
        async with await proxy.client() as other:
            await other.send(GET)
            assert (await client.response()).body == body
            assert (await other.response()).body == b"hi"


async def test_poison_that_the_loop_has_not_seen_is_found_before_a_queued_request() -> None:
    """S12: it lies in the kernel, unread, while the rest of a response that was read is relayed.

    A chunked body is read a share of its lines a turn, and the socket is not read meanwhile: who
    queues must not get the connection as if nothing had come.
    """
    chunks = 10_000
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    many: Script = [request(), send(head + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")]
    pool = "pool: {max_connections: 1, queue: 5s}"
    async with through(many, ALWAYS_OK, upstream=pool) as (client, proxy, upstream):
        await client.send(GET)
        first = await upstream.connection(0)
        async with await proxy.client() as other:
            await other.send(GET)
            await client.until(b"\r\n\r\n")
            first.sock.send(POISON)
            await client.until(b"0\r\n\r\n")
            assert (await other.response()).body == b"hi"
        assert len(upstream.connections) == 2


async def test_a_queued_request_gets_a_quiet_connection_at_once() -> None:
    """S12: the same look closes no connection that is fit to be used again."""
    pool = "pool: {max_connections: 1, queue: 5s}"
    async with through(ALWAYS_OK, upstream=pool) as (client, proxy, upstream):
        async with await proxy.client() as other:
            await client.send(GET)
            await upstream.connection(0)
            await other.send(GET)
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert len(upstream.connections) == 1


async def test_an_old_upstream_may_keep_its_connection() -> None:
    """S12: HTTP/1.0 with `Connection: keep-alive` and a length is kept."""
    kept = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
    async with through([repeat(request(), send(kept))]) as (client, _, upstream):
        assert (await client.exchange(GET)).body == b"hi"
        assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 1


async def test_a_connection_with_an_unfinished_upload_is_not_kept() -> None:
    """S12, F5: after an early response the rest of a body is never read as a request there."""
    early: Script = [head_of_request(), send(OK)]
    async with through(early, ALWAYS_OK) as (client, proxy, upstream):
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000
        )
        assert (await client.response()).body == b"hi"
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).body == b"hi"
        assert [len(one.requests) for one in upstream.connections] == [1, 1]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
async def test_f3_what_is_not_safe_is_never_sent_twice(method: bytes) -> None:
    """F3: a reused connection that dies without a response: 502 for it, and it was sent once."""
    async with through([request(), send(OK), request(), reset()], ALWAYS_OK) as (
        client,
        _,
        upstream,
    ):
        assert (await client.exchange(GET)).body == b"hi"
        data = method + b" /once HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
        answer = await client.exchange(data)
        assert answer.status == 502
        assert [one.target for one in upstream.requests].count(b"/once") == 1


def _unread_by(connection: UpstreamConnection) -> int:
    size = array.array("i", [0])
    fcntl.ioctl(connection.sock, termios.FIONREAD, size)
    return size[0]


class PoisoningUpstream:
    """Respond to each request with its own target, and pushes poison onto idle connections.

    A push happens only while no request stands in that connection: after one was written, nobody
    could tell a push from its response.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.pushes = 0

    async def serve(self, connection: UpstreamConnection) -> None:
        """Be the one step of a script."""
        while True:
            await request()(connection)
            tag = connection.requests.pop().target
            del connection.received[:]
            choice = self.random.random()
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(tag), tag)
            if choice < 0.1:
                answer += POISON
                self.pushes += 1
            await connection.send(answer)
            if 0.1 <= choice < 0.3:
                for _ in range(self.random.randrange(4)):
                    await asyncio.sleep(0)
                if not _unread_by(connection):
                    await connection.send(POISON)
                    self.pushes += 1


async def _probe(proxy: Proxy, tags: list[str], wrong: list[str]) -> None:
    client = await proxy.client()
    for tag in tags:
        answer = await client.exchange(f"GET /{tag} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        if answer.body != f"/{tag}".encode():
            wrong.append(f"{tag} got {answer.body!r}")
    client.close()


async def _poison(probes: int, clients: int) -> None:
    poisoner = PoisoningUpstream(seed=probes)
    wrong: list[str] = []
    async with (
        ScriptedUpstream([poisoner.serve]) as upstream,
        running_proxy(one_route(upstream.url)) as proxy,
    ):
        each = probes // clients
        tags = [[f"{one}-{n}" for n in range(each)] for one in range(clients)]
        await asyncio.gather(*(_probe(proxy, some, wrong) for some in tags))
    assert wrong == []
    assert poisoner.pushes > probes // 20


async def test_no_poison_reaches_anybody() -> None:
    """S12: 600 tagged requests of 8 clients, an upstream that pushes: each gets its own response."""
    await _poison(probes=600, clients=8)


@pytest.mark.slow
async def test_no_poison_reaches_anybody_in_ten_thousand() -> None:
    """S12: the same with 10 000 probes."""
    await _poison(probes=10_000, clients=16)


async def test_clients_share_connections_without_mixing() -> None:
    """S12: 20 clients at once, interleaved, over kept connections: every tag comes home."""

    async def echo(connection: UpstreamConnection) -> None:
        while True:
            try:
                await request()(connection)
            except Ended:
                return
            tag = connection.requests[-1].target
            await asyncio.sleep(0)
            await connection.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(tag), tag)
            )

    async def ask(proxy: Proxy, number: int) -> None:
        async with await RawClient.to(proxy.address) as client:
            for turn in range(20):
                tag = f"/{number}/{turn}".encode()
                assert (
                    await client.exchange(b"GET " + tag + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                ).body == tag

    async with (
        ScriptedUpstream([echo]) as upstream,
        running_proxy(one_route(upstream.url)) as proxy,
    ):
        await asyncio.gather(*(ask(proxy, number) for number in range(20)))
        assert len(upstream.connections) < 100
