"""The health listener responds whatever else is connected: forwarding.md O2."""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic

import pytest

from corsproxy.admin import gate, scraping
from corsproxy.admin.gate import Reserve
from corsproxy.admin.health import HealthListener, Readiness, serve_health
from corsproxy.admin.scraping import Scrape, Scraping
from corsproxy.observe.exposition import render_each
from corsproxy.observe.snapshot import Snapshot
from corsproxy.runtime.acceptor import Acceptor
from tests.support.client import RawClient
from tests.support.leaks import Leaks
from tests.support.wire import Address, End, eventually, listen, patiently

LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
METRICS = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
SNAPSHOT: Snapshot = {"corsproxy_connections": [((), (7.0,))]}


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """Check that the test leaves no resource open (forwarding.md F6)."""
    leaks = Leaks()
    yield
    await leaks.assert_none()


async def scraped() -> Snapshot:
    """Return some figures."""
    return SNAPSHOT


class Health:
    """A health listener and its clients."""

    def __init__(self, to: Address, listener: HealthListener, stack: AsyncExitStack) -> None:
        self.address = to
        self.listener = listener
        self._stack = stack

    async def client(self) -> RawClient:
        """Return a new client, closed at the end."""
        return await self._stack.enter_async_context(await RawClient.to(self.address))

    async def ask(self, request: bytes = LIVE, method: str = "GET") -> int:
        """Send a request on a new connection, which has to close after the response; return the status."""
        client = await self.client()
        response = await client.exchange(request, method)
        assert response.head.values("connection") == [b"close"]
        assert await client.ending() is End.FIN
        return response.status

    @property
    def count(self) -> int:
        """How many connections there are."""
        found = self.listener._gate
        assert found is not None
        return len(found._connections)


@asynccontextmanager
async def health(scrape: Scrape = scraped) -> AsyncIterator[Health]:
    """Serve health on a free port."""
    sock = listen()
    address = sock.getsockname()
    listener = await serve_health(
        partial(Acceptor, sock),
        lambda: Readiness(is_ready=True, lines=["ok"]),
        scrape,
    )
    try:
        async with AsyncExitStack() as stack:
            yield Health(address, listener, stack)
    finally:
        await listener.close()


# --- connections ---------------------------------------------------------------------------


async def test_each_path_has_its_response() -> None:
    """M1: three paths and nothing else, for GET and HEAD; one request per connection."""
    async with health() as there:
        for path in (b"/livez", b"/readyz", b"/metrics"):
            assert await there.ask(LIVE.replace(b"/livez", path)) == 200
        assert await there.ask(LIVE.replace(b"GET", b"HEAD"), "HEAD") == 200
        assert await there.ask(LIVE.replace(b"GET", b"DELETE")) == 405
        assert await there.ask(LIVE.replace(b"/livez", b"/")) == 404
        body = b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        assert await there.ask(body) == 200  # and the body is not waited for


async def test_silent_connections_leave_probes_served() -> None:
    """O2: at most 64 connections; the one that has been silent longest makes room."""
    async with health() as there:
        silent = [await there.client() for _ in range(64)]
        await eventually(lambda: there.count == 64, "64 connections")
        assert await there.ask() == 200
        assert await silent[0].ending() is End.FIN
        assert all(client.is_open for client in silent[1:])
        for _ in range(100):
            await there.client()
        assert await there.ask() == 200
        assert there.count <= 64


async def test_connections_that_wait_for_a_response_make_room_too() -> None:
    """O2: if all 64 wait for a response, the oldest of them is closed."""
    go = asyncio.Event()

    async def slow() -> Snapshot:
        await go.wait()
        return SNAPSHOT

    async with health(slow) as there:
        for _ in range(64):
            await (await there.client()).send(METRICS)
        await eventually(lambda: there.count == 64, "64 connections")
        assert await there.ask() == 200
        go.set()


async def test_connections_that_wait_for_a_response_do_not_push_a_probe_out() -> None:
    """O2: the oldest connection makes room: a probe that pauses before its request is served."""
    go = asyncio.Event()

    async def slow() -> Snapshot:
        await go.wait()
        return SNAPSHOT

    async with health(slow) as there:
        for _ in range(63):
            await (await there.client()).send(METRICS)
        await eventually(lambda: there.count == 63, "63 that wait")
        probe = await there.client()
        await eventually(lambda: there.count == 64, "the probe")
        for _ in range(30):
            await there.client()
        assert (await probe.exchange(LIVE)).status == 200
        go.set()


@pytest.mark.parametrize("line", [b"\r\n\r\n", b"\n", b"\r\n" + LIVE, b"\r" + LIVE])
async def test_an_empty_line_is_not_a_request(line: bytes) -> None:
    """O2: the connection is closed instead of waiting for a request."""
    async with health() as there:
        client = await there.client()
        await client.send(line)
        assert await patiently(client.until_end(), "its end") == b""
        assert there.count == 0


