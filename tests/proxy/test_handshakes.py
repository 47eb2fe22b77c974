"""TLS connections count from accept on, are few at a time, and are timed: forwarding.md O2."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from corsproxy.policy.compiled import TcpAddress
from corsproxy.proxy import handshakes
from corsproxy.runtime.service import Service
from tests.support.certificates import Authority, Pair
from tests.support.client import RawClient
from tests.support.proxy import config_of, one_route
from tests.support.responses import ALWAYS_OK
from tests.support.served import served
from tests.support.tls import TlsClient, tls_client
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send, wait
from tests.support.wire import Address, End, eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
# The start of a ClientHello that promises more.
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Return the listener's certificate."""
    return authority.sign("localhost", "DNS:localhost")


@asynccontextmanager
async def serving(
    pair: Pair, server: str = "", script: Script = ALWAYS_OK, listen: str = "127.0.0.1:0"
) -> AsyncIterator[tuple[Service, Address, ScriptedUpstream]]:
    """Run the whole service with TLS in front of a scripted upstream."""
    async with ScriptedUpstream(script) as upstream:
        keys = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}}}\n{server}"
        config = one_route(upstream.url, server=keys, more="health: {listen: off}")
        async with served(config_of(config.replace("127.0.0.1:8080", listen))) as service:
            (bound,) = service.addresses
            yield (
                service,
                (bound.host, bound.port) if isinstance(bound, TcpAddress) else bound.path,
                upstream,
            )


async def client_of(to: Address, authority: Authority, stack: AsyncExitStack) -> TlsClient:
    """Return a new client that speaks TLS, closed with the stack."""
    return await stack.enter_async_context(tls_client(to, authority.trust()))


async def test_a_silent_connection_is_counted_before_any_handshake(pair: Pair) -> None:
    """O2: counted at accept, and no more when it has left."""
    async with serving(pair) as (service, to, _), AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(await RawClient.to(to))
        await eventually(lambda: service.server.connection_count == 5, "five connections")
        await stack.aclose()
        await eventually(lambda: service.server.connection_count == 0, "that they have left")


