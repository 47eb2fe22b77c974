"""An idle connection is closed for a new one; a silent one has the time limit of a head: O2."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.fd_limits import ConnectionLimits
from tests.support.client import RawClient
from tests.support.messages import Truncated
from tests.support.proxy import Proxy, one_route, running_proxy
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send, wait
from tests.support.wire import End, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
# A response that a kernel takes in part, and the proxy the rest of.
SIZE = 32 * 1024
LARGE: Script = [
    request(),
    send(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE)
    ),
]


@asynccontextmanager
async def proxy_for(
    script: Script, server: str
) -> AsyncIterator[tuple[Proxy, ScriptedUpstream, AsyncExitStack]]:
    """Run a proxy in front of a scripted upstream; the stack is for clients."""
    async with (
        ScriptedUpstream(script) as upstream,
        running_proxy(one_route(upstream.url, server=server)) as proxy,
        AsyncExitStack() as stack,
    ):
        yield proxy, upstream, stack


async def client_of(proxy: Proxy, stack: AsyncExitStack) -> RawClient:
    """Return a new client, closed with the stack."""
    return await stack.enter_async_context(await proxy.client())


async def test_who_has_waited_longest_gives_way() -> None:
    """O2: at the limit the longest idle are closed, not the newcomer; a request makes one young."""
    async with proxy_for(ALWAYS_OK, "limits: {max_connections: 3}") as (proxy, _, stack):
        clients = [await client_of(proxy, stack) for _ in range(3)]
        for client in [*clients, clients[0]]:
            assert (await client.exchange(GET)).status == 200
        for oldest in (clients[1], clients[2], clients[0]):
            newcomer = await client_of(proxy, stack)
            assert (await newcomer.exchange(GET)).status == 200
            assert await oldest.ending() is End.FIN
        assert proxy.server.connection_count == 3
        assert (await newcomer.exchange(GET)).status == 200


async def test_who_never_asked_gives_way_too() -> None:
    """O2: any number of silent connections leaves others served."""
    async with proxy_for(ALWAYS_OK, "limits: {max_connections: 4}") as (proxy, _, stack):
        for _ in range(3):
            for _ in range(10):
                await client_of(proxy, stack)
            client = await client_of(proxy, stack)
            assert (await client.exchange(GET)).status == 200
        assert proxy.server.connection_count <= 8


async def test_who_is_served_does_not_give_way() -> None:
    """O2: with a request in flight, or more of them behind it, none is closed: the new connection gets 503."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    async with proxy_for(held, "limits: {max_connections: 1}") as (proxy, upstream, stack):
        busy = await client_of(proxy, stack)
        await busy.send(GET + GET[:20])
        await upstream.connection(0)
        assert (await (await client_of(proxy, stack)).exchange(GET)).status == 503
        go.set()
        assert (await busy.response()).status == 200
        assert (await busy.exchange(GET[20:])).status == 200


def waiting(proxy: Proxy) -> list[ClientConnection]:
    """Return the connections that may be closed for another's sake, the first to go in front."""
    return [
        cast("ClientConnection", one) for one in proxy.server.state.connections.eviction.waiting
    ]


def begun(proxy: Proxy) -> list[bytes]:
    """Return the starts of heads that the proxy keeps, the first to be evicted in front."""
    return [client._held for client in waiting(proxy)]


async def test_the_start_of_a_head_gives_way_too() -> None:
    """O2: with 503, those that began longest ago first; another piece of it makes nobody young."""
    async with proxy_for(ALWAYS_OK, "limits: {max_connections: 3}") as (proxy, _, stack):
        idle = await client_of(proxy, stack)
        assert (await idle.exchange(GET)).status == 200
        old, drip = await client_of(proxy, stack), await client_of(proxy, stack)
        for client, sent in ((old, b"G"), (drip, b"P"), (idle, GET[:20]), (drip, b"U")):
            await client.send(sent)
            await eventually(lambda end=sent: any(one.endswith(end) for one in begun(proxy)), "it")  # type: ignore[misc]
        assert begun(proxy) == [b"G", b"PU", GET[:20]]
        for oldest in (old, drip):
            newcomer = await client_of(proxy, stack)
            assert (await newcomer.exchange(GET)).status == 200
            assert (await oldest.response()).status == 503
            assert await oldest.ending() is End.FIN
        assert (await idle.exchange(GET[20:])).status == 200


async def test_any_number_of_heads_that_never_end_leaves_others_served() -> None:
    """O2: one byte each does not hold a place for the time of a head."""
    async with proxy_for(ALWAYS_OK, "limits: {max_connections: 4}") as (proxy, _, stack):
        for _ in range(3):
            for _ in range(10):
                await (await client_of(proxy, stack)).send(b"G")
            client = await client_of(proxy, stack)
            assert (await client.exchange(GET)).status == 200
        assert proxy.server.connection_count <= 8


