"""The composition root: makes the listeners, the server and the logs of one configuration, and ends them.

The only place that builds these objects. Knows addresses and signals, not requests.
"""

import asyncio
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final, Self, TypedDict

from corsproxy.admin.health import HealthListener, Readiness, serve_health
from corsproxy.config.compile.tls import SERVER_TLS_KEYS
from corsproxy.config.load import Loaded
from corsproxy.observe.access_log import AccessLog
from corsproxy.observe.refusals import Refusals
from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.compiled import Address, CompiledConfig, Route, Upstream
from corsproxy.policy.cookies.rewrite import LEFT_BECAUSE
from corsproxy.proxy.server import MissingParser, Observer, ProxyServer
from corsproxy.runtime.acceptor import Acceptor
from corsproxy.runtime.signals import StopSignals
from corsproxy.runtime.sockets import BACKLOG, CannotStart, ListenSockets
from corsproxy.tls.contexts import BadTlsFile
from corsproxy.tls.renewal import RenewedContext, listening_context

log: Final = logging.getLogger("corsproxy")

# asyncio takes so many connections from a handle each turn of the loop before the first of them is
# counted: no more than there are descriptors for.
_AT_ONCE: Final = 4
# libuv takes one connection from a handle each turn of the loop. When turns are long, because much
# arrives, new clients would wait for seconds; with several handles on the socket they do not.
_HANDLES: Final = 4


class _UnixOptions(TypedDict, total=False):
    """What `create_unix_server` wants to know on some versions only."""

    cleanup_socket: bool


# From 3.13 on the loops remove a socket's path by default, which is not theirs but `ListenSockets`'.
_UNIX: Final[_UnixOptions] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a service is run, beside its configuration.

    `observers` are told of every request that ended; `access_log` is the file descriptor that the
    access log goes to, None for none. With `sockets`, one for each address of the configuration, these are
    listened on in place of binding the addresses, and health is somebody else's matter.
    """

    observers: tuple[Observer, ...] = ()
    access_log: int | None = None
    colour: bool = False
    sockets: tuple[socket.socket, ...] | None = None


class Listening:
    """The handles on one listening socket."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server | Acceptor] = []

    def add(self, server: asyncio.Server | Acceptor) -> None:
        """Take a handle that listens."""
        self._servers.append(server)

    def close(self) -> None:
        """Take no more connections."""
        for server in self._servers:
            server.close()


