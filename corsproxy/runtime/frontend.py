"""The life cycle of a proxy: start, health, readiness, reloads and draining.

It is the same for one process and for several; a `RequestServer` hides which of them serve requests.
"""

import asyncio
import logging
import signal
import socket
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

from corsproxy.admin.health import HealthListener, Readiness, serve_health
from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.compiled import Address, CompiledConfig
from corsproxy.runtime.acceptor import Acceptor
from corsproxy.runtime.signals import StopSignals
from corsproxy.runtime.sockets import ListenSockets

log: Final = logging.getLogger("corsproxy")


class ValidConfig(NamedTuple):
    """A configuration without errors, and the text that it was compiled from."""

    config: CompiledConfig
    text: str


class NotApplied(Exception):  # noqa: N818 - a refusal, logged as it is
    """A valid configuration was not applied; the text says why."""


class Status(NamedTuple):
    """Whether requests are served; `word` and `details` are lines of the /readyz response."""

    is_serving: bool
    word: str
    details: tuple[str, ...] = ()


class RequestServer(Protocol):
    """Serves the requests of one configuration: `Service` in this process, `Supervisor` in others."""

    config: CompiledConfig
    addresses: tuple[Address, ...]

    def bind(self) -> None:
        """Listen on the addresses of the configuration. Raises CannotStart."""

    async def start(self) -> None:
        """Serve the requests that arrive there. Raises CannotStart."""

    def status(self) -> Status:
        """Return whether requests are being served."""

    async def apply(self, valid: ValidConfig) -> None:
        """Serve later requests according to `valid`. Raises NotApplied, with nothing changed."""

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the result of the last reload in the metrics."""

    async def scrape(self) -> Snapshot:
        """Return the metrics."""

    def begin_drain(self) -> None:
        """Close client connections after their next response; still accept new ones."""

    async def finish_drain(self) -> None:
        """Stop accepting, and wait for requests in flight for at most `server.drain`."""

    async def close(self) -> None:
        """Close everything at once. May be called whether or not `bind` and `start` succeeded."""


class Frontend:
    """A proxy from start to end: `async with Frontend(Service(config)) as running: ...`.

    Entering binds and starts `server`, leaving closes it; only `drain` waits for requests in flight.
    Health uses `health_socket`, if given, instead of binding its address.
    """

    def __init__(self, server: RequestServer, health_socket: socket.socket | None = None) -> None:
        self._server = server
        self._started_with = server.config
        self._health_sockets = ListenSockets(addresses=addresses_of(server.config))
        self._health_socket = health_socket
        self._health: HealthListener | None = None
        self._is_stopping = False
        self._last_reload_failed = False
        self.health_address: Address | None = None

    @property
    def config(self) -> CompiledConfig:
        """The configuration in force."""
        return self._server.config

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses that accept requests, with the ports that the system chose."""
        return self._server.addresses

    async def __aenter__(self) -> Self:
        """Start. Raises CannotStart, with everything closed again."""
        try:
            self._server.bind()
            # Before the server starts, which takes a second with workers: /livez succeeds meanwhile.
            await self._serve_health()
            await self._server.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything at once."""
        await self._close()

    async def _serve_health(self) -> None:
        address = self._started_with.health
        if address is not None:
            sock = self._health_socket
            if sock is None:
                address, (sock,) = self._health_sockets.bind(address)
            self.health_address = address
            start_accepting = partial(Acceptor, sock)
            self._health = await serve_health(start_accepting, self._readiness, self._server.scrape)

    def _readiness(self) -> Readiness:
        """Return whether the proxy is ready; a failed reload is reported, but does not make it unready."""
        status = self._server.status()
        lines = ["stopping" if self._is_stopping else status.word, *status.details]
        if self._last_reload_failed:
            lines.append("the last reload failed: the previous configuration is in force")
        return Readiness(status.is_serving and not self._is_stopping, lines)

    async def apply(self, valid: ValidConfig) -> list[str]:
        """Serve later requests according to `valid`; return the changed keys that need a restart.

        Requests in flight finish under the configuration they began with. Raises NotApplied.
        """
        await self._server.apply(valid)
        return restart_required(self._started_with, valid.config)

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the result of the last reload for /readyz and the metrics."""
        self._last_reload_failed = not succeeded
        self._server.record_reload(succeeded=succeeded)

    async def wait(self, stop: StopSignals) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once (P1)."""
        first = await stop.next()
        await stop.cut_short(self.drain(delayed=first is signal.SIGTERM))

    async def drain(self, *, delayed: bool) -> None:
        """Stop accepting, after `server.drain_delay` if `delayed`, and let requests in flight finish."""
        delay = self.config.server.drain_delay
        # Unready before it stops accepting: a load balancer stops sending requests during the delay.
        self._is_stopping = True
        self._server.begin_drain()
        if delayed and delay:
            log.info("stopping: still accepting for %g s", delay)
            await asyncio.sleep(delay)
        await self._server.finish_drain()

    async def _close(self) -> None:
        self._is_stopping = True
        await self._server.close()
        if self._health is not None:
            await self._health.close()
        self._health_sockets.close()


def addresses_of(config: CompiledConfig) -> tuple[Address, ...]:
    """Return all addresses to listen on, including that of health."""
    return config.server.listen if config.health is None else (*config.server.listen, config.health)


def restart_required(started_with: CompiledConfig, config: CompiledConfig) -> list[str]:
    """Return the keys whose values differ from those at the start and are read only then."""
    settings = {
        "server.listen": (started_with.server.listen, config.server.listen),
        "server.tls": (started_with.server.tls, config.server.tls),
        "server.workers": (started_with.server.workers, config.server.workers),
        "health.listen": (started_with.health, config.health),
        "log": (started_with.log, config.log),
    }
    return [key for key, (old, new) in settings.items() if old != new]
