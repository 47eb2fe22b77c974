"""What is beyond a limit is rejected at once, readably, and costs others nothing: O2, O3, O4."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import pytest

from tests.support.client import RawClient
from tests.support.messages import Response, read_head
from tests.support.proxy import Proxy, config_of, one_route, running_proxy
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    head_of_request,
    pour,
    repeat,
    request,
    send,
    wait,
)
from tests.support.wire import PATIENCE, End, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

ORIGIN = b"https://app.example"
CORS = "cors: {allow_origins: ['https://app.example']}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
GET = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\n\r\n" % ORIGIN
PREFLIGHT = (
    b"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    % ORIGIN
)
ALWAYS_OK: Script = [repeat(request(), send(OK))]
MIB = 1024 * 1024
SLACK = 1.0  # seconds that a busy machine may add to what a rule allows


@asynccontextmanager
async def proxy_with(
    *scripts: Script,
    server: str = "",
    upstream: str = "",
) -> AsyncIterator[tuple[Proxy, ScriptedUpstream, AsyncExitStack]]:
    """Run an upstream and a proxy with one route under a policy; the stack is for clients."""
    async with ScriptedUpstream(*scripts) as scripted, AsyncExitStack() as stack:
        text = one_route(scripted.url, route=CORS, server=server, upstream=upstream)
        async with running_proxy(text) as proxy:
            yield proxy, scripted, stack
            await stack.aclose()


def gauges(proxy: Proxy) -> dict[str, float]:
    """Return how many requests the metrics report as open, and as bounded by the limit."""
    counted = proxy.server.snapshot()
    return {
        name: counted[f"corsproxy_{name}"][0][1][0]
        for name in ("open_exchanges", "requests_in_flight")
    }


async def client_of(proxy: Proxy, stack: AsyncExitStack) -> RawClient:
    """Return a new client, closed with the stack."""
    return await stack.enter_async_context(await proxy.client())


def assert_shed(answer: Response, word: str) -> None:
    """Fail unless a browser's page can read that and why it is to come again later (cors.md 62)."""
    assert answer.status == 503
    assert answer.head.values("retry-after") == [b"1"]
    assert answer.head.values("access-control-allow-origin") == [ORIGIN]
    assert b"Origin" in answer.head.values("vary")[0]
    assert json.loads(answer.body)["error"] == word


# --- O2: connections -----------------------------------------------------------------------


class Busy(NamedTuple):
    """Clients whose requests are in flight until `go_on`."""

    clients: list[RawClient]
    go: asyncio.Event

    async def go_on(self) -> None:
        """Let the upstream respond to all of them."""
        self.go.set()
        for client in self.clients:
            assert (await client.response()).status == 200


