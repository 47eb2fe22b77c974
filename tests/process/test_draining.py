"""SIGTERM under load fails no request, if the load balancer has time to notice (P1)."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from corsproxy.proxy.server import ProxyServer
from tests.support.origin import BODY, Load, Origin, accepts, ask, connect, get, origin, read
from tests.support.proxy import through
from tests.support.service import ServiceProcess, config, corsproxy, until
from tests.support.upstream import Script, repeat, request, send, wait
from tests.support.wire import End, eventually

PREFLIGHT = {"Access-Control-Request-Method": "GET"}


@pytest.fixture
def upstream() -> Iterator[Origin]:
    """Return an origin server."""
    with origin() as server:
        yield server


@contextmanager
def draining(file: Path, upstream: Origin, server: str) -> Iterator[ServiceProcess]:
    """Run the proxy with these keys of `server`."""
    file.write_text(config(upstream.port, server=server))
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        yield process


def stop(process: ServiceProcess) -> None:
    """Send SIGTERM and wait until /readyz reports it."""
    process.send(signal.SIGTERM)
    until(lambda: get(process.health_port, "/readyz").status == 503, "it is not ready")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the configuration is."""
    return tmp_path / "config.yaml"


def test_every_response_during_the_delay_closes(file: Path, upstream: Origin) -> None:
    """Not ready at once, live, still accepting; kept, new and waiting connections are closed (P1)."""
    with (
        draining(file, upstream, "drain_delay: 60s") as process,
        closing(connect(process.port)) as kept,
        closing(connect(process.port)) as waiting,
    ):
        assert "connection" not in ask(kept).headers
        waiting.request("GET", "/held")
        assert upstream.arrived.wait(10)
        stop(process)
        assert get(process.health_port, "/livez").status == 200
        upstream.release.set()
        responses = {
            "in flight": read(waiting.getresponse()),
            "kept": ask(kept),
            "new": get(process.port),
        }
        for name, method, headers in [
            ("preflight", "OPTIONS", PREFLIGHT),
            ("fault", "TRACE", {}),
            ("OPTIONS *", "OPTIONS", {}),
        ]:
            with closing(connect(process.port)) as client:
                path = "*" if name == "OPTIONS *" else "/"
                responses[name] = ask(client, path, method, headers)
        fields = {name: one.headers.get("connection") for name, one in responses.items()}
        assert fields == dict.fromkeys(responses, "close")


def test_a_dead_upstream_during_the_delay_closes_too(file: Path, upstream: Origin) -> None:
    """The response to a fault of the upstream has `Connection: close` as well (P1)."""
    with draining(file, upstream, "drain_delay: 60s") as process:
        upstream.server_close()
        stop(process)
        response = get(process.port)
        assert (response.status, response.headers["connection"]) == (502, "close")


def test_the_listener_closes_and_what_runs_finishes(file: Path, upstream: Origin) -> None:
    """After the delay no connection is accepted, a request in flight finishes, then exit 0 (P1)."""
    with (
        draining(file, upstream, "drain_delay: 50ms, drain: 60s") as process,
        closing(connect(process.port)) as client,
        closing(connect(process.port)) as idle,
    ):
        ask(idle)
        client.request("GET", "/held")
        assert upstream.arrived.wait(10)
        stop(process)
        until(lambda: not accepts(process.port), "the listener is closed")
        assert idle.sock.recv(1) == b""
        assert process.process.poll() is None
        assert get(process.health_port, "/readyz").body == b"stopping\n"
        upstream.release.set()
        assert read(client.getresponse()).body.startswith(BODY)
        assert process.code() == 0


async def test_a_response_that_a_slow_client_reads_is_not_cut() -> None:
    """A response that is complete but not read by its client yet still arrives (P1)."""
    size = 110_000  # more than the kernel holds, less than is held without back-pressure
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with through([request(), send(head + bytes(size))]) as way:
        server = way.proxy.server
        await eventually(lambda: server.connection_count == 1, "the connection")
        (connection,) = server.connections
        transport = connection.transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        way.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await way.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually(lambda: transport.get_write_buffer_size() > 0, "a full socket")
        await eventually(lambda: server.state.open_exchanges == 0, "the end of the exchange")
        ended = asyncio.ensure_future(_end(server))
        assert len((await way.client.response()).body) == size
        assert await way.client.ending() is End.FIN
        assert await ended


async def _end(server: ProxyServer) -> bool:
    """Drain and end a server as the service does; return whether all finished in time."""
    drained = await server.drain(10)
    await server.shutdown()
    return drained


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
PATIENT = "timeouts: {keepalive: 60s, request_header: 60s}"


