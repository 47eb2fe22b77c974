"""The composition root: builds the server, its listeners and its logs from one configuration."""

import asyncio
import logging
import socket
import sys
from dataclasses import dataclass
from typing import Final, TypedDict

from corsproxy.config.compile.tls import SERVER_TLS_KEYS
from corsproxy.observe.access_log import AccessLog
from corsproxy.observe.refusals import Refusals
from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.compiled import Address, CompiledConfig, Route, Upstream
from corsproxy.policy.cookies.rewrite import LEFT_BECAUSE
from corsproxy.proxy.server import MissingParser, ProxyServer
from corsproxy.runtime.acceptor import Acceptor
from corsproxy.runtime.frontend import Status, ValidConfig, addresses_of
from corsproxy.runtime.sockets import BACKLOG, CannotStart, ListenSockets
from corsproxy.tls.contexts import BadTlsFile
from corsproxy.tls.renewal import RenewedContext, listening_context

log: Final = logging.getLogger("corsproxy")

# The backlog that the loop is given: asyncio accepts this many connections from a handle in one turn,
# before the first of them is counted, and more of them could use up the descriptors.
_PER_TURN: Final = 4
# libuv accepts one connection from a handle in each turn of the loop. Under load, turns are long, and
# new clients would wait for seconds; several handles on the same socket avoid that.
_HANDLES: Final = 4


class _UnixOptions(TypedDict, total=False):
    """The option of `create_unix_server` that Python 3.13 added."""

    cleanup_socket: bool


# Since 3.13 the loops remove a socket's path by default; `ListenSockets` owns it.
_UNIX: Final[_UnixOptions] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a service, besides its configuration.

    The access log is written to the file descriptor `access_log`, if any. `sockets` are used instead
    of binding the addresses of the configuration, one for each.
    """

    access_log: int | None = None
    colour: bool = False
    sockets: tuple[socket.socket, ...] = ()


class Listening:
    """The handles that accept from one listening socket."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server | Acceptor] = []

    def add(self, server: asyncio.Server | Acceptor) -> None:
        """Add a handle that accepts."""
        self._servers.append(server)

    def close(self) -> None:
        """Stop accepting."""
        for server in self._servers:
            server.close()