@asynccontextmanager
async def busy_proxy(limit: int) -> AsyncIterator[tuple[Proxy, AsyncExitStack, Busy]]:
    """Run a proxy whose `limit` of connections is reached by clients with a request in flight."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    server = f"limits: {{max_connections: {limit}}}"
    async with proxy_with(held, server=server) as (proxy, upstream, stack):
        busy = Busy([await client_of(proxy, stack) for _ in range(limit)], go)
        for number, client in enumerate(busy.clients):
            await client.send(GET)
            await upstream.connection(number)
        yield proxy, stack, busy


async def test_a_connection_beyond_the_limit_gets_one_readable_response() -> None:
    """O2, cors.md 62: 503 with the CORS headers of its route, then close; the others are served."""
    async with busy_proxy(3) as (proxy, stack, busy):
        surplus = await client_of(proxy, stack)
        assert_shed(await surplus.exchange(GET), "overloaded")
        assert await surplus.ending() is End.FIN
        await busy.go_on()
        for client in busy.clients:
            assert (await client.exchange(GET)).status == 200


async def test_a_preflight_gets_a_response_beyond_the_limit() -> None:
    """cors.md 6: it is decided before any limit of load; the connection ends all the same."""
    async with busy_proxy(1) as (proxy, stack, busy):
        surplus = await client_of(proxy, stack)
        answer = await surplus.exchange(PREFLIGHT, "OPTIONS")
        assert answer.status == 204
        assert answer.head.values("connection") == [b"close"]
        assert await surplus.ending() is End.FIN
        await busy.go_on()


async def test_a_connection_beyond_the_limit_may_not_linger() -> None:
    """O2: a client that sends nothing, or sends it slowly, gets 503 after a second."""
    async with busy_proxy(1) as (proxy, stack, busy):
        silent = await client_of(proxy, stack)
        assert (await silent.response()).status == 503
        assert await silent.ending() is End.FIN
        await busy.go_on()


async def test_connections_far_beyond_the_limit_are_reset() -> None:
    """O2: rejecting is bounded, too; a flood costs no more than the limit again."""
    async with busy_proxy(2) as (proxy, stack, busy):
        surplus = [await client_of(proxy, stack) for _ in range(2)]
        await eventually(lambda: proxy.server.connection_count == 4, "four connections")
        flood = await client_of(proxy, stack)
        assert await flood.ending() is not None
        for client in surplus:
            assert_shed(await client.exchange(GET), "overloaded")
        await busy.go_on()


async def test_a_place_that_comes_free_is_taken() -> None:
    """O2: the limit is one of the present, not of the past."""
    async with proxy_with(ALWAYS_OK, server="limits: {max_connections: 1}") as (proxy, _, stack):
        async with await proxy.client() as first:
            assert (await first.exchange(GET)).status == 200
        await eventually(lambda: proxy.server.connection_count == 0, "the first to be gone")
        second = await client_of(proxy, stack)
        for _ in range(2):
            assert (await second.exchange(GET)).status == 200


async def test_a_higher_limit_of_connections_is_in_force_after_a_reload() -> None:
    """O2, P2: who was rejected before is served."""
    go = asyncio.Event()
    held: Script = [repeat(request(), wait(go), send(OK))]
    async with proxy_with(held, server="limits: {max_connections: 1}") as (proxy, upstream, stack):
        busy = [await client_of(proxy, stack)]
        await busy[0].send(GET)
        await upstream.connection(0)
        async with await proxy.client() as surplus:
            assert_shed(await surplus.exchange(GET), "overloaded")
        await eventually(lambda: proxy.server.connection_count == 1, "the surplus to be gone")
        text = one_route(upstream.url, route=CORS, server="limits: {max_connections: 2}")
        proxy.server.state.replace_config(config_of(text))
        busy.append(await client_of(proxy, stack))
        await busy[1].send(GET)
        await upstream.connection(1)
        go.set()
        for client in busy:
            assert (await client.response()).status == 200


async def test_a_lower_limit_of_connections_is_in_force_after_a_reload() -> None:
    """O2, P2: there is room under the old one, and none under the new one."""
    go = asyncio.Event()
    held: Script = [repeat(request(), wait(go), send(OK))]
    async with proxy_with(held, server="limits: {max_connections: 9}") as (proxy, upstream, stack):
        busy = [await client_of(proxy, stack) for _ in range(2)]
        for number, client in enumerate(busy):
            await client.send(GET)
            await upstream.connection(number)
        text = one_route(upstream.url, route=CORS, server="limits: {max_connections: 2}")
        proxy.server.state.replace_config(config_of(text))
        surplus = await client_of(proxy, stack)
        assert_shed(await surplus.exchange(GET), "overloaded")
        go.set()
        for client in busy:
            assert (await client.response()).status == 200


# --- O3: requests in flight ----------------------------------------------------------------


async def test_requests_beyond_the_limit_get_a_response_at_once() -> None:
    """O3: 503 with Retry-After within 50 ms, the connection stays; then all is as before."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    limit = "limits: {max_requests_in_flight: 2}"
    async with proxy_with(held, server=limit) as (proxy, upstream, stack):
        busy = [await client_of(proxy, stack) for _ in range(2)]
        for number, client in enumerate(busy):
            await client.send(GET)
            await upstream.connection(number)
        assert gauges(proxy) == {"open_exchanges": 2, "requests_in_flight": 2}
        other = await client_of(proxy, stack)
        began = time.perf_counter()
        answer = await other.exchange(GET)
        assert time.perf_counter() - began < 0.05 + SLACK
        assert_shed(answer, "overloaded")
        assert (await other.exchange(PREFLIGHT, "OPTIONS")).status == 204  # cors.md 6
        go.set()
        for client in busy:
            assert (await client.response()).status == 200
        assert (await other.exchange(GET)).status == 200
        assert proxy.server.state.in_flight == 0