async def test_idle_connections_close_when_the_drain_begins() -> None:
    """Neither a connection without a request nor a kept one delays the end (P1)."""
    async with (
        through([repeat(request(), send(OK))], server=PATIENT) as way,
        await way.proxy.client() as silent,
    ):
        assert (await way.client.exchange(GET)).status == 200
        ended = asyncio.ensure_future(_end(way.proxy.server))
        assert await way.client.ending() is End.FIN
        assert await silent.ending() is End.FIN
        assert await ended


async def test_a_keep_alive_response_in_progress_ends_its_connection() -> None:
    """Its head was sent before the drain began; the connection closes after it (P1)."""
    go = asyncio.Event()
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
    script: Script = [request(), send(begun), wait(go), send(b"llo")]
    async with through(script, server=PATIENT) as way, await way.proxy.client() as idle:
        await way.client.send(GET)
        head = await way.client.until(b"\r\n\r\nhe")
        assert b"connection:" not in head.lower()
        ended = asyncio.ensure_future(_end(way.proxy.server))
        assert await idle.ending() is End.FIN
        go.set()
        assert await way.client.exactly(3) == b"llo"
        assert await way.client.ending() is End.FIN
        assert await ended


async def test_a_request_whose_head_has_begun_is_still_served() -> None:
    """A connection is idle only if no byte of a request has arrived (P1)."""
    async with through([repeat(request(), send(OK))], server=PATIENT) as way:
        await way.client.send(GET[:20])
        async with await way.proxy.client() as idle:
            assert (await idle.exchange(GET)).status == 200
            ended = asyncio.ensure_future(_end(way.proxy.server))
            assert await idle.ending() is End.FIN
        answer = await way.client.exchange(GET[20:])
        assert (answer.status, answer.head.values("connection")) == (200, [b"close"])
        assert await way.client.ending() is End.FIN
        assert await ended


def test_a_response_that_takes_longer_than_drain_is_cut(file: Path, upstream: Origin) -> None:
    """The log reports it, and the exit code is 0 all the same (P1)."""
    with (
        draining(file, upstream, "drain_delay: 0, drain: 200ms") as process,
        closing(connect(process.port)) as client,
    ):
        client.request("GET", "/held")
        assert upstream.arrived.wait(10)
        began = time.monotonic()
        assert process.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 3.0
        assert "cut off 1 connection that did not finish within server.drain" in process.errors
        with pytest.raises(ConnectionError):
            client.getresponse()


def stops_under_load(
    file: Path,
    upstream: Origin,
    times: int,
    timing: tuple[str, float],
) -> None:
    """Replace the proxy `times` times behind a load balancer that notices late; no request may fail."""
    delay, late = timing
    with ExitStack() as stack:
        balancer = Balancer(late)
        running = stack.enter_context(draining(file, upstream, f"drain_delay: {delay}"))
        balancer.add(running)
        load = stack.enter_context(Load(balancer.port, 8))
        for _ in range(times):
            before = load.total
            successor = stack.enter_context(draining(file, upstream, f"drain_delay: {delay}"))
            balancer.add(successor)
            until(lambda: load.total > before, "the load goes on")  # noqa: B023 - called at once
            running.send(signal.SIGTERM)
            assert running.code() == 0
            assert "Traceback" not in running.errors
            running = successor
        load.stop()
        assert load.failures == []
        assert set(load.answers) == {200}


class Balancer:
    """Sends to the oldest instance until `late` seconds after its SIGTERM."""

    def __init__(self, late: float) -> None:
        self._late = late
        self._instances: list[ServiceProcess] = []
        self._unready: float | None = None
        self._look: Callable[[], float] = time.monotonic

    def add(self, instance: ServiceProcess) -> None:
        """Add an instance."""
        self._instances.append(instance)

    def port(self) -> int:
        """Return the port of the instance to use; a stopping one is noticed late."""
        oldest = self._instances[0]
        if "stopping" in oldest.errors:
            now = self._look()
            self._unready = self._unready or now
            if now - self._unready >= self._late and len(self._instances) > 1:
                self._instances.pop(0)
                self._unready = None
        return self._instances[0].port


def test_stops_behind_a_late_balancer_fail_no_request(file: Path, upstream: Origin) -> None:
    """2 SIGTERMs under keep-alive load, noticed late but within the delay: none fails (P1)."""
    stops_under_load(file, upstream, 2, ("500ms", 0.15))


@pytest.mark.slow
def test_twenty_stops_behind_a_late_balancer_fail_no_request(file: Path, upstream: Origin) -> None:
    """20 SIGTERMs under keep-alive load behind a balancer that notices 2 s late: none fails (P1)."""
    stops_under_load(file, upstream, 20, ("5s", 2.0))
