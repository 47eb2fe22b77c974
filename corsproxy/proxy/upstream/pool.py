"""The connections to one upstream: lent, taken back, opened, queued for. Knows no requests.

A connection goes back only if its response was complete, nothing was in excess, and every byte of
the request was written to it (forwarding.md S12); it is lent again only while it is quiet and young
(F4). A connection in the pool is never paused. Tunnels have a limit of their own (O4).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Final, Protocol

from corsproxy.policy.compiled import Upstream
from corsproxy.proxy import faults
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.upstream.breaker import Breaker, State
from corsproxy.proxy.upstream.connect import Dialler
from corsproxy.proxy.upstream.connection import UpstreamConnection
from corsproxy.proxy.upstream.resolve import Resolver

_MARGIN: Final = 1.0
# How many requests may be sent again between two ticks of the clock: a share of what is open (F3).
_REPEATS_ALWAYS: Final = 3
_REPEATS_SHARE: Final = 0.2
# How many may queue: as many as are served, so that none waits much longer than an answer takes; at
# least so many as one page asks for at once (O3).
_QUEUE_AT_LEAST: Final = 16
# For how long a client may hold up a transfer before others may need its connection more (O4).
_PATIENCE: Final = 1.0
# For how long no connection of an upstream is reused that sent bytes behind a response (S12). Such
# bytes may also come late, when the next request is under way, and then nobody can tell.
_DISTRUST: Final = 60.0


class ConnectionRequest(Protocol):
    """Who asked for a connection that was not at hand."""

    @property
    def wants_connection(self) -> bool:
        """Whether it still waits."""

    def connected(self, connection: UpstreamConnection) -> None:
        """Take the connection that was asked for."""

    def not_connected(self, fault: Fault) -> None:
        """Learn why there is none."""


class Pool:
    """The connections to one upstream, of one worker."""

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        resolver: Resolver,
        on_excess: Callable[[Upstream], None] | None = None,
    ) -> None:
        self.upstream = upstream
        self._clock = clock
        self._dialler = Dialler(upstream, resolver)
        self._idle: deque[UpstreamConnection] = deque()
        self._queue: deque[tuple[float, ConnectionRequest]] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._open: set[UpstreamConnection] = set()
        self._tunnels: set[UpstreamConnection] = set()
        self._tunnel_places = 0
        self._on_excess = on_excess
        self._distrusted_until = 0.0
        self._retired = False
        self._closed = False
        self._repeats = 0
        self._struck_off_at = 0.0
        settings = upstream.circuit_breaker
        self._breaker = None if settings is None else Breaker(settings.failures, settings.open)

    @property
    def open(self) -> int:
        """The number of connections that are open or being opened, tunnels excepted."""
        return len(self._open) + len(self._dials)

    @property
    def idle(self) -> int:
        """The number of connections that wait for a request."""
        return len(self._idle)

    def states(self) -> dict[str, int]:
        """Return how many connections are in which state."""
        idle = len(self._idle)
        return {
            "connecting": len(self._dials),
            "active": len(self._open) - idle,
            "idle": idle,
            "tunnel": len(self._tunnels),
        }

    @property
    def circuit(self) -> State:
        """What becomes of requests to this upstream, as far as its failures decide (O7)."""
        return State.closed if self._breaker is None else self._breaker.state

    def admits(self) -> bool:
        """Tell whether a request may be sent to this upstream at all (O7)."""
        return self._breaker is None or self._breaker.admits(self._clock.now)

    def answered(self) -> None:
        """Learn that an answer began."""
        if self._breaker is not None:
            self._breaker.succeeded()

    def failed(self) -> None:
        """Learn that no connection could be made, or that no answer began in time."""
        if self._breaker is not None:
            self._breaker.failed(self._clock.now)

    def take(self) -> UpstreamConnection | None:
        """Return an idle connection that is fit for another request, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.is_quiet():
                return connection
            connection.close()
        return None

    def ask(self, borrower: ConnectionRequest) -> None:
        """Have a connection brought to `borrower` later: a new one, or the next to come free."""
        limit = self.upstream.pool.max_connections
        if not limit or self.open < limit:
            self._dial()
            self._queue.append((float("inf"), borrower))
        elif self._is_queue_full(max(limit, _QUEUE_AT_LEAST)):
            borrower.not_connected(Fault(faults.POOL_FULL))
        else:
            self._queue.append((self._clock.after(self.upstream.pool.queue), borrower))

    def _is_queue_full(self, most: int) -> bool:
        """Tell whether `most` are queueing; those that left are struck off once a tick."""
        if len(self._queue) >= most and self._struck_off_at != self._clock.now:
            self._struck_off_at = self._clock.now
            self._queue = deque(entry for entry in self._queue if entry[1].wants_connection)
        return len(self._queue) >= most

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over; close it unless it can be used again."""
        connection.waiter = None
        fit = connection.is_reusable and self._may_reuse()
        # Who queues gets it at once: only a peek tells whether something was pushed meanwhile.
        if fit and not (self._queue and not connection.is_quiet()):
            # Its last client may have been too slow for the last piece: that is over with it.
            connection.read_on()
            self._offer(connection)
        else:
            connection.close()

    def _may_reuse(self) -> bool:
        return self.upstream.pool.reuse == "always" and self._distrusted_until <= self._clock.now

    def exceeded(self) -> None:
        """Reuse no connection for a while: bytes came that belong to no response (S12)."""
        is_news = self._distrusted_until <= self._clock.now
        self._distrusted_until = self._clock.now + _DISTRUST
        for connection in list(self._idle):
            connection.close()
        if is_news and self._on_excess is not None:
            self._on_excess(self.upstream)

    # --- tunnels (O4) ----------------------------------------------------------------------

    @property
    def most_tunnels(self) -> int:
        """The number of tunnels that may be open or on their way."""
        settings = self.upstream.pool
        half = max(1, settings.max_connections // 2)
        return half if settings.tunnels is None else settings.tunnels

    def reserve_tunnel(self) -> bool:
        """Reserve a place for a tunnel; return False if all are taken."""
        if self._tunnel_places >= self.most_tunnels:
            return False
        self._tunnel_places += 1
        return True

    def release_tunnel(self) -> None:
        """Give a reserved place back."""
        self._tunnel_places -= 1

    def tunnelled(self, connection: UpstreamConnection) -> None:
        """Count `connection`, which became a tunnel, as such: it takes no request's place."""
        self._open.discard(connection)
        self._tunnels.add(connection)
        self._serve_queue()

    # --- the queue -------------------------------------------------------------------------

    def forget(self, connection: UpstreamConnection) -> None:
        """Drop a connection that is gone, and open one for the next in the queue if any."""
        self._tunnels.discard(connection)
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._serve_queue()

    def sweep(self, now: float) -> None:
        """Close what idled too long and answer who queued too long."""
        self._repeats = 0
        for connection in [one for one in self._idle if one.idle_until < now]:
            connection.close()
        late = [entry for entry in self._queue if entry[0] < now]
        for entry in late:
            self._queue.remove(entry)
            if entry[1].wants_connection:
                entry[1].not_connected(Fault(faults.POOL_FULL))

    def cut_stalled(self, now: float, limit: int) -> None:
        """Cut the transfers that their clients hold up longest, down to half of `limit` (O4).

        `limit` is how many requests the worker takes at once, 0 for any number.
        """
        sizes = [size for size in (self.upstream.pool.max_connections, limit) if size]
        most = min(sizes, default=0) // 2
        if not sizes or len(self._open) - len(self._idle) <= most:
            return
        waiters = [one.waiter for one in self._open if one.waiter is not None]
        stalled = [(since, waiter) for waiter in waiters if (since := waiter.stalled_since(now))]
        if len(stalled) > most:
            stalled.sort(key=itemgetter(0))
            for since, waiter in stalled[: len(stalled) - most]:
                if since + _PATIENCE < now:
                    waiter.cut_stalled()

    def may_repeat(self) -> bool:
        """Tell whether one more request may be sent again (F3), and count it if so."""
        if self._repeats >= max(_REPEATS_ALWAYS, _REPEATS_SHARE * len(self._open)):
            return False
        self._repeats += 1
        return True

    @property
    def is_dry(self) -> bool:
        """Whether nothing is open, being opened or queued for."""
        return not (self._open or self._dials or self._queue or self._tunnels)

    def retire(self) -> None:
        """Keep nothing idle any more; who queues is still served (P2)."""
        self._retired = True
        for connection in list(self._idle):
            connection.close()

    def close(self) -> None:
        """Close everything at once."""
        self._closed = True
        self._queue.clear()
        for task in self._dials:
            task.cancel()
        for connection in [*self._open, *self._tunnels]:
            connection.close()

    def _dial(self) -> None:
        task = asyncio.get_running_loop().create_task(self._open_one())
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _open_one(self) -> None:
        try:
            protocol, sock = await self._dialler.open(lambda: UpstreamConnection(self))
        except Fault as fault:
            self._not_opened(fault)
            return
        assert isinstance(protocol, UpstreamConnection)  # noqa: S101 - our own factory made it
        if not protocol.is_open:
            self._not_opened(
                Fault(faults.UPSTREAM_CLOSED, "closed, or not silent, before its request")
            )
            return
        protocol.sock = sock
        self._open.add(protocol)
        protocol.keep_alive = True
        self._offer(protocol)

    def _not_opened(self, fault: Fault) -> None:
        if fault.kind.side == "upstream":
            self.failed()
        borrower = self._next_borrower()
        if borrower is not None:
            borrower.not_connected(fault)

    def _offer(self, connection: UpstreamConnection) -> None:
        borrower = self._next_borrower()
        if borrower is not None:
            borrower.connected(connection)
        elif len(self._idle) < self.upstream.pool.max_idle and not self._retired:
            connection.idle_until = self._idle_until(connection)
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_until(self, connection: UpstreamConnection) -> float:
        """Return when to close an idle connection: before the upstream would (F4)."""
        idle = self.upstream.pool.idle
        if connection.kept_for is not None:
            idle = max(0.0, min(idle, connection.kept_for - _MARGIN))
        return self._clock.now + idle

    def _next_borrower(self) -> ConnectionRequest | None:
        while self._queue:
            _, borrower = self._queue.popleft()
            if borrower.wants_connection:
                return borrower
        return None

    def _serve_queue(self) -> None:
        """Open a connection for who queues only because the pool was full."""
        limit = self.upstream.pool.max_connections
        waiting = sum(1 for _, borrower in self._queue if borrower.wants_connection)
        if waiting > len(self._dials) and (not limit or self.open < limit) and not self._closed:
            self._dial()
