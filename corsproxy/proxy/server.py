"""The listening side: makes a connection object for each client and keeps the books of a worker.

A subclass of aiohttp's `web.Server` whose connections are our own protocol. Knows the configuration in
force, the pools and what is in flight.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from corsproxy.observe.metrics import NO_ROUTE, Metrics, is_tunnel
from corsproxy.observe.record import Record
from corsproxy.observe.snapshot import Series, Snapshot
from corsproxy.policy.compiled import CompiledConfig, Route, Upstream
from corsproxy.policy.cors.reasons import Verdict
from corsproxy.proxy import faults
from corsproxy.proxy.accounting import record_of
from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.eviction import Eviction
from corsproxy.proxy.fd_limits import make_room
from corsproxy.proxy.handshakes import Handshakes
from corsproxy.proxy.upload import Gathered
from corsproxy.proxy.upstream.breaker import State
from corsproxy.proxy.upstream.pool import Pool
from corsproxy.proxy.upstream.resolve import Resolver
from corsproxy.proxy.watch import Watch

if TYPE_CHECKING:
    from corsproxy.observe.refusals import Refusals
    from corsproxy.proxy.exchange import Exchange

Observer = Callable[[Record], None]


class MissingParser(RuntimeError):  # noqa: N818 - the name says it all
    """aiohttp was installed without its C parsers; the pure-Python ones are too lenient."""


class ProxyServer(web.Server):
    """Serves one configuration. Must be made and used inside one running loop.

    `observers` are called once for each request that ended.
    """

    def __init__(self, config: CompiledConfig, observers: tuple[Observer, ...] = ()) -> None:
        if http_parser.HttpRequestParser.__name__ != "HttpRequestParser" or not hasattr(
            http_parser,
            "HttpRequestParserC",
        ):
            raise MissingParser(
                "aiohttp's C extensions are missing: install aiohttp from a wheel, or with a C "
                "compiler at hand and without AIOHTTP_NO_EXTENSIONS",
            )
        super().__init__(_never_called)
        self.loop = asyncio.get_running_loop()
        self.config = config
        self.observers = observers
        self.metrics = Metrics()
        self.refusals: Refusals | None = None
        self.clock = Clock(self._sweep)
        self.draining = False
        self.in_flight = 0
        # Those of them that were sent on: gathering a body and tunnelling take no turn (O3, O4).
        self.at_work = 0
        self.gathered = Gathered()
        self.watch = Watch()
        # Clients that do not read what was written to them (F7).
        self.write_paused: set[ClientConnection] = set()
        self.room = make_room(config.server.limits.max_connections)
        self.crowd = Eviction()
        self.handshakes = Handshakes(self)
        self.closing = False
        self._left = asyncio.Event()
        self.resolver = Resolver()
        self._pools: dict[str, Pool] = {}
        self._retired: list[Pool] = []
        self._warned: set[str] = set()
        self._id_prefix = secrets.token_hex(6).encode()
        self._id_number = 0
        self.on_upstream_cors: Callable[[Route], None] | None = None
        self.on_excess: Callable[[Upstream], None] | None = None
        self.cookies_left: Counter[tuple[str, str]] = Counter()
        self.on_cookie_left: Callable[[Route, str], None] | None = None
        self.clock.start()

    def __call__(self) -> RequestHandler:
        """Return the protocol for a new connection."""
        return ClientConnection(self)  # type: ignore[return-value] # the seam this design stands on

    def enter(self, connection: ClientConnection, transport: asyncio.Transport) -> None:
        """Enter a connection in the books."""
        self.connection_made(connection, transport)  # type: ignore[arg-type] # the same seam

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:  # noqa: ANN401, ARG002
        """Strike a connection off the books."""
        self._connections.pop(handler, None)
        self.crowd.forget(handler)
        if not self._connections:
            self._left.set()

    @property
    def connection_count(self) -> int:
        """The number of client connections, TLS handshakes included (O2)."""
        return len(self._connections) + len(self.handshakes)

    def new_request_id(self) -> bytes:
        """Return an id that no other request has."""
        self._id_number += 1
        return b"%b-%x" % (self._id_prefix, self._id_number)

    def pool_of(self, upstream: Upstream) -> Pool:
        """Return the pool of `upstream`; a changed upstream gets a new one, the old one runs dry."""
        pool = self._pools.get(upstream.name)
        if pool is None:
            pool = self._pools[upstream.name] = self._new_pool(upstream)
        elif pool.upstream is not upstream:
            if pool.upstream == upstream:
                pool.upstream = upstream  # compared once a reload, not with every request
            else:
                self._retire(pool)
                pool = self._pools[upstream.name] = self._new_pool(upstream)
        return pool

    def _new_pool(self, upstream: Upstream) -> Pool:
        return Pool(upstream, self.clock, self.resolver, self._exceeded)

    def _exceeded(self, upstream: Upstream) -> None:
        if self.on_excess is not None:
            self.on_excess(upstream)

    def replace_config(self, config: CompiledConfig) -> None:
        """Serve later requests by `config`; those in flight finish under theirs."""
        self.config = config
        self.room = make_room(config.server.limits.max_connections)
        kept = {upstream.name for upstream in config.upstreams}
        for name in [name for name in self._pools if name not in kept]:
            self._retire(self._pools.pop(name))

    def _retire(self, pool: Pool) -> None:
        pool.retire()
        self._retired.append(pool)

    # --- the books -------------------------------------------------------------------------

    def is_full(self) -> bool:
        """Tell whether as many requests are at work as may be (O3); the log hears of it."""
        limit = self.config.server.limits.max_requests_in_flight
        if not limit or self.at_work < limit:
            return False
        self.tell_overload("the number of requests in flight", limit)
        return True

    def left_work(self, exchange: "Exchange") -> None:
        """Strike an exchange off those that `max_requests_in_flight` bounds."""
        if exchange.is_at_work:
            exchange.is_at_work = False
            self.at_work -= 1

    def tell_overload(self, what: str, limit: int, unless: str = "") -> None:
        """Have it logged that `what` is at its limit, and when what is beyond it stays all the same."""
        if self.refusals is not None:
            self.refusals.overloaded(what, limit, unless)

    def account(self, exchange: "Exchange") -> None:
        """Count an exchange that ended, and tell the observers."""
        self.left_work(exchange)
        self.in_flight -= 1
        ended = perf_counter()
        self._count(exchange, ended)
        decision, fault = exchange.decision, exchange.fault
        if decision is not None and decision.verdict is Verdict.refused:
            self._tell_refused(exchange, ended)
        if fault is not None and fault in faults.MALFORMED_BODY and self.refusals is not None:
            self.refusals.malformed(record_of(exchange, ended))
        if self.observers:
            record = record_of(exchange, ended)
            for observe in self.observers:
                observe(record)

    def _count(self, exchange: "Exchange", ended: float) -> None:
        route, head, status = exchange.route, exchange.head, exchange.status
        counters = self.metrics.of(NO_ROUTE if route is None else route.name)
        counters.answered(head.method, status)
        if not is_tunnel(status):
            began = exchange.upstream_began
            counters.lasted(ended - exchange.began, ended - began if began else 0.0)
        if exchange.decision is not None:
            asked = bool(head.request_method) and head.method == b"OPTIONS" and bool(head.origin)
            counters.decided(exchange.decision, preflight=asked)
        if exchange.fault is not None:
            counters.failed(exchange.fault.word)

    def _tell_refused(self, exchange: "Exchange", ended: float) -> None:
        name = "" if exchange.route is None else exchange.route.name
        if self.refusals is not None and self.refusals.is_due(name):
            self.refusals.refused(record_of(exchange, ended))

    def account_unread(self, record: Record) -> None:
        """Count a request whose head could not be read, and tell the observers."""
        counters = self.metrics.of(NO_ROUTE)
        counters.answered(record.method, record.status)
        counters.failed(record.fault)
        if self.refusals is not None:
            self.refusals.malformed(record)
        for observe in self.observers:
            observe(record)

    def upstream_sent_cors(self, route: Route) -> None:
        """Count an answer whose upstream sent CORS headers of its own: told once (cors.md 50)."""
        self.metrics.of(route.name).sent_cors += 1
        if route.name not in self._warned:
            self._warned.add(route.name)
            if self.on_upstream_cors is not None:
                self.on_upstream_cors(route)

    def cookie_left(self, route: Route, reason: str) -> None:
        """Count a cookie that was left as it is: rewritten, browsers would refuse it (cors.md 60).

        `reason` is one of `cookies.LEFT_BECAUSE`. Told once a route and reason.
        """
        counted = (route.name, reason)
        self.cookies_left[counted] += 1
        if self.cookies_left[counted] == 1 and self.on_cookie_left is not None:
            self.on_cookie_left(route, reason)

    def snapshot(self) -> Snapshot:
        """Return what was counted, and what there is at this moment."""
        return self.metrics.snapshot(self._live())

    def _live(self) -> Iterator[tuple[str, Series]]:
        yield "corsproxy_requests_in_flight", ((), (self.in_flight,))
        yield "corsproxy_connections", ((), (self.connection_count,))
        yield "corsproxy_tasks", ((), (len(asyncio.all_tasks(self.loop)),))
        for (route, reason), count in self.cookies_left.items():
            yield "corsproxy_cookies_left_total", ((route, reason), (count,))
        connections: Counter[tuple[str, str]] = Counter()
        for pool in [*self._pools.values(), *self._retired]:
            for state, count in pool.states().items():
                connections[pool.upstream.name, state] += count
        for labels, count in connections.items():
            yield "corsproxy_upstream_connections", (labels, (count,))
        for name, pool in self._pools.items():
            for state in State:
                is_in = int(pool.circuit is state)
                yield "corsproxy_upstream_circuit", ((name, state.value), (is_in,))

    def _sweep(self, now: float) -> None:
        late = [connection for connection in self._connections if connection.deadline < now]  # type: ignore[attr-defined]
        for connection in late:
            connection.expired(now)  # type: ignore[attr-defined]
        for stalled in [one for one in self.write_paused if one.write_deadline < now]:
            stalled.write_expired()
        self.watch.look()
        self.handshakes.sweep(now)
        limit = self.config.server.limits.max_requests_in_flight
        for pool in [*self._pools.values(), *self._retired]:
            pool.sweep(now)
            pool.cut_stalled(now, limit)
        self._retired = [pool for pool in self._retired if not pool.is_empty]

    # --- the end ---------------------------------------------------------------------------

    async def drain(self, seconds: float) -> bool:
        """Close idle connections and wait until all have ended; return False after `seconds`.

        An answer that was relayed whole may still be on its way to a slow client, so connections
        count, not requests (P1).
        """
        self.draining = self.closing = True
        self.handshakes.close()
        self.pre_shutdown()
        self._left.clear()
        if not self._connections:
            return True
        try:
            await asyncio.wait_for(self._left.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """End every connection, to clients and upstreams, at once."""
        self.handshakes.close()
        await super().shutdown(timeout)
        self.clock.stop()
        for pool in [*self._pools.values(), *self._retired]:
            pool.close()


async def _never_called(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError(request)  # our own protocol never makes aiohttp's requests