@pytest.mark.parametrize("begun", [b"", LIVE[:-2]])
async def test_the_time_for_a_head_is_limited(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O2: a silent connection, and one that does not end its head, from accept."""
    assert gate._HEAD_TIME == 5.0
    monkeypatch.setattr(gate, "_HEAD_TIME", 0.2)
    async with health() as there:
        client = await there.client()
        await client.send(begun)
        assert await client.ending() is End.FIN
        assert there.count == 0


async def test_the_size_of_a_head_is_limited() -> None:
    """O2: a head without an end is not buffered without limit."""
    async with health() as there:
        client = await there.client()
        await client.send(LIVE[:-2] + b"X: " + b"x" * 9000)
        assert await client.until_end() == b""


async def test_the_time_for_reading_a_response_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """O2: the connection of a client that does not read its response is closed."""
    many: Snapshot = {
        "corsproxy_faults_total": [((f"r{number}", "x" * 900), (1.0,)) for number in range(9000)]
    }

    async def much() -> Snapshot:
        return many

    monkeypatch.setattr(gate, "_RESPONSE_TIME", 1.0)
    async with health(much) as there:
        client = await there.client()
        await client.send(METRICS)
        await eventually(lambda: there.count == 1, "the request")
        await eventually(lambda: there.count == 0, "its end", 20.0)


async def test_bytes_after_a_request_are_not_a_request() -> None:
    """O2: no pipelining: one response, however many heads there are."""
    async with health() as there:
        client = await there.client()
        await client.send(LIVE * 500)
        assert (await client.until_end()).count(b"HTTP/1.1 200 OK") <= 1
        assert await there.ask() == 200


async def test_what_is_not_http_is_refused() -> None:
    """P3: a port scan, or TLS on this port, ends in a 400 and leaves nothing open."""
    async with health() as there:
        client = await there.client()
        await client.send(b"\x16\x03\x01\r\n\r\n")
        assert (await client.until_end())[:12] in {b"", b"HTTP/1.0 400", b"HTTP/1.1 400"}
        assert await there.ask() == 200


async def test_connections_of_the_end_leave_nothing() -> None:
    """F6: silent ones, half a head and a pending response, when the listener closes."""

    async def never() -> Snapshot:
        await asyncio.Event().wait()
        raise AssertionError

    async with health(never) as there:
        for begun in (b"", LIVE[:9], METRICS):
            await (await there.client()).send(begun)
        await eventually(lambda: there.count == 3, "three connections")


# --- renderings ----------------------------------------------------------------------------


class Counting:
    """Renders once `go` is set, and counts renderings, in total and at a time."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.count = self.running = self.most = 0

    def __call__(self, snapshot: Snapshot, accepts: list[str]) -> dict[str, tuple[bytes, str]]:
        """Replace `render_each`."""
        self.count += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.go.wait(20)
        self.running -= 1
        return render_each(snapshot, accepts)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """Replace the rendering; let it continue at the end."""
    found = Counting()
    monkeypatch.setattr(scraping, "render_each", found)
    yield found
    found.go.set()


async def test_all_waiting_scrapes_share_one_rendering(counting: Counting) -> None:
    """O2: thirty scrapes during a rendering cost one more rendering; probes are served meanwhile."""
    openmetrics = METRICS.replace(b"Host", b"Accept: application/openmetrics-text\r\nHost")
    async with health() as there:
        clients = [await there.client() for _ in range(31)]
        await clients[0].send(METRICS)
        await eventually(lambda: counting.running == 1, "the first rendering")
        for number, client in enumerate(clients[1:]):
            await client.send(openmetrics if number % 2 else METRICS)
        await eventually(lambda: there.count == 31, "the others")
        assert await there.ask() == 200
        counting.go.set()
        for client in clients:
            assert b"corsproxy_connections 7.0" in (await client.response()).body
        assert (counting.count, counting.most) == (2, 1)


async def test_renderings_leave_time_for_everything_else() -> None:
    """O2: a rendering is followed by a rest in proportion, which lasts no longer than a second."""
    scrapes = Scraping(scraped, contextlib.nullcontext)
    await scrapes.text("")
    ended = monotonic()
    assert 0.0 < scrapes._rests_until <= ended + 1.0
    scrapes._rests_until = ended + 0.3
    await scrapes.text("")
    assert monotonic() >= ended + 0.3
    await scrapes.close()


async def test_a_scrape_that_fails_fails_for_the_requests_that_wait_for_it() -> None:
    """O2: the next request starts a new one."""
    results: list[Snapshot | Exception] = [OSError("gone"), SNAPSHOT]

    async def failing() -> Snapshot:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    scrapes = Scraping(failing, contextlib.nullcontext)
    with pytest.raises(OSError, match="gone"):
        await scrapes.text("")
    assert b" 7.0" in (await scrapes.text(""))[0]
    await scrapes.close()


# --- descriptors ---------------------------------------------------------------------------


async def test_the_reserve_is_filled_when_a_connection_ends() -> None:
    """O2: the descriptor of a probe that has ended is kept for the next one."""
    async with health() as there:
        reserve = there.listener._reserve
        full = len(reserve._kept)
        assert full == 64
        assert reserve.release()
        assert await there.ask() == 200
        await eventually(lambda: len(reserve._kept) == full, "that it is kept again")


async def test_a_reserve_is_released_and_filled_again() -> None:
    """O2: each reserved descriptor is free when it is needed, and reserved again afterwards."""
    reserve = Reserve(3)
    kept = set(reserve._kept)
    assert len(kept) == 3
    assert reserve.release()
    freed = next(iter(kept - set(reserve._kept)))
    with socket.socket() as taken:
        assert taken.fileno() == freed
    reserve.fill()
    assert len(reserve._kept) == 3
    reserve.close()
    for descriptor in kept:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    assert not reserve.release()
