"""What two layers of transport under TLS must not change: what is sent, counted, logged and freed.

forwarding.md F1, F7, H17, O6, P1, S12.
"""

import asyncio
import gc
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from corsproxy.policy.compiled import TcpAddress
from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.server import ProxyServer
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upstream.connection import UpstreamConnection
from tests.support.certificates import Authority, Pair
from tests.support.invariants import carrier_of
from tests.support.kernel import in_kernel
from tests.support.proxy import config_of, one_route
from tests.support.served import served
from tests.support.tls import stream_server, tls_client
from tests.support.upstream import Script, ScriptedUpstream, pour, repeat, request, send
from tests.support.wire import eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ASKING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
LARGE = 8_000_000  # more than the kernel takes for a client that reads nothing
# Longer than TLS's shutdown may take, and than a connection lingers.
LONGER = 2.6


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Return a certificate for both ends."""
    return authority.sign("localhost", "DNS:localhost", "IP:127.0.0.1")


@asynccontextmanager
async def serving(
    url: str, pair: Pair | None, server: str = "", upstream: str = ""
) -> AsyncIterator[tuple[tuple[str, int], ProxyServer]]:
    """Run the whole service, over TLS with a `pair`, in front of `url`."""
    if pair is not None:
        server = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}}}\n{server}"
    config = one_route(url, server=server, upstream=upstream, more="health: {listen: off}")
    compiled = config_of(config.replace("127.0.0.1:8080", "127.0.0.1:0"))
    async with served(compiled) as service:
        (address,) = service.addresses
        assert isinstance(address, TcpAddress)
        yield (address.host, address.port), service.server


def small(sock: socket.socket) -> socket.socket:
    """Return `sock` with small kernel buffers, so that a stall comes soon."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    return sock


@asynccontextmanager
async def slow_client(
    address: tuple[str, int], context: ssl.SSLContext
) -> AsyncIterator[ssl.SSLSocket]:
    """Connect over TLS with a client that reads nothing by itself and has small buffers."""
    plain = small(socket.socket())

    def connect() -> ssl.SSLSocket:
        plain.settimeout(10.0)
        plain.connect(address)
        return context.wrap_socket(plain, server_hostname="localhost")

    sock = await asyncio.to_thread(connect)
    try:
        yield sock
    finally:
        sock.close()


def read_all(sock: ssl.SSLSocket) -> bytes:
    """Return all that comes up to the end."""
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


async def fill(
    connection: UpstreamConnection,
    writer: asyncio.StreamWriter,
    piece: bytes,
    receiver: type[Forwarding | Tunnel],
) -> int:
    """Send `piece` after `piece` until some of it waits unsent in the proxy; return how many.

    Each waits until the one before was passed on: so no more waits than the marks allow.
    """
    passed = 0
    original = receiver.receive

    def receive(self: Forwarding | Tunnel, data: bytes) -> bytes:
        nonlocal passed
        passed += len(data)
        return original(self, data)  # type: ignore[arg-type] # it is one of its own

    small(connection.sock)
    sent = 0
    layers = [connection.transport, carrier_of(connection.transport)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver, "receive", receive)
        while not any(layer is not None and layer.get_write_buffer_size() for layer in layers):
            sent += 1
            writer.write(piece)
            await eventually(lambda: passed == sent * len(piece), "the piece to be passed on")  # noqa: B023
    return sent


def shrink_clients(server: ProxyServer) -> None:
    """Give the proxy's connections to its clients small kernel buffers: the rest waits above."""
    for client in server.connections:
        small(client.transport.get_extra_info("socket"))  # type: ignore[union-attr] # it is open


def open_upstreams(server: ProxyServer) -> list[UpstreamConnection]:
    """Return the open connections to upstreams, tunnels included."""
    return [
        one
        for pool in server.state.pools._by_name.values()
        for one in [*pool._allocation.open, *pool._allocation.tunnels]
    ]


# --- what is sent is not cut (F1, H17, P1) --------------------------------------------------------