class Service:
    """Serves the requests of one configuration in this process. Construct it in the running loop.

    Raises CannotStart if a TLS file is unusable, or aiohttp lacks its C parsers.
    """

    def __init__(self, config: CompiledConfig, options: Options = Options()) -> None:
        self.config = config
        self.addresses: tuple[Address, ...] = ()
        self._sockets = options.sockets
        self._bound = ListenSockets(addresses=addresses_of(config))
        self._listening: list[Listening] = []
        self._tls_context = _tls_context(config)
        self._access_log = _access_log(config, options)
        observers = () if self._access_log is None else (self._access_log,)
        try:
            self.server = ProxyServer(config, observers)
        except MissingParser as missing:
            self._close_access_log()
            raise CannotStart(str(missing)) from missing
        _log_reports_of(self.server)

    def bind(self) -> None:
        """Bind the addresses of the configuration, unless there are sockets. Raises CannotStart."""
        if self._sockets:
            self.addresses = self.config.server.listen
            return
        bound = [self._bound.bind(address) for address in self.config.server.listen]
        self.addresses = tuple([one.address for one in bound])
        self._sockets = tuple([one.of(0) for one in bound])

    async def start(self) -> None:
        """Accept connections from all sockets."""
        self._warn_of_connection_limit()
        for sock in self._sockets:
            await self.listen(sock)

    async def listen(self, sock: socket.socket) -> Listening:
        """Accept connections from a bound socket, until the returned object is closed."""
        context = self._tls_context
        listening = Listening()
        self._listening.append(listening)
        if context is not None:
            take = self.server.handshakes.take
            listening.add(Acceptor(sock, lambda accepted: take(accepted, context)))
            return listening
        for handle in (sock, *(sock.dup() for _ in range(_HANDLES - 1))):
            listening.add(await self._accept_from(handle))
        sock.listen(BACKLOG)  # the loops have set it to _PER_TURN
        return listening

    async def _accept_from(self, sock: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(
                self.server,
                sock=sock,
                backlog=_PER_TURN,
                **_UNIX,  # type: ignore[misc] # of 3.13
            )
        return await loop.create_server(self.server, sock=sock, backlog=_PER_TURN)

    def _warn_of_connection_limit(self) -> None:
        """Warn if the system allows fewer connections than the configuration (O2)."""
        wanted, served = (
            self.config.server.limits.max_connections,
            self.server.state.connections.limits.served,
        )
        if served < wanted:
            log.warning(
                "server.limits.max_connections is %d, but the limit of open files suffices for %d: "
                "raise that limit (ulimit -n, LimitNOFILE=) to twice max_connections plus 128",
                wanted,
                served,
            )

    def status(self) -> Status:
        """Return whether connections are accepted yet."""
        is_serving = bool(self._listening)
        return Status(is_serving, "ok" if is_serving else "starting")

    async def scrape(self) -> Snapshot:
        """Return the metrics since the start."""
        return self.server.snapshot()

    async def apply(self, valid: ValidConfig) -> None:
        """Serve later requests according to `valid`; those in flight keep their configuration."""
        self.config = valid.config
        self.server.state.replace_config(valid.config)
        self._warn_of_connection_limit()

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the result of the last reload in the metrics."""
        self.server.state.metrics.reloaded(succeeded)

    def begin_drain(self) -> None:
        """Send `Connection: close` with each response from now on; still accept new connections."""
        self.server.state.draining = True

    async def finish_drain(self) -> None:
        """Stop accepting, and wait for requests in flight for at most `server.drain`."""
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

    async def close(self) -> None:
        """Close all listeners and connections at once, then the access log."""
        self._stop_listening()
        await self.server.shutdown()
        self._bound.close()
        self._close_access_log()

    def _close_access_log(self) -> None:
        if self._access_log is not None:
            self._access_log.close()


def _tls_context(config: CompiledConfig) -> RenewedContext | None:
    """Return the TLS context of the listeners, None without TLS. Raises CannotStart."""
    tls = config.server.tls
    if tls is None:
        return None
    try:
        return listening_context(tls)
    except BadTlsFile as fault:
        key = SERVER_TLS_KEYS[fault.purpose]
        raise CannotStart(
            f"cannot serve TLS: {key} {fault.file}: {fault.detail}; check server.tls"
        ) from fault


def _access_log(config: CompiledConfig, options: Options) -> AccessLog | None:
    if options.access_log is None or config.log.access == "off":
        return None
    style = "colour" if options.colour else _log_format(config)
    return AccessLog(options.access_log, style, config.log.access)


def _log_format(config: CompiledConfig) -> str:
    if config.log.format != "auto":
        return config.log.format
    return "text" if sys.stdout.isatty() else "json"


# --- what the server reports to the log ----------------------------------------------------


def _log_reports_of(server: ProxyServer) -> None:
    reports = server.state.reports
    reports.refusals = Refusals(log, asyncio.get_running_loop().time)
    reports.on_upstream_cors = _warn_of_upstream_cors
    reports.on_cookie_left = _warn_of_cookie_left
    reports.on_excess = _warn_of_excess


def _warn_of_upstream_cors(route: Route) -> None:
    policy = route.policy
    log.warning(
        "route %s: its upstream sends CORS headers of its own, which are subject to "
        "upstream_cors_headers: %s (cors.md 49)",
        route.name,
        policy.upstream_cors_headers if policy is not None else "keep",
    )


def _warn_of_excess(upstream: Upstream) -> None:
    log.warning(
        "upstream %s sent bytes that belong to no response; its connections are not reused for a "
        "minute. If this continues, set pool.reuse: never for it (forwarding.md S12)",
        upstream.name,
    )


def _warn_of_cookie_left(route: Route, reason: str) -> None:
    log.warning(
        "route %s: a cookie of its upstream is left unchanged, because browsers would reject it "
        "after its rule: %s; add a rule for that cookie (cors.md 60)",
        route.name,
        LEFT_BECAUSE[reason],
    )
