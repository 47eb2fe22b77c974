"""How an upstream's name becomes a connection (forwarding.md F9, F2): all addresses, anew in time."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import cast

import pytest

from corsproxy.policy.compiled import TcpAddress, UnixAddress, Upstream, UpstreamTimeouts
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.upstream import resolve
from corsproxy.proxy.upstream.connect import Connector
from corsproxy.proxy.upstream.resolve import Resolver
from tests.support.names import Names, Time
from tests.support.wire import listen


def upstream(host: str = "api.test", port: int = 80, connect: float = 2.0) -> Upstream:
    """Return an upstream of that name."""
    return Upstream(
        name="u",
        scheme="http",
        address=TcpAddress(host, port),
        authority=b"u",
        timeouts=UpstreamTimeouts(connect=connect),
    )


# Loopback, too, and nothing listens on it: with the port of a test's server it refuses.
REFUSING = "127.0.0.2"
SILENT = "127.0.0.3"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give lookups a long head start: on a busy machine a quick one may take its time."""
    monkeypatch.setattr(resolve, "_HEAD_START", 4.0)


@pytest.fixture
def there() -> Iterator[tuple[str, int]]:
    """Return where something listens."""
    with listen() as sock:
        host, port = sock.getsockname()
        yield host, port


@contextmanager
def silent(port: int) -> Iterator[None]:
    """Let SILENT respond to no handshake on `port`: its backlog is full."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((SILENT, port))
        full.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            filler.connect_ex(full.getsockname())
        yield


async def open_one(connector: Connector) -> tuple[asyncio.Transport, tuple[str, int]]:
    """Return the transport of a new connection, and where it leads to."""
    made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(cast("asyncio.Transport", transport))  # uvloop's only looks like one

    _, sock = await connector.open(Noting)
    host, port = sock.getpeername()[:2]
    return await made, (host, port)


async def leads_to(connector: Connector) -> tuple[str, int]:
    """Open a connection and drop it; return where it led to."""
    transport, where = await open_one(connector)
    transport.abort()
    await asyncio.sleep(0)
    return where


async def fault_of(connector: Connector) -> faults.FaultKind:
    """Return what opening a connection fails with."""
    with pytest.raises(Fault) as caught:
        await connector.open(asyncio.Protocol)
    return caught.value.kind


async def test_f9_an_address_that_refuses_gives_way_to_the_next(there: tuple[str, int]) -> None:
    """F9: the first is refused, the second accepts; one lookup was enough."""
    names = Names(REFUSING, there[0])
    assert await leads_to(Connector(upstream(port=there[1]), Resolver(names))) == there
    assert names.asked == ["api.test"]


async def test_f9_an_address_that_is_silent_gives_way_in_time(there: tuple[str, int]) -> None:
    """F9, RFC 8305 5: the next one starts after a quarter of a second, not after `connect`."""
    with silent(there[1]):
        connector = Connector(
            upstream(port=there[1], connect=5.0), Resolver(Names(SILENT, there[0]))
        )
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await leads_to(connector) == there
        assert 0.2 < loop.time() - started < 2.0


async def test_f9_a_name_is_looked_up_once_while_it_works(there: tuple[str, int]) -> None:
    """F9: and again after ten seconds."""
    names, time = Names(there[0]), Time()
    connector = Connector(upstream(port=there[1]), Resolver(names, time))
    for seconds, lookups in ((0.0, 1), (9.9, 1), (0.2, 2), (9.9, 2)):
        time.now += seconds
        assert await leads_to(connector) == there
        assert len(names.asked) == lookups


async def test_f9_a_failure_to_connect_looks_the_name_up_anew(there: tuple[str, int]) -> None:
    """F9: a container that came back with another address is found at the next request."""
    names = Names(REFUSING)
    connector = Connector(upstream(port=there[1]), Resolver(names))
    assert await fault_of(connector) is faults.UPSTREAM_UNREACHABLE
    names.addresses = [there[0]]
    assert await leads_to(connector) == there
    assert len(names.asked) == 2


async def test_f9_an_address_that_stays_silent_is_looked_up_anew(there: tuple[str, int]) -> None:
    """F9: a time limit that passed is a failure to connect like any other."""
    names = Names(SILENT)
    connector = Connector(upstream(port=there[1], connect=0.3), Resolver(names))
    with silent(there[1]):
        assert await fault_of(connector) is faults.UPSTREAM_CONNECT_TIMEOUT
    names.addresses = [there[0]]
    assert await leads_to(connector) == there
    assert len(names.asked) == 2


async def test_f9_an_address_that_fails_in_tls_is_looked_up_anew() -> None:
    """F9: whoever has the address now may be another server, with another certificate."""
    names = Names("127.0.0.1")

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connector = Connector(replace(upstream(port=port), scheme="https"), Resolver(names))
        for lookups in (1, 2):
            assert await fault_of(connector) is faults.UPSTREAM_TLS
            assert len(names.asked) == lookups


async def test_f9_upstreams_of_one_name_share_its_addresses_not_the_port() -> None:
    """F9: one lookup a name, whatever ports its upstreams listen on."""
    with listen() as one, listen() as other:
        names = Names("127.0.0.1")
        resolver = Resolver(names)
        places = [one.getsockname(), other.getsockname()]
        connectors = [Connector(upstream(port=port), resolver) for _, port in places]
        assert [await leads_to(connector) for connector in connectors] == places
        assert names.asked == ["api.test"]


async def test_f2_when_all_addresses_fail_it_is_one_fault(there: tuple[str, int]) -> None:
    """F2: 502, whatever their number and family."""
    names = Names(REFUSING, SILENT, "::1")
    connector = Connector(upstream(port=there[1]), Resolver(names))
    assert await fault_of(connector) is faults.UPSTREAM_UNREACHABLE


async def test_f2_a_name_that_does_not_exist_is_a_fault_of_its_own() -> None:
    """F2: DNS: 502."""
    names = Names()
    names.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert await fault_of(Connector(upstream(), Resolver(names))) is faults.UPSTREAM_NAME


async def test_f2_a_lookup_that_takes_too_long_is_a_timeout() -> None:
    """O1: `connect` limits the lookup, too."""
    names = Names()
    released = names.hang("api.test")
    connector = Connector(upstream(connect=0.05), Resolver(names))
    assert await fault_of(connector) is faults.UPSTREAM_CONNECT_TIMEOUT
    released.set()


async def test_an_address_is_not_looked_up(there: tuple[str, int]) -> None:
    """An IP literal needs no resolver, and no thread."""
    names = Names()
    assert await leads_to(Connector(upstream(*there), Resolver(names))) == there
    assert names.asked == []


async def test_an_ipv6_address_is_not_looked_up() -> None:
    """An IPv6 literal needs none either."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        names, (host, port, *_) = Names(), sock.getsockname()
        assert await leads_to(Connector(upstream(host, port), Resolver(names))) == (host, port)
        assert names.asked == []


async def test_a_socket_file_without_a_server_is_unreachable() -> None:
    """F2: the same fault as a port that refuses."""
    there = Upstream(name="u", scheme="http", address=UnixAddress("/nonexistent"), authority=b"u")
    assert await fault_of(Connector(there, Resolver(Names()))) is faults.UPSTREAM_UNREACHABLE