def answering(size: int) -> Script:
    """Return a script that responds to each request with `size` bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    return [repeat(request(), send(head), pour(size))]


async def test_a_slow_reader_over_tls_gets_all_of_what_was_closed_behind(
    authority: Authority, pair: Pair
) -> None:
    """F1, P1: `Connection: close` ends nothing that is still on its way, however slowly it goes."""
    async with (
        ScriptedUpstream(answering(LARGE)) as upstream,
        serving(upstream.url, pair) as (address, server),
        slow_client(address, authority.trust()) as client,
    ):
        client.send(LAST)
        read = bytearray()

        def read_on() -> None:
            while server.state.open_exchanges:
                read.extend(client.recv(4096))

        await eventually(lambda: bool(server.state.open_exchanges), "the request")
        shrink_clients(server)
        await patiently(asyncio.to_thread(read_on), "the proxy to have closed")
        await asyncio.sleep(LONGER)
        read += await patiently(asyncio.to_thread(read_all, client), "the rest")
        assert read.endswith(bytes(LARGE))


async def test_a_slow_reader_of_an_early_response_gets_all_of_it() -> None:
    """F1, S10: to linger is to wait for what the client sends, not to cut what it is sent."""
    early = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % LARGE
    script: Script = [request(), send(early), pour(LARGE)]
    asking = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n"
    )
    async with (
        ScriptedUpstream(script) as upstream,
        serving(upstream.url, None) as (address, server),
    ):
        with small(socket.socket()) as client:
            client.settimeout(10.0)
            client.connect(address)
            client.send(asking)
            read = bytearray()

            def read_on() -> None:
                while server.state.open_exchanges:
                    read.extend(client.recv(4096))

            def read_rest() -> None:
                while piece := client.recv(65536):
                    read.extend(piece)

            await eventually(lambda: bool(server.state.open_exchanges), "the request")
            shrink_clients(server)
            await patiently(asyncio.to_thread(read_on), "the proxy to have closed")
            await asyncio.sleep(LONGER)
            await patiently(asyncio.to_thread(read_rest), "the rest")
        assert read.endswith(bytes(LARGE))


async def test_who_never_says_goodbye_over_tls_is_not_waited_for(
    authority: Authority, pair: Pair
) -> None:
    """P1: once all has arrived, a client that does not end TLS does not delay draining."""
    async with (
        ScriptedUpstream(answering(2)) as upstream,
        serving(upstream.url, pair) as (address, server),
        slow_client(address, authority.trust()) as client,
    ):
        client.send(LAST)
        await eventually(lambda: bool(open_upstreams(server)), "the request")
        await eventually(lambda: server.connection_count == 0, "the end of the connection")


async def test_who_takes_nothing_over_tls_is_cut_off_after_write_idle(
    authority: Authority, pair: Pair
) -> None:
    """O1: `write_idle` also limits a closing connection whose client stalls."""
    async with (
        ScriptedUpstream(answering(LARGE)) as upstream,
        serving(upstream.url, pair, "timeouts: {write_idle: 1s}") as (address, server),
        slow_client(address, authority.trust()) as client,
    ):
        client.send(LAST)
        await eventually(lambda: bool(server.state.open_exchanges), "the request")
        await eventually(lambda: server.connection_count == 0, "the end of the connection", 10.0)


@pytest.mark.parametrize("far", ["plain", "TLS"])
@pytest.mark.parametrize("near", ["plain", "TLS"])
async def test_what_a_client_sent_into_a_tunnel_arrives_after_it_left(
    near: str, far: str, authority: Authority, pair: Pair
) -> None:
    """H17: the client ends, the upstream reads only then, and still gets every byte."""
    go = asyncio.Event()
    arrived: list[int] = []
    opened = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        small(writer.get_extra_info("socket"))
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it can
        writer.write(SWITCHED)
        opened.set()
        await go.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined] # it can
        arrived.append(len(await reader.read(-1)))

    keys = "tls: {insecure_skip_verify: true}" if far == "TLS" else ""
    async with stream_server(upstream, pair.serve() if far == "TLS" else None) as port:
        url = f"{'https' if far == 'TLS' else 'http'}://127.0.0.1:{port}"
        async with serving(url, pair if near == "TLS" else None, upstream=keys) as (to, server):
            trust = authority.trust() if near == "TLS" else None
            reader, writer = await asyncio.open_connection(
                *to, ssl=trust, server_hostname="localhost" if trust else None
            )
            writer.write(ASKING)
            await patiently(reader.readuntil(b"\r\n\r\n"), "the 101")
            await opened.wait()
            (connection,) = open_upstreams(server)
            size = 3000 * await fill(connection, writer, bytes(3000), Tunnel)
            writer.close()
            if near == "TLS":
                await eventually(lambda: server.connection_count == 0, "the client's end")
            go.set()
            await eventually(lambda: bool(arrived), "what the client sent")
            assert arrived == [size]
            await patiently(writer.wait_closed(), "the client's end")


async def test_a_tunnel_to_an_upstream_that_takes_nothing_ends_after_write_idle(
    authority: Authority, pair: Pair
) -> None:
    """H17, F6: what a client left behind is not kept for an upstream that stalls."""
    done = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        small(writer.get_extra_info("socket"))
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it can
        writer.write(SWITCHED)
        await done.wait()

    async with stream_server(upstream) as port:
        url = f"http://127.0.0.1:{port}"
        async with serving(url, pair, "timeouts: {write_idle: 1s}") as (address, server):  # noqa: SIM117
            async with tls_client(address, authority.trust()) as client:
                client.writer.write(ASKING)
                await patiently(client.reader.readuntil(b"\r\n\r\n"), "the 101")
                (connection,) = open_upstreams(server)
                await fill(connection, client.writer, bytes(3000), Tunnel)
                client.writer.close()
                await eventually(lambda: server.connection_count == 0, "the client's end")
                assert open_upstreams(server)
                await eventually(lambda: not open_upstreams(server), "the upstream's end", 10.0)
        done.set()


# --- what is unsent is counted (S12) --------------------------------------------------------------


async def test_s12_no_tls_connection_is_pooled_while_bytes_wait_below_tls(
    pair: Pair,
) -> None:
    """S12: what TLS has passed down and the kernel has not taken is not sent."""
    go, done = asyncio.Event(), asyncio.Event()
    connections = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if connections == 1:
            small(writer.get_extra_info("socket"))
            writer.transport.pause_reading()  # type: ignore[attr-defined] # it can
            await go.wait()
        writer.write(OK)
        await done.wait()

    async with stream_server(upstream, pair.serve()) as port:
        keys = "tls: {insecure_skip_verify: true}"
        async with serving(f"https://127.0.0.1:{port}", None, upstream=keys) as (address, server):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            )
            await eventually(lambda: connections == 1, "the request")
            (connection,) = open_upstreams(server)
            below = carrier_of(connection.transport)
            assert below is not None
            piece = b"bb8\r\n%b\r\n" % bytes(3000)
            await fill(connection, writer, piece, Forwarding)
            writer.write(b"0\r\n\r\n")
            await eventually(lambda: connection.is_request_sent, "the end of the request")
            assert below.get_write_buffer_size()
            assert not connection.transport.get_write_buffer_size()
            go.set()
            await patiently(reader.readuntil(b"hi"), "the response")
            await eventually(lambda: not open_upstreams(server), "the end of the connection")
            writer.write(GET)
            await patiently(reader.readuntil(b"hi"), "the next response")
            assert connections == 2
            writer.close()
        done.set()


# --- what is held is bounded (F7, O6) -------------------------------------------------------------


@pytest.mark.parametrize("far", ["plain", "TLS"])
async def test_a_stalled_transfer_over_tls_holds_a_bounded_amount(
    far: str, authority: Authority, pair: Pair
) -> None:
    """F7, O6: what is read over TLS and not taken by the client stays within a few reads."""
    poured = 0

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal poured
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.set_write_buffer_limits(1)  # with 0 a TLS transport pauses for ever
        below = carrier_of(cast("asyncio.Transport", writer.transport))
        if below is not None:
            below.set_write_buffer_limits(0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(16 * 1024))
            await writer.drain()
            poured += 16 * 1024

    keys = "tls: {insecure_skip_verify: true}" if far == "TLS" else ""
    async with stream_server(upstream, pair.serve() if far == "TLS" else None) as port:
        url = f"{'https' if far == 'TLS' else 'http'}://127.0.0.1:{port}"
        async with (
            serving(url, pair, upstream=keys) as (address, _),
            slow_client(address, authority.trust()) as client,
        ):
            client.send(GET)
            calm, before = 0, -1
            while calm < 20:
                await asyncio.sleep(0.01)
                calm = calm + 1 if poured == before and poured else 0
                before = poured
            # Queues are read one after the other: what moves meanwhile is missed in both.
            await eventually(lambda: poured - in_kernel() < 3 * 256_000, "less in the proxy", 5)


# --- nothing is logged without bound (SECURITY) ---------------------------------------------------


@pytest.fixture
def loops_log(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """Return what the loops' own logger wrote."""
    with caplog.at_level(logging.WARNING, "asyncio"):
        yield caplog.records


