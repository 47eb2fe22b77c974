"""Pools the connections to one upstream: opens, lends, reuses and closes them.

A connection is kept only if its response was complete, without excess bytes, and every byte of the
request was written to it (forwarding.md S12). It is reused only if nothing has arrived on it and it
has not expired (F4). An idle connection is never paused. Tunnels have a limit of their own (O4).

`allocation`, which is pure, decides which connections to close, assign and open; the pool does it.
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

# An idle connection is closed so many seconds before its upstream would close it (F4).
_MARGIN: Final = 1.0
# For how long a client may stall a transfer before its connection can be reclaimed, in seconds (O4).
_PATIENCE: Final = 1.0
# For how long no connection is reused after the upstream sent excess bytes, in seconds (S12). Such bytes
# may also arrive during the next request, and then cannot be distinguished from its response.
_DISTRUST: Final = 60.0


class ConnectionRequest(Protocol):
    """A request for a connection: the forwarded request that waits for one."""

    @property
    def wants_connection(self) -> bool:
        """Whether the request still waits for a connection."""

    def connected(self, connection: UpstreamConnection) -> None:
        """Begin to use `connection`."""

    def not_connected(self, fault: Fault) -> None:
        """Fail with `fault`: no connection is available."""


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
        """Return the number of connections in each state."""
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
        """Return whether the breaker admits a request. If so it must be sent, since it may be the trial."""
        return self._breaker is None or self._breaker.admits(self._clock.now)

    def record_success(self) -> None:
        """Record that a response began."""
        if self._breaker is not None:
            self._breaker.record_success()

    def record_failure(self) -> None:
        """Record that no connection could be opened, or that no response began in time."""
        if self._breaker is not None:
            self._breaker.record_failure(self._clock.now)

    def reserve_retry(self) -> bool:
        """Spend a retry; return False if none is left until the next tick (F3)."""
        return self._retries.spend(len(self._allocation.open))

    # --- lending ---------------------------------------------------------------------------

    def take(self) -> UpstreamConnection | None:
        """Lend an idle connection that can be reused; return None if there is none."""
        while (connection := self._allocation.take()) is not None:
            # Checked now, because the upstream may have closed it, or sent excess bytes, while it was
            # idle (S12; https://www.rfc-editor.org/rfc/rfc9112.html#section-9.5).
            if connection.is_open and self._is_quiet(connection):
                return connection
            connection.close()
        return None

    def request(self, request: ConnectionRequest) -> None:
        """Queue `request` for the next connection, new or returned; `take` must have returned None."""
        now, until = self._clock.now, self._clock.after(self.upstream.pool.queue)
        self._act(self._allocation.requested(request, now, until))

    def give_back(self, connection: UpstreamConnection) -> None:
        """Return a connection whose exchange has ended to the pool; close it unless it can be reused."""
        connection.handler = None
        # A queued request gets it at once, so excess bytes must be detected now; for an idle connection
        # `take` does that (S12).
        if self._is_reusable(connection) and (
            not self._allocation.has_queue or self._is_quiet(connection)
        ):
            # A slow client may have paused it at the last piece of its response.
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
        """Return whether no bytes, FIN or reset have arrived that the loop has not read yet."""
        unread = connection.probe.look()
        # Over TLS, bytes may be records of TLS itself, such as session tickets. The connection is closed
        # in any case, but only plain bytes prove an excess.
        if unread is DATA and self.upstream.scheme == "http":
            self.record_excess()
        return unread is NOTHING

    def _idle_until(self, connection: UpstreamConnection) -> float:
        """Return when to close an idle connection: before the upstream would (F4)."""
        idle = self.upstream.pool.idle
        # The upstream's own announcement overrides a longer setting: a request sent as it closes would
        # be lost (https://www.rfc-editor.org/rfc/rfc9112.html#section-9.5).
        if connection.kept_for is not None:
            idle = max(0.0, min(idle, connection.kept_for - _MARGIN))
        return self._clock.now + idle

    # --- what connections report -----------------------------------------------------------

    def record_excess(self) -> None:
        """Stop reusing connections for a while: bytes arrived that belong to no response (S12).

        https://www.rfc-editor.org/rfc/rfc9112.html#section-9.2
        """
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
        """Close connections that were idle, and fail requests that were queued, for too long."""
        self._retries.renew()
        self._act(self._allocation.expired(now))

    def cut_stalled(self, now: float, limit: int) -> None:
        """End the transfers that clients have stalled longest; they may occupy half of the places (O4).

        The places are the lower of `pool.max_connections` and `limit`, which is `max_requests_in_flight`;
        0 means no limit for either.
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
        """Keep no connection idle from now on; queued requests are still served (P2)."""
        self._act(self._allocation.retired())

    def close(self) -> None:
        """Close all connections."""
        for task in self._dials:
            task.cancel()
        self._act(self._allocation.closed())

    # --- acting ----------------------------------------------------------------------------

    def _act(self, actions: Iterable[_Action]) -> None:
        """Carry out `actions` after those that are being carried out.

        An action may call back into the pool: after a request fails, its client's next one begins. The
        actions of that are carried out afterwards, not within. If an action raises, the others follow
        with the next event, at the latest at the next tick.
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
                else:  # its client left since the decision
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
            # A bug of ours: without this the place would be lost and the request would never end.
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