async def test_a_body_that_is_awaited_takes_no_turn() -> None:
    """O4: a short body is read before anything is asked for; slow senders shed nobody."""
    limit = "limits: {max_requests_in_flight: 1}"
    post = b"POST / HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nContent-Length: 5\r\n\r\n" % ORIGIN
    async with proxy_with(ALWAYS_OK, server=limit) as (proxy, upstream, stack):
        slow = [await client_of(proxy, stack) for _ in range(5)]
        for client in slow:
            await client.send(post + b"he")
        other = await client_of(proxy, stack)
        for _ in range(3):
            assert (await other.exchange(GET)).status == 200
        assert len(upstream.connections) == 1
        assert gauges(proxy) == {"open_exchanges": 5, "requests_in_flight": 0}
        for client in slow:
            assert (await client.exchange(b"llo")).status == 200


async def test_a_body_that_comes_while_all_turns_are_taken_is_shed() -> None:
    """O3: the turn is taken when the body is whole; if there is none, the response is 503."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK)]
    limit = "limits: {max_requests_in_flight: 1}"
    post = b"POST / HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nContent-Length: 5\r\n\r\n" % ORIGIN
    async with proxy_with(held, server=limit) as (proxy, upstream, stack):
        late, busy = await client_of(proxy, stack), await client_of(proxy, stack)
        await late.send(post + b"he")
        await eventually(
            lambda: proxy.server.state.open_exchanges == 1, "the first half of the body"
        )
        await busy.send(GET)
        await upstream.connection(0)
        assert_shed(await late.exchange(b"llo"), "overloaded")
        go.set()
        assert (await busy.response()).status == 200


async def test_a_tunnel_takes_no_turn() -> None:
    """O3: an open WebSocket is a connection, not a request in flight."""
    handshake = (
        b"GET /ws HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n" % ORIGIN
    )
    switching = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    tunnel: Script = [head_of_request(), send(switching)]
    limit = "limits: {max_requests_in_flight: 1}"
    async with proxy_with(tunnel, ALWAYS_OK, server=limit) as (proxy, _, stack):
        client, other = await client_of(proxy, stack), await client_of(proxy, stack)
        await client.send(handshake)
        assert b" 101 " in (await read_head(client)).raw
        assert (await other.exchange(GET)).status == 200
        assert gauges(proxy) == {"open_exchanges": 1, "requests_in_flight": 0}


async def test_a_full_queue_responds_at_once() -> None:
    """O3: sixteen wait for the one connection there may be; the next one gets 503."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    pool = "pool: {max_connections: 1, queue: 5s}"
    async with proxy_with(held, upstream=pool) as (proxy, upstream, stack):
        clients, state = [], proxy.server.state
        for number in range(17):
            clients.append(await client_of(proxy, stack))
            await clients[-1].send(GET)
            await eventually(lambda at=number: state.in_flight == at + 1, "another one")  # type: ignore[misc]
        other = await client_of(proxy, stack)
        began = time.perf_counter()
        assert_shed(await other.exchange(GET), "upstream_busy")
        assert time.perf_counter() - began < 0.05 + SLACK
        go.set()
        for client in clients:
            assert (await client.response()).status == 200
        assert len(upstream.connections) == 1


async def test_who_left_the_queue_takes_no_place_in_it() -> None:
    """O3: places of clients that are gone are given to others."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    pool = "pool: {max_connections: 1, queue: 5s}"
    async with proxy_with(held, upstream=pool) as (proxy, _, stack):
        first = await client_of(proxy, stack)
        await first.send(GET)
        async with AsyncExitStack() as leaving:
            for _ in range(16):
                await (await client_of(proxy, leaving)).send(GET)
            await eventually(lambda: proxy.server.state.in_flight == 17, "a full queue")
        await eventually(
            lambda: proxy.server.state.in_flight == 1, "the queue's clients to be gone"
        )
        other = await client_of(proxy, stack)
        await other.send(GET)
        await eventually(lambda: proxy.server.state.in_flight == 2, "a place in the queue")
        go.set()
        assert (await first.response()).status == 200
        assert (await other.response()).status == 200


# --- O4: clients that hold transfers up ----------------------------------------------------


async def test_clients_that_do_not_read_hold_half_of_the_pool() -> None:
    """O4: four stalled downloads fill a pool of four; two are cut, and others are served."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB)
    endless: Script = [request(), send(head), pour(64 * MIB)]
    pool = "pool: {max_connections: 4, queue: 5s}"
    scripts = [endless] * 4 + [ALWAYS_OK]
    async with proxy_with(*scripts, upstream=pool) as (proxy, upstream, stack):
        stalled = [await client_of(proxy, stack) for _ in range(4)]
        for client in stalled:
            await client.send(GET)
        await upstream.connection(3)
        other = await client_of(proxy, stack)
        assert (await other.exchange(GET)).status == 200
        counted = proxy.server.snapshot()["corsproxy_faults_total"]
        assert counted == [(("route-1", "client_write_stalled"), (2,))]
        assert proxy.server.state.in_flight == 2
        for client in stalled:
            client.reset()