async def test_clients_that_leave_behind_pipelined_requests_log_nothing(
    authority: Authority, pair: Pair, loops_log: list[logging.LogRecord]
) -> None:
    """S9: nothing is written to a connection that is gone, which the loops would log each time."""
    many = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" * 1500
    trust = authority.trust()

    def leave(address: tuple[str, int]) -> None:
        with socket.socket() as plain:
            plain.settimeout(10.0)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.connect(address)
            with trust.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(many)
                client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with (
        ScriptedUpstream(answering(2)) as upstream,
        serving(upstream.url, pair) as (address, server),
    ):
        for _ in range(8):
            await asyncio.gather(*(asyncio.to_thread(leave, address) for _ in range(4)))
            await eventually(lambda: server.connection_count == 0, "the end", 10.0)
    assert [record.getMessage() for record in loops_log] == []


async def test_a_tunnel_that_its_tls_upstream_ends_logs_nothing(
    pair: Pair, loops_log: list[logging.LogRecord]
) -> None:
    """H17: TLS has no half close: the whole tunnel ends, and nothing more is written to it."""
    done = asyncio.Event()

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED + b"bye")
        writer.close()
        await done.wait()

    async with stream_server(upstream, pair.serve()) as port:
        keys = "tls: {insecure_skip_verify: true}"
        async with serving(f"https://127.0.0.1:{port}", None, upstream=keys) as (address, _):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(ASKING)
            writer.write(b"x" * 100)
            assert (await patiently(reader.read(-1), "the end")).endswith(b"bye")
            writer.close()
            done.set()
    assert [record.getMessage() for record in loops_log] == []


