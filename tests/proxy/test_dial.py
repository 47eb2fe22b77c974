"""How an upstream's name becomes a connection (forwarding.md F9, F2): all addresses, anew in time."""

import asyncio
import socket
from typing import Any, cast

import pytest

from corsproxy.policy.plan import TcpAddress, UnixAddress, Upstream, UpstreamTimeouts
from corsproxy.proxy import dial, faults
from corsproxy.proxy.dial import Dialler
from corsproxy.proxy.faults import Fault
from tests.support.wire import listen


class Names:
    """Stands in for the resolver: `addresses` are what the name has at the moment."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self.addresses = list(addresses)
        self.asked: list[tuple[str, int]] = []
        self.error: OSError | None = None
        asyncio.get_running_loop().getaddrinfo = self._answer  # type: ignore[method-assign, assignment]

    async def _answer(self, host: str, port: int, **_: object) -> list[Any]:
        addresses = self.addresses
        if host[0].isdigit() or ":" in host:
            addresses = [(host, port)]  # uvloop asks for addresses, too, before it connects to them
        else:
            self.asked.append((host, port))
            if self.error is not None:
                raise self.error
        found = []
        for address, number in addresses:
            six = ":" in address
            where = (address, number, 0, 0) if six else (address, number)
            family = socket.AF_INET6 if six else socket.AF_INET
            found.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where))
        return found


def upstream(host: str = "api.test", port: int = 80, connect: float = 2.0) -> Upstream:
    """Return an upstream of that name."""
    return Upstream(
        name="u",
        scheme="http",
        address=TcpAddress(host, port),
        authority=b"u",
        timeouts=UpstreamTimeouts(connect=connect),
    )


@pytest.fixture
def refusing() -> tuple[str, int]:
    """Return a loopback address that nobody listens on."""
    with listen() as sock:
        host, port = sock.getsockname()
    return host, port


async def open_one(dialler: Dialler) -> tuple[asyncio.Transport, tuple[str, int]]:
    """Return the transport of a new connection, and where it leads to."""
    made: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()

    class Noting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.set_result(cast("asyncio.Transport", transport))  # uvloop's only looks like one

    _, sock = await dialler.open(Noting)
    host, port = sock.getpeername()[:2]
    return await made, (host, port)


async def leads_to(dialler: Dialler) -> tuple[str, int]:
    """Open a connection and drop it; return where it led to."""
    transport, where = await open_one(dialler)
    transport.abort()
    await asyncio.sleep(0)
    return where


async def fault_of(dialler: Dialler) -> faults.FaultKind:
    """Return what opening a connection fails with."""
    with pytest.raises(Fault) as caught:
        await dialler.open(asyncio.Protocol)
    return caught.value.kind


async def test_f9_an_address_that_refuses_gives_way_to_the_next(refusing: tuple[str, int]) -> None:
    """F9: the first is refused, the second answers; one look-up was enough."""
    with listen() as sock:
        names = Names(refusing, sock.getsockname())
        assert await leads_to(Dialler(upstream())) == sock.getsockname()
        assert names.asked == [("api.test", 80)]


async def test_f9_an_address_that_is_silent_gives_way_in_time() -> None:
    """F9, RFC 8305 5: the next one starts after a quarter of a second, not after `connect`."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(3):  # a full backlog: further handshakes hear nothing
        filler = socket.socket()
        filler.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    try:
        with listen() as sock:
            Names(full.getsockname(), sock.getsockname())
            loop = asyncio.get_running_loop()
            started = loop.time()
            assert await leads_to(Dialler(upstream(connect=5.0))) == sock.getsockname()
            assert 0.2 < loop.time() - started < 2.0
    finally:
        for one in (full, *fillers):
            one.close()


async def test_f9_a_name_is_looked_up_once_while_it_works() -> None:
    """F9: and again after ten seconds."""
    with listen() as sock:
        names, dialler = Names(sock.getsockname()), Dialler(upstream())
        for _ in range(3):
            await leads_to(dialler)
        assert len(names.asked) == 1
        dialler._resolved_until -= dial._RESOLVED_FOR
        await leads_to(dialler)
        assert len(names.asked) == 2


async def test_f9_a_failure_to_connect_looks_the_name_up_anew(refusing: tuple[str, int]) -> None:
    """F9: a container that came back with another address is found at the next request."""
    with listen() as sock:
        names, dialler = Names(refusing), Dialler(upstream())
        assert await fault_of(dialler) is faults.UPSTREAM_UNREACHABLE
        names.addresses = [sock.getsockname()]
        assert await leads_to(dialler) == sock.getsockname()
        assert len(names.asked) == 2


async def test_f2_when_all_addresses_fail_it_is_one_fault(refusing: tuple[str, int]) -> None:
    """F2: 502, whatever their number."""
    Names(refusing, refusing, ("::1", refusing[1]))
    assert await fault_of(Dialler(upstream())) is faults.UPSTREAM_UNREACHABLE


async def test_f2_a_name_that_does_not_exist_is_a_fault_of_its_own() -> None:
    """F2: DNS: 502."""
    names = Names()
    names.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert await fault_of(Dialler(upstream())) is faults.UPSTREAM_NAME


async def test_f2_a_look_up_that_takes_too_long_is_a_timeout() -> None:
    """O1: `connect` limits the look-up, too."""
    names = Names()

    async def never(*_: object, **__: object) -> list[Any]:
        await asyncio.Event().wait()
        raise AssertionError

    asyncio.get_running_loop().getaddrinfo = never  # type: ignore[method-assign]
    assert await fault_of(Dialler(upstream(connect=0.05))) is faults.UPSTREAM_CONNECT_TIMEOUT
    assert names.asked == []


async def test_an_address_is_not_looked_up() -> None:
    """An IP literal needs no resolver, and no thread."""
    with listen() as sock:
        names = Names()
        host, port = sock.getsockname()
        assert await leads_to(Dialler(upstream(host, port))) == (host, port)
        assert names.asked == []


async def test_a_socket_file_without_a_server_is_unreachable() -> None:
    """F2: the same fault as a port that refuses."""
    there = Upstream(name="u", scheme="http", address=UnixAddress("/nonexistent"), authority=b"u")
    assert await fault_of(Dialler(there)) is faults.UPSTREAM_UNREACHABLE