async def test_clients_that_do_not_send_hold_half_of_the_pool() -> None:
    """O4: the same for uploads that came to a halt; who sends them is told (408)."""
    begun = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    pool = "pool: {max_connections: 4, queue: 5s}"
    scripts: list[Script] = [[head_of_request()]] * 4 + [ALWAYS_OK]
    async with proxy_with(*scripts, upstream=pool) as (proxy, upstream, stack):
        stalled = [await client_of(proxy, stack) for _ in range(4)]
        for client in stalled:
            await client.send(begun)
        await upstream.connection(3)
        other = await client_of(proxy, stack)
        assert (await other.exchange(GET)).status == 200
        ended = [asyncio.ensure_future(client.response()) for client in stalled]
        done, waiting = await asyncio.wait(ended, timeout=1.0)
        assert [task.result().status for task in done] == [408, 408]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


BEGUN = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


async def test_a_client_that_has_just_stalled_is_not_cut() -> None:
    """O4: it has a second, however full the pool is."""
    pool = "pool: {max_connections: 2, queue: 5s}"
    scripts: list[Script] = [[head_of_request()]] * 2 + [ALWAYS_OK]
    async with proxy_with(*scripts, upstream=pool) as (proxy, upstream, stack):
        stalled = [await client_of(proxy, stack) for _ in range(2)]
        loop = asyncio.get_running_loop()
        began = loop.time()
        for client in stalled:
            await client.send(BEGUN)
        await upstream.connection(1)
        ended = [asyncio.ensure_future(client.response()) for client in stalled]
        done, waiting = await asyncio.wait(
            ended, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        assert loop.time() - began >= 1.0
        assert [task.result().status for task in done] == [408]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_client_that_has_stalled_longest_is_cut() -> None:
    """O4: of two where one may stall, it is not the one that has just come to a halt."""
    pool = "pool: {max_connections: 3, queue: 5s}"
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK)]
    scripts: list[Script] = [[request(), send(OK)], held, [request(), send(OK)]]
    async with proxy_with(*scripts, upstream=pool) as (proxy, upstream, stack):
        first, busy, second = [await client_of(proxy, stack) for _ in range(3)]
        for number, (client, data) in enumerate([(first, BEGUN), (busy, GET)]):
            await client.send(data)
            await upstream.connection(number)
        await ticks(proxy, 2)
        await second.send(BEGUN)
        await upstream.connection(2)
        assert (await first.response()).status == 408
        assert (await second.exchange(b"0\r\n\r\n")).status == 200
        go.set()
        assert (await busy.response()).status == 200


async def ticks(proxy: Proxy, count: int) -> None:
    """Wait until the proxy has looked at its transfers `count` times more."""
    for _ in range(count):
        before = proxy.server.state.clock.now
        await eventually(lambda seen=before: proxy.server.state.clock.now > seen, "a tick")  # type: ignore[misc]


async def test_a_head_that_trickles_in_has_its_time_all_the_same() -> None:
    """O1: the time for a head begins with its first byte, whatever comes after it."""
    limit = "timeouts: {request_header: 200ms}"
    async with proxy_with(ALWAYS_OK, server=limit) as (proxy, _, stack):
        client = await client_of(proxy, stack)
        answer = asyncio.ensure_future(client.response())
        for byte in GET[:40]:
            await client.send(bytes([byte]))
            await asyncio.sleep(0.05)
            if answer.done():
                break
        assert answer.done(), "each byte has put the end off"
        assert answer.result().status == 408