@pytest.mark.parametrize("first_bytes", [b"", HELLO])
async def test_handshakes_have_a_bound_of_their_own(
    first_bytes: bytes, pair: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O2: a tenth of the room; those that say nothing, or stop in the middle, leave others served."""
    monkeypatch.setattr(handshakes, "_ROUND_TRIPS", 0.0)
    limits = "limits: {max_connections: 100}"
    async with serving(pair, limits) as (service, to, _), AsyncExitStack() as stack:
        for _ in range(40):
            silent = await stack.enter_async_context(await RawClient.to(to))
            await silent.send(first_bytes)
        await eventually(lambda: service.server.connection_count == 10, "ten of them")
        for _ in range(3):
            client = await client_of(to, authority, stack)
            assert (await client.exchange(GET))[1] == b"hi"
        assert service.server.connection_count <= 13


async def test_a_handshake_that_has_just_begun_keeps_its_place(
    pair: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O2: newcomers do not push each other out; who comes above the bound is closed at accept."""
    monkeypatch.setattr(handshakes, "_ROUND_TRIPS", 60.0)
    limits = "limits: {max_connections: 100}"
    async with serving(pair, limits) as (service, to, _), AsyncExitStack() as stack:
        for _ in range(10):
            begun = await stack.enter_async_context(await RawClient.to(to))
            await begun.send(HELLO)
        all_of_them = service.server.handshakes
        await eventually(lambda: len(all_of_them._begun) == 10, "ten handshakes")
        async with await RawClient.to(to) as surplus:
            assert await surplus.ending() is End.FIN
        await stack.aclose()
        await eventually(lambda: len(all_of_them) == 0, "that they have left")
        async with tls_client(to, authority.trust()) as client:
            assert (await client.exchange(GET))[1] == b"hi"


@pytest.mark.parametrize(("limit", "places", "age"), [(100, 10, 0.1), (2, 2, 0.02), (1, 1, 0.01)])
async def test_a_handshake_that_is_slower_than_round_trips_gives_way(
    limit: int, places: int, age: float, pair: Pair, authority: Authority
) -> None:
    """O2: a started ClientHello keeps its place for 0.1 s, or 10 ms times the places."""
    limits = f"limits: {{max_connections: {limit}}}"
    async with serving(pair, limits) as (service, to, _), AsyncExitStack() as stack:
        for _ in range(places):
            begun = await stack.enter_async_context(await RawClient.to(to))
            await begun.send(HELLO)
        all_of_them = service.server.handshakes
        await eventually(lambda: len(all_of_them._begun) == places, "slow handshakes")
        for handshake in all_of_them._begun:
            # A little more, because the time of uvloop is in whole milliseconds.
            handshake.began = all_of_them.loop.time() - age - 0.002
        client = await client_of(to, authority, stack)
        assert (await client.exchange(GET))[1] == b"hi"
        assert len(all_of_them) == places - 1


async def test_who_was_cut_off_for_a_newcomer_leaves_it_room(
    pair: Pair, authority: Authority
) -> None:
    """O2: a client that is evicted and sends no close_notify is cut off; the new one gets its 503."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK)]
    limits = "limits: {max_connections: 1}"
    async with serving(pair, limits, held) as (service, to, upstream), AsyncExitStack() as stack:
        idle = await asyncio.to_thread(mute_client, to, authority)
        stack.enter_context(idle)
        busy = await client_of(to, authority, stack)
        busy.writer.write(GET)
        await upstream.connection(0)
        assert service.server.connection_count == 2
        newcomer = await client_of(to, authority, stack)
        assert (await newcomer.exchange(GET))[0].first_line.startswith(b"HTTP/1.1 503 ")
        go.set()
        assert (await busy.reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 ")


def mute_client(to: Address, authority: Authority) -> ssl.SSLSocket:
    """Return a client after its handshake, which reads nothing by itself."""
    sock = socket.create_connection(to, 20)  # type: ignore[arg-type] # it is TCP
    return authority.trust().wrap_socket(sock, server_hostname="localhost")


@pytest.mark.parametrize("first_bytes", [b"", HELLO])
async def test_the_time_of_the_first_head_includes_the_handshake(
    first_bytes: bytes, pair: Pair, authority: Authority
) -> None:
    """O2, O1: `request_header` from accept on, not from the end of the handshake."""
    times = "timeouts: {request_header: 300ms, keepalive: 1h}"
    async with serving(pair, times) as (service, to, _):
        async with await RawClient.to(to) as silent:
            await silent.send(first_bytes)
            await patiently(silent.until_end(), "the end of a silent connection")
        assert service.server.connection_count == 0
        async with tls_client(to, authority.trust()) as client:
            await eventually(lambda: len(service.server.connections) == 1, "a client")
            assert await client.reader.read() == b""


async def test_a_client_takes_over_the_deadline_of_its_handshake(
    pair: Pair, authority: Authority
) -> None:
    """O2: the seconds that the handshake took are not given again."""
    async with serving(pair) as (service, to, _), AsyncExitStack() as stack:
        raw = await stack.enter_async_context(await RawClient.to(to))
        await eventually(lambda: len(service.server.handshakes) == 1, "a connection")
        (handshake,) = service.server.handshakes._silent
        service.server.state.clock.now += 5
        reader, writer = await asyncio.open_connection(
            sock=raw.sock.dup(), ssl=authority.trust(), server_hostname="localhost"
        )
        await eventually(lambda: len(service.server.connections) == 1, "a client")
        (client,) = service.server.state.connections.open
        assert client.deadline == handshake.deadline
        assert len(service.server.handshakes) == 0
        writer.transport.abort()
        del reader


async def test_beyond_the_limit_a_client_is_told_over_tls(pair: Pair, authority: Authority) -> None:
    """O2: within the held room it has its handshake and its 503; beyond it is closed at accept."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    limits = "limits: {max_connections: 1}"
    async with serving(pair, limits, held) as (service, to, upstream), AsyncExitStack() as stack:
        busy = await client_of(to, authority, stack)
        busy.writer.write(GET)
        await upstream.connection(0)
        surplus = await client_of(to, authority, stack)
        async with await RawClient.to(to) as flood:
            assert await flood.ending() is End.FIN
        head, _ = await surplus.exchange(GET)
        assert head.first_line.startswith(b"HTTP/1.1 503 ")
        assert await surplus.reader.read() == b""
        go.set()
        assert (await busy.reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 ")
        assert service.server.connection_count <= 2


async def test_an_idle_client_gives_way_over_tls(pair: Pair, authority: Authority) -> None:
    """O2: the longest idle first, with a close_notify; the newcomer has its handshake and response."""
    limits = "limits: {max_connections: 2}"
    async with serving(pair, limits) as (_, to, _), AsyncExitStack() as stack:
        clients = [await client_of(to, authority, stack) for _ in range(2)]
        for client in clients:
            assert (await client.exchange(GET))[1] == b"hi"
        newcomer = await client_of(to, authority, stack)
        assert (await newcomer.exchange(GET))[1] == b"hi"
        assert await clients[0].reader.read() == b""
        assert (await clients[1].exchange(GET))[1] == b"hi"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_are_served(
    version: ssl.TLSVersion, pair: Pair, authority: Authority
) -> None:
    """L21 `server.tls`: a request that comes with the last message of the handshake, too."""
    trust = authority.trust()
    trust.minimum_version = trust.maximum_version = version
    async with serving(pair) as (_, to, _):
        for _ in range(5):
            async with tls_client(to, trust) as client:
                assert (await client.exchange(GET))[1] == b"hi"


async def test_the_end_of_the_service_is_theirs(pair: Pair) -> None:
    """F6: connections that never became clients leave no task, socket or timer behind."""
    async with AsyncExitStack() as stack, serving(pair) as (service, to, _):
        for number in range(6):
            client = await stack.enter_async_context(await RawClient.to(to))
            await client.send(HELLO if number % 2 else b"")
        await eventually(lambda: len(service.server.handshakes) == 6, "six handshakes")
        assert await service.server.drain(5.0)
        assert len(service.server.handshakes) == 0


async def test_tls_on_a_unix_socket_counts_too(
    pair: Pair, authority: Authority, tmp_path: Path
) -> None:
    """O2: whatever it came by."""
    async with serving(pair, listen=f"unix:{tmp_path}/s") as (service, to, _):
        assert isinstance(to, str)
        with closing(socket.socket(socket.AF_UNIX)) as silent:
            silent.connect(to)
            await eventually(lambda: service.server.connection_count == 1, "one connection")
        await eventually(lambda: service.server.connection_count == 0, "that it has left")
        reader, writer = await asyncio.open_unix_connection(
            to, ssl=authority.trust(), server_hostname="localhost"
        )
        writer.write(GET)
        assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200 ")
        writer.transport.abort()
