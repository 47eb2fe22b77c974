"""Decides which connections of a pool to close, assign and open. Pure: the pool acts on it.

Each event (a request, a returned connection, a lost one, …) first updates the whole state and then
returns the actions that follow, so an action may cause the next event at any time. After each event:

- no more than `max_connections` are open or being opened, tunnels excepted;
- a connection is idle, or lent to one request, or a tunnel, and never two of these;
- nothing is idle while a request is queued;
- requests get connections in the order in which they were queued;
- for each queued request a connection is being opened, unless `max_connections` are in use, so none
  waits for an event that may never come.
"""

from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from corsproxy.policy.compiled import PoolLimits
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault

_NEVER: Final = float("inf")
# The queue is as long as `max_connections`, so that waiting takes about as long as one response; but at
# least as long as the number of requests that one page sends at once (O3).
_QUEUE_AT_LEAST: Final = 16


class Queued(Protocol):
    """A request that may be queued."""

    @property
    def wants_connection(self) -> bool:
        """Whether the request still waits for a connection."""


C = TypeVar("C", bound=Hashable)
R = TypeVar("R", bound=Queued)


class Close(NamedTuple, Generic[C]):
    """Close a connection, which is no longer part of the pool."""

    connection: C


class Assign(NamedTuple, Generic[C, R]):
    """Lend a connection to the request that waits for it."""

    connection: C
    request: R


class Dial(NamedTuple):
    """Open a connection; the event `opened` or `not_opened` must follow."""


class Fail(NamedTuple, Generic[R]):
    """Fail a request, which is no longer queued, if it still waits."""

    request: R
    fault: Fault


class Allocation(Generic[C, R]):
    """The connections to one upstream and the requests that are queued for them.

    `idle` maps each idle connection to when to close it, the last used one at its end; `open` contains
    the idle and the lent ones; `connecting` counts those that are being opened.
    """

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._queue: deque[tuple[float, R]] = deque()
        self._pruned_at = 0.0
        self._is_retired = False
        self.idle: dict[C, float] = {}
        self.open: set[C] = set()
        self.tunnels: set[C] = set()
        self.connecting = 0

    @property
    def has_queue(self) -> bool:
        """Whether requests are queued; some of them may have left."""
        return bool(self._queue)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is open, being opened or queued for."""
        return not (self.open or self.connecting or self._queue or self.tunnels)

    # --- events ----------------------------------------------------------------------------

    def take(self) -> C | None:
        """Lend the idle connection that was used last; return None if none is idle.

        The last one, so that the others expire if fewer are enough (F4).
        """
        return self.idle.popitem()[0] if self.idle else None

    def requested(self, request: R, now: float, until: float) -> list[Dial | Fail[R]]:
        """Queue `request`, for which no connection was idle, or fail it if the queue is full.

        `until` limits its time in the queue, unless a connection is opened for it: then the limit of
        connecting applies.
        """
        # Before the queue's length is checked: a request for which a connection is opened waits for no
        # other request (O3).
        if self._has_room():
            self.connecting += 1
            self._queue.append((_NEVER, request))
            return [Dial()]
        if self._is_queue_full(now):
            return [Fail(request, Fault(faults.POOL_FULL))]
        self._queue.append((until, request))
        return []

    def opened(self, connection: C, idle_until: float) -> list[Assign[C, R] | Close[C]]:
        """Add a connection that was dialled."""
        self.connecting -= 1
        self.open.add(connection)
        return self.returned(connection, idle_until)

    def not_opened(self, fault: Fault) -> list[Fail[R] | Dial]:
        """Fail the first in the queue: connections are opened for requests in their order.

        The place that it occupied may be used to open one for the rest of the queue.
        """
        self.connecting -= 1
        request = self._next_request()
        failed: list[Fail[R] | Dial] = [] if request is None else [Fail(request, fault)]
        return failed + self._dial_for_queue()

    def returned(self, connection: C, idle_until: float) -> list[Assign[C, R] | Close[C]]:
        """Assign a reusable connection to the first in the queue, else keep it idle or close it."""
        # The queue first: no later request may overtake one that waits (O3). A pool that is retired
        # serves it, too (P2).
        if self._queue:
            request = self._next_request()
            if request is not None:
                return [Assign(connection, request)]
        if len(self.idle) < self._limits.max_idle and not self._is_retired:
            self.idle[connection] = idle_until
            return []
        self.open.remove(connection)
        return [Close(connection)]

    def removed(self, connection: C) -> list[Dial]:
        """Remove a connection that is lost or being closed; open one for the queue in its place."""
        self.open.discard(connection)
        self.tunnels.discard(connection)
        self.idle.pop(connection, None)
        return self._dial_for_queue()

    def became_tunnel(self, connection: C) -> list[Dial]:
        """Count a lent connection as a tunnel, which does not count for `max_connections` (O4)."""
        self.open.remove(connection)
        self.tunnels.add(connection)
        return self._dial_for_queue()

    def expired(self, now: float) -> list[Close[C] | Fail[R]]:
        """Close connections that were idle, and fail requests that were queued, for too long."""
        actions: list[Close[C] | Fail[R]] = []
        for connection in [one for one, until in self.idle.items() if until < now]:
            del self.idle[connection]
            self.open.remove(connection)
            actions.append(Close(connection))
        late = [entry for entry in self._queue if entry[0] < now]
        if late:
            self._queue = deque(entry for entry in self._queue if entry[0] >= now)
            actions += [Fail(request, Fault(faults.POOL_FULL)) for _, request in late]
        return actions

    def idle_dropped(self) -> list[Close[C]]:
        """Close all idle connections."""
        idle = list(self.idle)
        self.idle.clear()
        self.open.difference_update(idle)
        return [Close(connection) for connection in idle]

    def retired(self) -> list[Close[C]]:
        """Keep no connection idle from now on; queued requests are still served (P2)."""
        self._is_retired = True
        return self.idle_dropped()

    def closed(self) -> list[Close[C]]:
        """Close all connections and drop the queue."""
        self._queue.clear()
        connections = [*self.open, *self.tunnels]
        self.connecting = 0
        self.idle.clear()
        self.open.clear()
        self.tunnels.clear()
        return [Close(connection) for connection in connections]

    # --- the queue -------------------------------------------------------------------------

    def _has_room(self) -> bool:
        """Return whether one more connection may be opened."""
        limit = self._limits.max_connections
        return not limit or len(self.open) + self.connecting < limit

    def _is_queue_full(self, now: float) -> bool:
        """Return whether no more requests may queue; those that left are pruned once a tick."""
        most = max(self._limits.max_connections, _QUEUE_AT_LEAST)
        if len(self._queue) >= most and self._pruned_at != now:
            self._pruned_at = now
            self._queue = deque(entry for entry in self._queue if entry[1].wants_connection)
        return len(self._queue) >= most

    def _next_request(self) -> R | None:
        """Remove and return the first request in the queue that still waits."""
        while self._queue:
            _, request = self._queue.popleft()
            if request.wants_connection:
                return request
        return None

    def _dial_for_queue(self) -> list[Dial]:
        """Open a connection if a queued request still lacks one and there is room."""
        if not self._queue or not self._has_room():
            return []
        waiting = sum(1 for _, request in self._queue if request.wants_connection)
        if waiting <= self.connecting:
            return []
        self.connecting += 1
        return [Dial()]