# --- what is closed is freed (O6) -----------------------------------------------------------------


def alive() -> int:
    """Return how many connections of the data path, and TLS layers of theirs, are in memory."""
    ours = (ClientConnection, UpstreamConnection)
    return sum(
        type(one) in ours or type(one).__name__ in {"SSLProtocol", "HttpRequestParser"}
        for one in gc.get_objects()
    )


@pytest.mark.parametrize("kind", ["plain", "TLS"])
async def test_what_is_closed_is_freed_without_the_garbage_collector(
    kind: str, authority: Authority, pair: Pair, tmp_path: Path
) -> None:
    """O6: a closed connection leads back to itself by nothing: its buffers are free at once."""
    del tmp_path

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read(1)

    is_tls = kind == "TLS"
    keys = "tls: {insecure_skip_verify: true}\n" if is_tls else ""
    async with stream_server(upstream, pair.serve() if is_tls else None) as port:
        url = f"{'https' if is_tls else 'http'}://127.0.0.1:{port}"
        trust = authority.trust() if is_tls else None
        async with serving(url, pair if is_tls else None, upstream=keys) as (address, server):
            gc.collect()
            gc.disable()
            try:
                before = alive()
                for _ in range(4):
                    reader, writer = await asyncio.open_connection(
                        *address, ssl=trust, server_hostname="localhost" if trust else None
                    )
                    writer.write(GET)
                    await patiently(reader.readuntil(b"hi"), "the response")
                    for connection in open_upstreams(server):
                        connection.close()
                    del connection
                    writer.close()
                    await patiently(writer.wait_closed(), "the end")
                    del reader, writer
                    await eventually(lambda: server.connection_count == 0, "the client's end")
                for _ in range(50):
                    if alive() <= before:
                        break
                    await asyncio.sleep(0.02)
                assert alive() <= before
            finally:
                gc.enable()