class Service:
    """A running proxy: `async with Service(configuration) as service: await service.wait(StopSignals())`."""

    def __init__(self, config: CompiledConfig, options: Options = Options()) -> None:
        self.config = config
        self._started = config
        self._options = options
        self._access_log: AccessLog | None = None
        self._listening: list[Listening] = []
        self._bound = ListenSockets(addresses=addresses_of(config))
        self._health: HealthListener | None = None
        self._stopping = False
        self.reload_failed = False
        self.addresses: tuple[Address, ...] = ()
        self.health_address: Address | None = None
        self.server: ProxyServer

    async def __aenter__(self) -> Self:
        """Listen. Raise CannotStart, with nothing left open, where that cannot be done."""
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything: no request is waited for, `drain` does that."""
        await self._end()

    async def _start(self) -> None:
        config = self.config
        observers = self._options.observers
        if self._options.access_log is not None and config.log.access != "off":
            self._access_log = AccessLog(
                self._options.access_log,
                "colour" if self._options.colour else _format_of(config),
                config.log.access,
            )
            observers = (*observers, self._access_log)
        try:
            self.server = ProxyServer(config, observers)
        except MissingParser as missing:
            raise CannotStart(str(missing)) from missing
        self._tell_room()
        self.server.refusals = Refusals(log, asyncio.get_running_loop().time)
        self.server.on_upstream_cors = _tell_upstream_cors
        self.server.on_cookie_left = _tell_cookie_left
        self.server.on_excess = _warn_of_excess
        await self._listen_for_requests()
        if config.health is not None and self._options.sockets is None:
            await self._listen_for_health(config.health)

    async def _listen_for_requests(self) -> None:
        sockets = self._options.sockets
        if sockets is None:
            bound = [self._bound.bind(address) for address in self.config.server.listen]
            self.addresses = tuple([one.address for one in bound])
            sockets = tuple([one.of(0) for one in bound])
        for sock in sockets:
            await self.listen(sock)

    async def listen(self, sock: socket.socket) -> Listening:
        """Take connections from a bound socket, until what is returned is closed."""
        context = self._tls_context()
        listening = Listening()
        self._listening.append(listening)
        if context is not None:
            take = self.server.handshakes.take
            listening.add(Acceptor(sock, lambda accepted: take(accepted, context)))
            return listening
        for handle in (sock, *(sock.dup() for _ in range(_HANDLES - 1))):
            listening.add(await self._accept_from(handle))
        sock.listen(BACKLOG)  # the loops have made it _AT_ONCE
        return listening

    async def _accept_from(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(
                self.server,
                sock=sock,
                backlog=_AT_ONCE,
                **_UNIX,  # type: ignore[misc] # of 3.13
            )
        return await loop.create_server(self.server, sock=sock, backlog=_AT_ONCE)

    def _tls_context(self) -> RenewedContext | None:
        """Return what listeners speak TLS with, None if they do not. Raises CannotStart."""
        tls = self.config.server.tls
        if tls is None:
            return None
        try:
            return listening_context(tls)
        except BadTlsFile as fault:
            key = SERVER_TLS_KEYS[fault.purpose]
            raise CannotStart(
                f"cannot speak TLS: {key} {fault.file}: {fault.detail}; check server.tls"
            ) from fault

    async def _listen_for_health(self, address: Address) -> None:
        self.health_address, (sock,) = self._bound.bind(address)
        self._health = await serve_health(partial(Acceptor, sock), self._readiness, self.scrape)

    def _tell_room(self) -> None:
        """Say so where the system allows fewer connections than the configuration does (O2)."""
        wanted, served = self.config.server.limits.max_connections, self.server.room.served
        if served < wanted:
            log.warning(
                "server.limits.max_connections is %d, but the limit of open files suffices for %d "
                "of them: raise it (ulimit -n, LimitNOFILE=) to twice the connections and 128",
                wanted,
                served,
            )

    async def scrape(self) -> Snapshot:
        """Return what was counted since the start."""
        return self.server.snapshot()

    def _readiness(self) -> Readiness:
        """Say whether to send requests here: not while stopping; a failed reload is only told."""
        lines = ["stopping"] if self._stopping else ["ok"]
        if self.reload_failed:
            lines.append("the last reload failed: the configuration before it is in force")
        return Readiness(not self._stopping, lines)

    async def apply(self, loaded: Loaded) -> list[str]:
        """Take what was read into force; return the keys whose change only counts after a restart.

        Requests in flight finish under the configuration they began with.
        """
        assert loaded.config is not None  # noqa: S101 - nobody asks for another
        self.config = config = loaded.config
        self.server.replace_config(config)
        self._tell_room()
        return restart_required(self._started, config)

    def reloaded(self, succeeded: bool) -> None:  # noqa: FBT001 - told by position, as an event
        """Note how the last reload went: readiness tells it, without depending on it."""
        self.reload_failed = not succeeded
        self.server.metrics.reloaded(succeeded)

    async def wait(self, stop: StopSignals) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once (P1)."""
        first = await stop.next()
        await stop.cut_short(self.drain(delayed=first is signal.SIGTERM))

    async def drain(self, *, delayed: bool) -> None:
        """Stop taking requests and let those in flight finish, within the configuration's times."""
        delay = self.config.server.drain_delay
        self.begin_drain()
        if delayed and delay:
            log.info("stopping: still accepting for %g s", delay)
            await asyncio.sleep(delay)
        await self.finish_drain()

    def begin_drain(self) -> None:
        """Say that it stops: not ready any more, and `Connection: close` on every answer."""
        self._stopping = True
        self.server.draining = True

    async def finish_drain(self) -> None:
        """Take no more connections, and wait for the requests in flight as long as the configuration says."""
        self._stop_listening()
        if not await self.server.drain(self.config.server.drain):
            count = self.server.connection_count
            log.warning(
                "stopping: cut off %d %s that did not finish within server.drain, %g s",
                count,
                "connection" if count == 1 else "connections",
                self.config.server.drain,
            )

    def _stop_listening(self) -> None:
        for listening in self._listening:
            listening.close()

    async def _end(self) -> None:
        self._stop_listening()
        if hasattr(self, "server"):
            await self.server.shutdown()
        if self._health is not None:
            await self._health.close()
        self._bound.close()
        if self._access_log is not None:
            self._access_log.close()


def addresses_of(config: CompiledConfig) -> tuple[Address, ...]:
    """Return all addresses that are listened on."""
    return config.server.listen if config.health is None else (*config.server.listen, config.health)


def restart_required(started: CompiledConfig, config: CompiledConfig) -> list[str]:
    """Return the keys that `config` has otherwise than a process has that was `started` with another.

    They count after a restart.
    """
    settings = {
        "server.listen": (started.server.listen, config.server.listen),
        "server.tls": (started.server.tls, config.server.tls),
        "server.workers": (started.server.workers, config.server.workers),
        "health.listen": (started.health, config.health),
        "log": (started.log, config.log),
    }
    return [key for key, (old, new) in settings.items() if old != new]


def _format_of(config: CompiledConfig) -> str:
    if config.log.format != "auto":
        return config.log.format
    return "text" if sys.stdout.isatty() else "json"


def _tell_upstream_cors(route: Route) -> None:
    policy = route.policy
    log.warning(
        "route %s: its upstream sends CORS headers of its own; they are handled by "
        "upstream_cors_headers: %s (cors.md 49)",
        route.name,
        policy.upstream_cors_headers if policy is not None else "keep",
    )


def _warn_of_excess(upstream: Upstream) -> None:
    log.warning(
        "upstream %s sent bytes that belong to no response; for a minute none of its connections is "
        "used again. If that goes on, set pool.reuse: never for it (forwarding.md S12)",
        upstream.name,
    )


def _tell_cookie_left(route: Route, reason: str) -> None:
    log.warning(
        "route %s: a cookie of its upstream is left as it is, because browsers would refuse what "
        "its rule makes of it: %s; give that cookie a rule of its own (cors.md 60)",
        route.name,
        LEFT_BECAUSE[reason],
    )
