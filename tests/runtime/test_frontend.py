"""Health, readiness, reloads and draining are the same for every request server."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.compiled import Address, CompiledConfig, LogSettings, ServerTls, TcpAddress
from corsproxy.runtime.frontend import (
    Frontend,
    NotApplied,
    Status,
    ValidConfig,
    restart_required,
)
from corsproxy.runtime.signals import StopSignals
from corsproxy.runtime.sockets import CannotStart
from tests.support.client import RawClient
from tests.support.proxy import config_of, one_route
from tests.support.wire import eventually

READY = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
LIVE = READY.replace(b"readyz", b"livez")


def config(*, drain_delay: float = 0.0, health: str = "127.0.0.1:0") -> CompiledConfig:
    """Return a configuration with these values."""
    text = one_route("http://127.0.0.1:9", server=f"drain_delay: {drain_delay}")
    return config_of(f"{text}\nhealth: {{listen: '{health}'}}\n")


class Recorded:
    """Serves nothing, and records the calls."""

    def __init__(self, found: CompiledConfig) -> None:
        self.config = found
        self.addresses: tuple[Address, ...] = ()
        self.calls: list[str] = []
        self.current = Status(is_serving=True, word="ok")
        self.refusal: Exception | None = None

    def bind(self) -> None:
        """Record the call."""
        self.calls.append("bind")

    async def start(self) -> None:
        """Record the call, and fail if the test wants that."""
        self.calls.append("start")
        if self.refusal is not None:
            raise self.refusal

    def status(self) -> Status:
        """Return what the test has set."""
        return self.current

    async def apply(self, valid: ValidConfig) -> None:
        """Take the configuration, or fail if the test wants that."""
        if self.refusal is not None:
            raise self.refusal
        self.config = valid.config

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the call."""
        self.calls.append(f"reload {succeeded}")

    async def scrape(self) -> Snapshot:
        """Return no metrics."""
        return {}

    def begin_drain(self) -> None:
        """Record the call."""
        self.calls.append("begin_drain")

    async def finish_drain(self) -> None:
        """Record the call."""
        self.calls.append("finish_drain")

    async def close(self) -> None:
        """Record the call."""
        self.calls.append("close")


@asynccontextmanager
async def running(found: CompiledConfig) -> AsyncIterator[tuple[Frontend, Recorded]]:
    """Run a frontend of a server that serves nothing."""
    server = Recorded(found)
    async with Frontend(server) as frontend:
        yield frontend, server


async def probe(frontend: Frontend, request: bytes = READY) -> tuple[int, bytes]:
    """Return status and body of a response of the health listener."""
    address = frontend.health_address
    assert isinstance(address, TcpAddress)
    async with await RawClient.to((address.host, address.port)) as client:
        response = await client.exchange(request)
        return response.status, response.body


async def test_readiness_is_the_status_of_the_server() -> None:
    """The lines are its word and details; without serving it is 503, and still alive."""
    async with running(config()) as (frontend, server):
        assert await probe(frontend) == (200, b"ok\n")
        server.current = Status(is_serving=True, word="ok", details=("1 of 2 workers serve",))
        assert await probe(frontend) == (200, b"ok\n1 of 2 workers serve\n")
        server.current = Status(is_serving=False, word="no worker")
        assert await probe(frontend) == (503, b"no worker\n")
        assert await probe(frontend, LIVE) == (200, b"ok\n")


async def test_a_failed_reload_is_reported_until_one_succeeds() -> None:
    """It does not change readiness: the previous configuration is in force."""
    async with running(config()) as (frontend, server):
        frontend.record_reload(succeeded=False)
        status, body = await probe(frontend)
        assert status == 200
        assert body.splitlines()[1].startswith(b"the last reload failed")
        frontend.record_reload(succeeded=True)
        assert await probe(frontend) == (200, b"ok\n")
        assert server.calls == ["bind", "start", "reload False", "reload True"]


async def test_draining_is_unready_before_it_stops_accepting() -> None:
    """P1: a load balancer sees 503 during `server.drain_delay`, while connections are accepted."""
    async with running(config(drain_delay=3600)) as (frontend, server):
        draining = asyncio.ensure_future(frontend.drain(delayed=True))
        await eventually(lambda: "begin_drain" in server.calls, "that it drains")
        assert await probe(frontend) == (503, b"stopping\n")
        assert "finish_drain" not in server.calls
        draining.cancel()
        await frontend.drain(delayed=False)
    assert server.calls[2:] == ["begin_drain", "begin_drain", "finish_drain", "close"]


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """Give the signals their handlers back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_restored")
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_only_sigterm_is_delayed(first: signal.Signals) -> None:
    """P1: SIGINT comes from a terminal, without a load balancer; a second signal ends at once."""
    stop = StopSignals()
    async with running(config(drain_delay=3600)) as (frontend, server):
        signal.raise_signal(first)
        if first is signal.SIGTERM:
            signal.raise_signal(signal.SIGINT)
        await frontend.wait(stop)
        cut_short = first is signal.SIGTERM
        assert server.calls[2:] == ["begin_drain"] + ["finish_drain"] * (not cut_short)


async def test_a_change_that_needs_a_restart_is_named() -> None:
    """The keys are those that differ from the start, not from the last reload."""
    first = config()
    later = replace(first, health=None, server=replace(first.server, workers=7))
    async with running(first) as (frontend, server):
        for _ in range(2):
            assert await frontend.apply(ValidConfig(later, "")) == [
                "server.workers",
                "health.listen",
            ]
            assert frontend.config is later
        assert await frontend.apply(ValidConfig(first, "")) == []
        server.refusal = NotApplied("worker 1 cannot apply it")
        with pytest.raises(NotApplied):
            await frontend.apply(ValidConfig(later, ""))
        assert frontend.config is first
    assert restart_required(first, later) == ["server.workers", "health.listen"]


async def test_a_start_that_fails_leaves_nothing_open() -> None:
    """The server is closed, and so is the health listener, which started before it."""
    server = Recorded(config())
    server.refusal = CannotStart("no")
    frontend = Frontend(server)
    with pytest.raises(CannotStart):
        await frontend.__aenter__()
    assert server.calls == ["bind", "start", "close"]
    with pytest.raises(ConnectionRefusedError):
        await probe(frontend)


async def test_health_can_be_off() -> None:
    """`health.listen: off`: there is no address, and everything else is the same."""
    async with running(config(health="off")) as (frontend, server):
        assert frontend.health_address is None
    assert server.calls == ["bind", "start", "close"]


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("server.listen", {"server": {"listen": (TcpAddress("127.0.0.1", 1),)}}),
        ("server.tls", {"server": {"tls": ServerTls(cert_file="a", key_file="b")}}),
        ("server.workers", {"server": {"workers": 2}}),
        ("health.listen", {"health": None}),
        ("log", {"log": LogSettings(level="debug")}),
    ],
)
def test_each_key_that_is_read_at_the_start_needs_a_restart(
    key: str, changed: dict[str, Any]
) -> None:
    """P2: a reload logs it, and applies the rest."""
    before = config()
    parts = {
        name: replace(getattr(before, name), **value) if isinstance(value, dict) else value
        for name, value in changed.items()
    }
    assert restart_required(before, replace(before, **parts)) == [key]
    assert restart_required(before, config(drain_delay=1.0)) == []
