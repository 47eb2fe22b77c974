"""The connections to one upstream: lends them, takes them back, opens and closes them.

A connection is kept only if its response was complete, nothing was in excess, and every byte of the
request was written to it (forwarding.md S12); it is lent again only while nothing has arrived on it
and it is young (F4). A connection in the pool is never paused. Tunnels have a limit of their own (O4).

What is closed, assigned and opened is decided in `allocation`, which is pure; here it is done.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Final, Protocol

from corsproxy.policy.compiled import Upstream
from corsproxy.proxy import faults
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.upstream.allocation import Allocation, Assign, Close, Dial, Fail
from corsproxy.proxy.upstream.breaker import Breaker, State
from corsproxy.proxy.upstream.connect import Connector
from corsproxy.proxy.upstream.connection import UpstreamConnection
from corsproxy.proxy.upstream.probe import DATA, NOTHING
from corsproxy.proxy.upstream.quotas import RetryBudget, TunnelPlaces
from corsproxy.proxy.upstream.resolve import Resolver

# How long before its upstream would close it an idle connection is closed, in seconds (F4).
_MARGIN: Final = 1.0
# For how long a client may hold up a transfer before others may need its connection more (O4).
_PATIENCE: Final = 1.0
# For how long no connection of an upstream is reused that sent bytes behind a response (S12). Such
# bytes may also come late, when the next request is under way, and then they cannot be
# distinguished from its response.
_DISTRUST: Final = 60.0


class ConnectionRequest(Protocol):
    """A request for a connection: the exchange that waits for one."""

    @property
    def wants_connection(self) -> bool:
        """Whether the request still waits for a connection."""

    def connected(self, connection: UpstreamConnection) -> None:
        """Begin to use `connection`."""

    def not_connected(self, fault: Fault) -> None:
        """Fail with `fault`: no connection is to be had."""


_Action = (
    Close[UpstreamConnection]
    | Assign[UpstreamConnection, ConnectionRequest]
    | Dial
    | Fail[ConnectionRequest]
)


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
        self._connector = Connector(upstream, resolver)
        self._allocation: Allocation[UpstreamConnection, ConnectionRequest] = Allocation(
            upstream.pool
        )
        self._actions: deque[_Action] = deque()
        self._is_acting = False
        self._dials: set[asyncio.Task[None]] = set()
        self._tunnel_places = TunnelPlaces(upstream.pool)
        self._retries = RetryBudget()
        self._on_excess = on_excess
        self._distrusted_until = 0.0
        settings = upstream.circuit_breaker
        self._breaker = None if settings is None else Breaker(settings.failures, settings.open)

    def states(self) -> dict[str, int]:
        """Return how many connections are in which state."""
        allocation = self._allocation
        idle = len(allocation.idle)
        return {
            "connecting": allocation.connecting,
            "active": len(allocation.open) - idle,
            "idle": idle,
            "tunnel": len(allocation.tunnels),
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open, being opened or queued for."""
        return self._allocation.is_empty

    # --- the circuit breaker (O7) and retries (F3) -----------------------------------------

    @property
    def circuit(self) -> State:
        """The state of the circuit: closed if there is no breaker."""
        return State.closed if self._breaker is None else self._breaker.state

    def admits(self) -> bool:
        """Return whether the breaker lets a request through; the trial must be sent, then."""
        return self._breaker is None or self._breaker.admits(self._clock.now)

    def record_success(self) -> None:
        """Record that a response began."""
        if self._breaker is not None:
            self._breaker.record_success()

    def record_failure(self) -> None:
        """Record that a connection could not be made, or that no response began in time."""
        if self._breaker is not None:
            self._breaker.record_failure(self._clock.now)

    def reserve_retry(self) -> bool:
        """Reserve a retry; return False if as many requests were retried as may be."""
        return self._retries.spend(len(self._allocation.open))

    # --- lending ---------------------------------------------------------------------------

    def take(self) -> UpstreamConnection | None:
        """Return an idle connection that can be reused, or None."""
        while (connection := self._allocation.take()) is not None:
            if connection.is_open and self._is_quiet(connection):
                return connection
            connection.close()
        return None

    def request(self, request: ConnectionRequest) -> None:
        """Have `request` connected later, or failed. `take` must have returned None before.

        It gets a new connection, or the next that is returned.
        """
        now, until = self._clock.now, self._clock.after(self.upstream.pool.queue)
        self._act(self._allocation.requested(request, now, until))

    def give_back(self, connection: UpstreamConnection) -> None:
        """Take back a connection whose exchange is over; close it unless it can be reused."""
        connection.handler = None
        # A queued request gets it at once, so what its upstream sent meanwhile must be found now. One
        # that idles is looked at when it is taken.
        if self._is_reusable(connection) and (
            not self._allocation.has_queue or self._is_quiet(connection)
        ):
            # Its last client may have been too slow for the last piece: that is over with it.
            connection.read_at_once()
            actions = self._allocation.returned(connection, self._idle_until(connection))
            if actions:
                self._act(actions)
        else:
            connection.close()

    def _is_reusable(self, connection: UpstreamConnection) -> bool:
        return (
            connection.is_reusable
            and self.upstream.pool.reuse == "always"
            and self._distrusted_until <= self._clock.now
        )

    def _is_quiet(self, connection: UpstreamConnection) -> bool:
        """Return whether nothing arrived that the loop has not read yet: bytes, a FIN or a reset."""
        unread = connection.probe.look()
        # Over TLS, bytes may be the protocol's own. A FIN behind them is an end like any other.
        if unread is DATA and self.upstream.scheme == "http":
            self.record_excess()
        return unread is NOTHING

    def _idle_until(self, connection: UpstreamConnection) -> float:
        """Return when to close an idle connection: before the upstream would (F4)."""
        idle = self.upstream.pool.idle
        if connection.kept_for is not None:
            idle = max(0.0, min(idle, connection.kept_for - _MARGIN))
        return self._clock.now + idle

    # --- what connections report -----------------------------------------------------------

    def record_excess(self) -> None:
        """Reuse no connection for a while: bytes came that belong to no response (S12)."""
        is_news = self._distrusted_until <= self._clock.now
        self._distrusted_until = self._clock.now + _DISTRUST
        self._act(self._allocation.idle_dropped())
        if is_news and self._on_excess is not None:
            self._on_excess(self.upstream)

    def became_tunnel(self, connection: UpstreamConnection) -> None:
        """Count `connection` as a tunnel from now on."""
        self._act(self._allocation.became_tunnel(connection))

    def remove(self, connection: UpstreamConnection) -> None:
        """Remove a connection that is lost or being closed, if it is still part of the pool."""
        self._act(self._allocation.removed(connection))

    # --- tunnels (O4) ----------------------------------------------------------------------

    @property
    def most_tunnels(self) -> int:
        """The number of tunnels that may be open or asked for."""
        return self._tunnel_places.limit

    def reserve_tunnel(self) -> bool:
        """Reserve a place for a tunnel; return False if all are taken."""
        return self._tunnel_places.reserve()

    def release_tunnel(self) -> None:
        """Release a reserved place."""
        self._tunnel_places.release()

    # --- time ------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Close what was idle, and fail what was queued, for too long."""
        self._retries.renew()
        self._act(self._allocation.expired(now))

    def cut_stalled(self, now: float, limit: int) -> None:
        """Cut the transfers that their clients hold up longest, down to half of `limit` (O4).

        `limit` is how many requests the worker serves at once, 0 for any number.
        """
        allocation = self._allocation
        sizes = [size for size in (self.upstream.pool.max_connections, limit) if size]
        most = min(sizes, default=0) // 2
        if not sizes or len(allocation.open) - len(allocation.idle) <= most:
            return
        handlers = [one.handler for one in allocation.open if one.handler is not None]
        stalled = [(since, one) for one in handlers if (since := one.stalled_since(now))]
        if len(stalled) > most:
            stalled.sort(key=itemgetter(0))
            for since, handler in stalled[: len(stalled) - most]:
                if since + _PATIENCE < now:
                    handler.cut_stalled()

    def retire(self) -> None:
        """Keep nothing idle any more; requests that are queued are still served (P2)."""
        self._act(self._allocation.retired())

    def close(self) -> None:
        """Close everything at once."""
        for task in self._dials:
            task.cancel()
        self._act(self._allocation.closed())

    # --- acting ----------------------------------------------------------------------------

    def _act(self, actions: Iterable[_Action]) -> None:
        """Carry out `actions`, behind those that are being carried out.

        An action may lead back here: a request that fails lets its client's next one begin. What that
        decides is carried out after the action that led to it, not within. If an action raises, the
        others follow with the next event, at the latest with the next tick.
        """
        self._actions.extend(actions)
        if self._is_acting or not self._actions:
            return
        self._is_acting = True
        try:
            while self._actions:
                self._carry_out(self._actions.popleft())
        finally:
            self._is_acting = False

    def _carry_out(self, action: _Action) -> None:
        match action:
            case Assign(connection, request):
                if request.wants_connection:
                    request.connected(connection)
                else:  # it left between the decision and now
                    self.give_back(connection)
            case Close(connection):
                connection.close()
            case Fail(request, fault):
                if request.wants_connection:
                    request.not_connected(fault)
            case Dial():
                task = asyncio.get_running_loop().create_task(self._open_one())
                self._dials.add(task)
                task.add_done_callback(self._dials.discard)

    async def _open_one(self) -> None:
        try:
            connection, sock = await self._connector.open(lambda: UpstreamConnection(self))
        except Fault as fault:
            self._not_opened(fault)
            return
        except Exception:
            # A bug of ours: without this, the place and the request would be lost for ever.
            self._not_opened(Fault(faults.INTERNAL))
            raise
        if not connection.is_open:
            self._not_opened(
                Fault(faults.UPSTREAM_CLOSED, "closed, or sent data, before the request was sent")
            )
            return
        connection.opened(sock)
        self._act(self._allocation.opened(connection, self._idle_until(connection)))

    def _not_opened(self, fault: Fault) -> None:
        if fault.kind.side == "upstream":
            self.record_failure()
        self._act(self._allocation.not_opened(fault))
