"""The composition root: makes the listeners, the server and the logs of one plan, and ends them.

The only place that builds these objects. Knows addresses and signals, not requests.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypedDict

import aiohttp.web

from corsproxy.admin.health import Readiness, health_app
from corsproxy.config.certificates import BadTlsFile
from corsproxy.observe.access_log import AccessLog
from corsproxy.observe.refusals import Refusals
from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.cookies import LEFT_BECAUSE
from corsproxy.policy.plan import Address, Plan, Route, TcpAddress, UnixAddress
from corsproxy.proxy.server import Observer, ProxyServer
from corsproxy.proxy.tls import listening_context

log: Final = logging.getLogger("corsproxy")

_BACKLOG: Final = 1024
# How long a client may take to say goodbye over TLS, in seconds.
_GOODBYE: Final = 2.0


class _TlsOptions(TypedDict, total=False):
    """What `create_server` wants to know about TLS."""

    ssl: ssl.SSLContext
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float


class CannotStart(Exception):  # noqa: N818 - it is what the user is told
    """The service cannot start; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a service is run, beside its plan.

    `observers` are told of every request that ended; `access_log` is the file descriptor that the
    access log goes to, None for none.
    """

    observers: tuple[Observer, ...] = ()
    access_log: int | None = None
    colour: bool = False


class Service:
    """A running proxy: `async with Service(plan) as service: await service.wait()`."""

    def __init__(self, plan: Plan, options: Options = Options()) -> None:
        self.plan = plan
        self._options = options
        self._access_log: AccessLog | None = None
        self._listeners: list[asyncio.Server] = []
        self._sockets: list[socket.socket] = []
        self._unix_paths: list[str] = []
        self._health: aiohttp.web.AppRunner | None = None
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
        plan = self.plan
        observers = self._options.observers
        if self._options.access_log is not None and plan.log.access != "off":
            self._access_log = AccessLog(
                self._options.access_log,
                "colour" if self._options.colour else _format_of(plan),
                plan.log.access,
            )
            observers = (*observers, self._access_log)
        self.server = ProxyServer(plan, observers)
        self.server.refusals = Refusals(log, asyncio.get_running_loop().time)
        self.server.on_upstream_cors = _tell_upstream_cors
        self.server.on_cookie_left = _tell_cookie_left
        self.addresses = tuple([await self._listen(address) for address in plan.server.listen])
        if plan.health is not None:
            await self._listen_for_health(plan.health)

    async def _listen(self, address: Address) -> Address:
        sock, bound = self._bind(address)
        loop = asyncio.get_running_loop()
        tls = self._tls_options()
        if isinstance(address, UnixAddress):
            listener = await loop.create_unix_server(
                self.server, sock=sock, backlog=_BACKLOG, **tls
            )
        else:
            listener = await loop.create_server(self.server, sock=sock, backlog=_BACKLOG, **tls)
        self._listeners.append(listener)
        return bound

    def _tls_options(self) -> "_TlsOptions":
        """Return how a listener speaks TLS, if it does; a handshake is part of a request's head."""
        server = self.plan.server
        if server.tls is None:
            return {}
        try:
            context = listening_context(server.tls)
        except BadTlsFile as fault:
            raise CannotStart(f"cannot speak TLS: {fault}; check server.tls") from fault
        return {
            "ssl": context,
            "ssl_handshake_timeout": server.timeouts.request_header or None,
            "ssl_shutdown_timeout": _GOODBYE,
        }

    async def _listen_for_health(self, address: Address) -> None:
        sock, self.health_address = self._bind(address)
        self._health = aiohttp.web.AppRunner(
            health_app(self._readiness, self.scrape),
            access_log=None,
            handle_signals=False,
        )
        await self._health.setup()
        await aiohttp.web.SockSite(self._health, sock).start()

    async def scrape(self) -> Snapshot:
        """Return what was counted since the start."""
        return self.server.snapshot()

    def _readiness(self) -> Readiness:
        """Say whether to send requests here: not while stopping; a failed reload is only told."""
        lines = ["stopping"] if self._stopping else ["ok"]
        if self.reload_failed:
            lines.append("the last reload failed: the configuration before it is in force")
        return Readiness(not self._stopping, lines)

    def _bind(self, address: Address) -> tuple[socket.socket, Address]:
        """Return a listening socket and where it really listens (port 0 means any free one)."""
        try:
            if isinstance(address, UnixAddress):
                sock = _bind_unix(address.path)
                self._unix_paths.append(address.path)
                self._sockets.append(sock)
                return sock, address
            sock = _bind_tcp(address)
        except OSError as error:
            raise CannotStart(_why_cannot_bind(address, error)) from error
        self._sockets.append(sock)
        host, port = sock.getsockname()[:2]
        return sock, TcpAddress(host, port)

    def adopt(self, plan: Plan) -> list[str]:
        """Take `plan` into force; return the keys whose change only counts after a restart.

        Requests in flight finish under the plan they began with.
        """
        before = self.plan
        self.plan = plan
        self.server.replace_plan(plan)
        settings = {
            "server.listen": (before.server.listen, plan.server.listen),
            "health.listen": (before.health, plan.health),
            "log": (before.log, plan.log),
        }
        return [key for key, (old, new) in settings.items() if old != new]

    def reloaded(self, succeeded: bool) -> None:  # noqa: FBT001 - told by position, as an event
        """Note how the last reload went: readiness tells it, without depending on it."""
        self.reload_failed = not succeeded
        self.server.metrics.reloaded(succeeded)

    async def wait(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once (P1)."""
        loop = asyncio.get_running_loop()
        signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, number)
        first = await signals.get()
        drain = asyncio.ensure_future(self.drain(delayed=first is signal.SIGTERM))
        second = asyncio.ensure_future(signals.get())
        _, pending = await asyncio.wait({drain, second}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def drain(self, *, delayed: bool) -> None:
        """Stop taking requests and let those in flight finish, within the plan's times."""
        server = self.plan.server
        self._stopping = True
        self.server.draining = True
        if delayed and server.drain_delay:
            log.info("stopping: still accepting for %g s", server.drain_delay)
            await asyncio.sleep(server.drain_delay)
        for listener in self._listeners:
            listener.close()
        if not await self.server.drain(server.drain):
            log.warning("stopping: cut off %d requests that did not finish", self.server.in_flight)

    async def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        if hasattr(self, "server"):
            await self.server.shutdown()
        if self._health is not None:
            await self._health.cleanup()
        for sock in self._sockets:
            sock.close()
        for path in self._unix_paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - a socket's path is a string everywhere else
        if self._access_log is not None:
            self._access_log.close()


def _format_of(plan: Plan) -> str:
    if plan.log.format != "auto":
        return plan.log.format
    return "text" if sys.stdout.isatty() else "json"


def _tell_upstream_cors(route: Route) -> None:
    policy = route.policy
    log.warning(
        "route %s: its upstream sends CORS headers of its own; they are handled by "
        "upstream_cors_headers: %s (cors.md 49)",
        route.name,
        policy.upstream_cors_headers if policy is not None else "keep",
    )


def _tell_cookie_left(route: Route, reason: str) -> None:
    log.warning(
        "route %s: a cookie of its upstream is left as it is, because browsers would refuse what "
        "its rule makes of it: %s; give that cookie a rule of its own (cors.md 60)",
        route.name,
        LEFT_BECAUSE[reason],
    )


def _bind_tcp(address: TcpAddress) -> socket.socket:
    infos = socket.getaddrinfo(
        address.host,
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, kind, protocol, _, where = infos[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.host != "::")
        sock.bind(where)
        sock.setblocking(False)  # noqa: FBT003
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    """Bind a unix socket; take the place of one that nobody serves any more."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            os.unlink(path)  # noqa: PTH108
        sock.bind(path)
        sock.setblocking(False)  # noqa: FBT003
    except BaseException:
        sock.close()
        raise
    return sock


def _is_abandoned(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            pass
    return False


_ADVICE: Final = {
    errno.EADDRINUSE: "another program listens there; stop it, or choose another address",
    errno.EACCES: "this user may not listen there; choose a port above 1023",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all of them",
}


def _why_cannot_bind(address: Address, error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0, "choose another address")
    return f"cannot listen on {address}: {(error.strerror or str(error)).lower()}; {advice}"