async def test_whole_requests_that_wait_for_their_turn_do_not_give_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O2, S9: what was sent whole is served, whoever comes between two turns of the loop."""
    async with proxy_for(ALWAYS_OK, "") as (proxy, _, stack):
        crowds: list[int] = []
        end_turn = ClientConnection._end_turn

        def crowded(client: ClientConnection) -> None:
            end_turn(client)
            crowds.append(len(proxy.server.state.connections.eviction.waiting))
            assert not proxy.server.state.connections.eviction.make_room(
                1, ConnectionLimits(0, 5, 1)
            )

        monkeypatch.setattr(ClientConnection, "_end_turn", crowded)
        client = await client_of(proxy, stack)
        await client.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" * 40)
        for _ in range(40):
            assert (await client.response("OPTIONS")).status < 500
        assert crowds == [1, 1]


async def test_who_was_refused_and_does_not_leave_holds_no_place() -> None:
    """O2, S10: a refusal may be read for two seconds, in the room of those that are rejected."""
    async with proxy_for(ALWAYS_OK, "limits: {max_connections: 2}") as (proxy, _, stack):
        for _ in range(10):
            refused = await client_of(proxy, stack)
            await refused.send(b"\r\r\n")
            assert (await refused.response()).status == 400
            client = await client_of(proxy, stack)
            assert (await client.exchange(GET)).status == 200
        assert proxy.server.connection_count <= 4


async def test_a_request_that_is_on_its_way_in_is_served() -> None:
    """O2: bytes that the loop has not seen yet count: who has just asked does not wait."""
    async with proxy_for(ALWAYS_OK, "") as (proxy, _, stack):
        client = await client_of(proxy, stack)
        assert (await client.exchange(GET)).status == 200
        await client.send(GET)  # into the kernel: the loop has had no turn yet
        assert not proxy.server.state.connections.eviction.make_room(1, ConnectionLimits(0, 5, 1))
        assert (await client.response()).status == 200


async def slow_client(proxy: Proxy, stack: AsyncExitStack) -> RawClient:
    """Return a client that has not taken all of a response which was relayed whole."""
    before = set(proxy.server._connections)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(0)
    await asyncio.get_running_loop().sock_connect(sock, proxy.address)
    slow = await stack.enter_async_context(RawClient(sock, came="<", went=">"))
    await eventually(lambda: bool(set(proxy.server._connections) - before), "the connection")
    (ours,) = set(proxy.server._connections) - before
    transport = proxy.server._connections[ours]
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await slow.send(GET)
    await eventually(lambda: transport.get_write_buffer_size() > 0, "a response")
    await eventually(
        lambda: ours in set[object](proxy.server.state.connections.eviction.waiting), "its end"
    )
    return slow


async def test_eviction_cuts_no_response() -> None:
    """O2: what a slow reader has not taken yet arrives whole, then its connection ends."""
    async with proxy_for(LARGE, "limits: {max_connections: 1}") as (proxy, _, stack):
        slow = await slow_client(proxy, stack)
        newcomer = await client_of(proxy, stack)
        await newcomer.send(GET)
        assert len((await slow.response()).body) == SIZE
        assert await slow.ending() is End.FIN
        assert (await newcomer.response()).status == 200


async def test_those_that_give_way_slowly_are_cut_off_in_the_end() -> None:
    """O2: they hold no more places than those who are rejected do."""
    async with proxy_for(LARGE, "limits: {max_connections: 1}") as (proxy, _, stack):
        first = await slow_client(proxy, stack)
        second = await slow_client(proxy, stack)
        assert proxy.server.connection_count == 2
        newcomer = await client_of(proxy, stack)
        assert len((await newcomer.exchange(GET)).body) == SIZE
        with pytest.raises(Truncated):
            await first.response()
        assert len((await second.response()).body) == SIZE


async def test_a_silent_connection_has_the_time_of_a_head() -> None:
    """O2, O1: from accept; the time between requests begins after the first of them."""
    times = "timeouts: {request_header: 200ms, keepalive: 1h}"
    async with proxy_for(ALWAYS_OK, times) as (proxy, _, stack):
        silent, asking = await client_of(proxy, stack), await client_of(proxy, stack)
        assert (await asking.exchange(GET)).status == 200
        assert await silent.ending() is End.FIN
        assert (await asking.exchange(GET)).status == 200


async def test_the_first_byte_does_not_put_the_first_head_off() -> None:
    """O2: the time for the first head runs from accept, for later ones from their first byte."""
    async with proxy_for(ALWAYS_OK, "timeouts: {request_header: 1h}") as (proxy, _, stack):
        client = await client_of(proxy, stack)
        await eventually(lambda: proxy.server.connection_count == 1, "the connection")
        (connection,) = waiting(proxy)
        first = connection.deadline
        proxy.server.state.clock.now += 10
        await client.send(GET[:10])
        await eventually(lambda: begun(proxy) == [GET[:10]], "half a head")
        assert connection.deadline == first
        assert (await client.exchange(GET[10:])).status == 200
        waits_until = connection.deadline
        await client.send(GET[:10])
        await eventually(lambda: begun(proxy) == [GET[:10]], "half of the second head")
        assert connection.deadline > waits_until
        assert (await client.exchange(GET[10:])).status == 200
