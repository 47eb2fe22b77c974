"""What a pool closes, assigns and opens (forwarding.md S12, F4, O3, O4), without sockets or time."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from corsproxy.policy.compiled import PoolLimits
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.upstream.allocation import Allocation, Assign, Close, Dial, Fail

QUEUE_TIME = 10.0
IDLE_TIME = 5.0
LOST = Fault(faults.UPSTREAM_UNREACHABLE)


@dataclass(eq=False)
class Request:
    """A request that waits until it is served, failed, or leaves."""

    number: int = 0
    wants_connection: bool = True


@dataclass(eq=False)
class Connection:
    """A connection by its number."""

    number: int = 0


Pool = Allocation[Connection, Request]


def allocation(**limits: Any) -> Pool:  # noqa: ANN401 - any limit of PoolLimits
    """Return one with these limits and no connections."""
    return Allocation(PoolLimits(**limits))


def with_idle(count: int, **limits: Any) -> tuple[Pool, list[Connection]]:  # noqa: ANN401
    """Return one with `count` idle connections, and these, the one that was used last at the end."""
    pool = allocation(**limits)
    connections = [Connection(number) for number in range(count)]
    for one in connections:
        pool.requested(Request(wants_connection=False), 0.0, QUEUE_TIME)
        pool.opened(one, IDLE_TIME)
    return pool, connections


# --- a naive model ------------------------------------------------------------------------------


@dataclass
class Model:
    """A pool as one would draw it: lists of what is where, searched from the front each time."""

    limits: PoolLimits
    idle: list[tuple[float, Connection]] = field(default_factory=list)
    lent: list[Connection] = field(default_factory=list)
    tunnels: list[Connection] = field(default_factory=list)
    waiting: list[tuple[float, Request]] = field(default_factory=list)
    dials: int = 0
    is_retired: bool = False

    @property
    def has_room(self) -> bool:
        """Whether one more connection may be opened."""
        limit = self.limits.max_connections
        return not limit or len(self.idle) + len(self.lent) + self.dials < limit

    def prune(self) -> None:
        """Drop requests that left."""
        self.waiting = [entry for entry in self.waiting if entry[1].wants_connection]

    def first(self) -> Request | None:
        """Take the first that still waits."""
        self.prune()
        return self.waiting.pop(0)[1] if self.waiting else None

    def dial(self) -> list[Any]:
        """Open a connection for the queue if there are too few and there is room."""
        self.prune()
        if len(self.waiting) > self.dials and self.has_room:
            self.dials += 1
            return [Dial()]
        return []

    def place(self, connection: Connection, until: float) -> list[Any]:
        """Give a free connection to the first that waits, keep it, or close it."""
        request = self.first()
        if request is not None:
            self.lent.append(connection)
            return [Assign(connection, request)]
        if len(self.idle) < self.limits.max_idle and not self.is_retired:
            self.idle.append((until, connection))
            return []
        return [Close(connection)]


@settings(max_examples=100, stateful_step_count=50, deadline=None)
class PoolMachine(RuleBasedStateMachine):
    """Runs the same events through the allocation and the model, and compares what they decide."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.number = 0
        self.pool: Pool = allocation()
        self.model = Model(PoolLimits())
        self.order: list[int] = []

    def next_number(self) -> int:
        """Return a number that nothing has yet."""
        self.number += 1
        return self.number

    @initialize(most=st.integers(0, 4), idle=st.integers(0, 3))
    def limit(self, most: int, idle: int) -> None:
        """Begin with few connections, so that the limits are met soon."""
        limits = PoolLimits(max_connections=most, max_idle=idle)
        self.pool, self.model = Allocation(limits), Model(limits)

    def compare(self, actions: list[Any], expected: list[Any]) -> None:
        """Fail unless both decided the same; carry it out.

        Who carries actions out fails no request that has left.
        """
        actions = [one for one in actions if not _has_left(one)]
        assert [_shown(one) for one in actions] == [_shown(one) for one in expected]
        for action in actions:
            if isinstance(action, Assign | Fail):
                action.request.wants_connection = False
            if isinstance(action, Assign):
                assert action.request.number > max(self.order, default=0)
                self.order.append(action.request.number)

    @rule()
    def ask(self) -> None:
        """Request a connection: an idle one, or a place in the queue."""
        self.now += 0.001  # what left the queue is pruned once a tick
        request = Request(self.next_number())
        taken = self.pool.take()
        if self.model.idle:
            assert taken is self.model.idle[-1][1]
            self.model.idle.pop()
            self.model.lent.append(taken)
            return
        assert taken is None
        expected: list[Any] = []
        if self.model.has_room:
            self.model.dials += 1
            self.model.waiting.append((float("inf"), request))
            expected = [Dial()]
        else:
            self.model.prune()
            if len(self.model.waiting) >= 16:
                expected = [Fail(request, Fault(faults.POOL_FULL))]
            else:
                self.model.waiting.append((self.now + QUEUE_TIME, request))
        self.compare(
            self.pool.requested(request, self.now, self.now + QUEUE_TIME),
            expected,
        )

    @precondition(lambda self: self.model.dials)
    @rule()
    def connect(self) -> None:
        """Open a connection."""
        connection = Connection(self.next_number())
        self.model.dials -= 1
        self.compare(
            self.pool.opened(connection, self.now + IDLE_TIME),
            self.model.place(connection, self.now + IDLE_TIME),
        )

    @precondition(lambda self: self.model.dials)
    @rule()
    def fail_to_connect(self) -> None:
        """Fail to open a connection."""
        self.model.dials -= 1
        request = self.model.first()
        expected: list[Any] = [] if request is None else [Fail(request, LOST)]
        self.compare(self.pool.not_opened(LOST), expected + self.model.dial())

    @precondition(lambda self: self.model.lent)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Give back a connection that can be reused."""
        connection = data.draw(st.sampled_from(self.model.lent))
        self.model.lent.remove(connection)
        self.compare(
            self.pool.returned(connection, self.now + IDLE_TIME),
            self.model.place(connection, self.now + IDLE_TIME),
        )

    @precondition(lambda self: self.model.lent or self.model.idle or self.model.tunnels)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Lose a connection: an idle one, a lent one, or a tunnel."""
        idle = [connection for _, connection in self.model.idle]
        lost = data.draw(st.sampled_from([*self.model.lent, *self.model.tunnels, *idle]))
        self.model.lent = [one for one in self.model.lent if one is not lost]
        self.model.tunnels = [one for one in self.model.tunnels if one is not lost]
        self.model.idle = [entry for entry in self.model.idle if entry[1] is not lost]
        self.compare(self.pool.removed(lost), self.model.dial())

    @precondition(lambda self: self.model.lent)
    @rule(data=st.data())
    def upgrade(self, data: st.DataObject) -> None:
        """Turn a lent connection into a tunnel."""
        connection = data.draw(st.sampled_from(self.model.lent))
        self.model.lent.remove(connection)
        self.model.tunnels.append(connection)
        self.compare(self.pool.became_tunnel(connection), self.model.dial())

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Let a request leave while it is queued."""
        data.draw(st.sampled_from(self.model.waiting))[1].wants_connection = False

    @rule(seconds=st.floats(0.1, 8.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self.model.prune()
        closed = [connection for until, connection in self.model.idle if until < self.now]
        failed = [request for until, request in self.model.waiting if until < self.now]
        self.model.idle = [entry for entry in self.model.idle if entry[0] >= self.now]
        self.model.waiting = [entry for entry in self.model.waiting if entry[0] >= self.now]
        full = Fault(faults.POOL_FULL)
        expected = [*map(Close, closed), *(Fail(one, full) for one in failed)]
        self.compare(self.pool.expired(self.now), expected)

    @rule()
    def distrust(self) -> None:
        """Bytes came that belong to no response."""
        closed = [Close(connection) for _, connection in self.model.idle]
        self.model.idle = []
        self.compare(self.pool.idle_dropped(), closed)

    @precondition(lambda self: self.number > 20)
    @rule()
    def retire(self) -> None:
        """Put another pool in its place, as a reload does."""
        self.model.is_retired = True
        closed = [Close(connection) for _, connection in self.model.idle]
        self.model.idle = []
        self.compare(self.pool.retired(), closed)

    @invariant()
    def no_more_connections_than_allowed(self) -> None:
        """`max_connections` counts those that are being opened, and no tunnels."""
        limit = self.pool._limits.max_connections
        assert not limit or len(self.pool.open) + self.pool.connecting <= limit
        assert self.pool.connecting == self.model.dials

    @invariant()
    def nothing_is_in_two_places(self) -> None:
        """Of idle, lent and tunnel a connection is one, the one that the model has it for."""
        idle = [connection for _, connection in self.model.idle]
        assert list(self.pool.idle) == idle
        assert self.pool.open == {*idle, *self.model.lent}
        assert len(self.pool.open) == len(idle) + len(self.model.lent)
        assert self.pool.tunnels == set(self.model.tunnels)

    @invariant()
    def nothing_is_idle_while_a_request_waits(self) -> None:
        """Of those that are queued, the ones that left do not count."""
        waiting = [one for _, one in self.pool._queue if one.wants_connection]
        assert waiting == [one for _, one in self.model.waiting if one.wants_connection]
        assert not (self.pool.idle and waiting)

    @invariant()
    def no_request_waits_for_nothing(self) -> None:
        """Have a connection opened for each one that waits, unless the limit is reached."""
        waiting = [one for _, one in self.pool._queue if one.wants_connection]
        assert len(waiting) <= self.pool.connecting or not self.model.has_room


def _has_left(action: Any) -> bool:  # noqa: ANN401 - any action
    return isinstance(action, Fail) and not action.request.wants_connection


def _shown(action: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any action
    """Return what is compared of an action: a fault by its kind."""
    shown = (one.kind if isinstance(one, Fault) else one for one in action)
    return (type(action), *shown)


TestPool = PoolMachine.TestCase


# --- by hand ------------------------------------------------------------------------------------


def test_the_connection_that_was_used_last_is_lent_first() -> None:
    """F4: the others stay idle until they expire, if fewer are enough."""
    pool, (_, last) = with_idle(2)
    assert pool.take() is last


def test_s12_a_connection_is_lent_once() -> None:
    """S12: what was taken is not there for the next."""
    pool, (only,) = with_idle(1)
    assert pool.take() is only
    assert pool.take() is None


def test_o3_a_queue_has_room_for_as_many_as_are_served() -> None:
    """O3: with 20 connections twenty queue, the next one fails at once."""
    pool = allocation(max_connections=20)
    for _ in range(20):
        assert pool.requested(Request(), 1.0, QUEUE_TIME) == [Dial()]
        pool.opened(Connection(), IDLE_TIME)
    for _ in range(20):
        assert pool.requested(Request(), 1.0, QUEUE_TIME) == []
    (fail,) = pool.requested(Request(), 1.0, QUEUE_TIME)
    assert isinstance(fail, Fail)
    assert fail.fault.kind is faults.POOL_FULL


def test_o3_a_full_queue_is_pruned_once_a_tick() -> None:
    """O3: looking at all of it for each request beyond it would cost more than serving it."""
    pool = allocation(max_connections=1)
    pool.requested(Request(), 1.0, QUEUE_TIME)
    pool.opened(Connection(), IDLE_TIME)
    queued = [Request(number) for number in range(16)]
    for one in queued:
        pool.requested(one, 1.0, QUEUE_TIME)
    assert isinstance(pool.requested(Request(), 1.0, QUEUE_TIME)[0], Fail)
    queued[3].wants_connection = False
    assert isinstance(pool.requested(Request(), 1.0, QUEUE_TIME)[0], Fail)
    assert pool.requested(Request(), 1.1, QUEUE_TIME) == []


def test_a_request_for_which_a_connection_is_opened_does_not_expire_in_the_queue() -> None:
    """O1: `queue` limits waiting for others; opening a connection has a limit of its own."""
    pool = allocation(max_connections=1)
    first, second = Request(1), Request(2)
    assert pool.requested(first, 0.0, QUEUE_TIME) == [Dial()]
    assert pool.requested(second, 0.0, QUEUE_TIME) == []
    (fail,) = pool.expired(QUEUE_TIME + 1)
    assert isinstance(fail, Fail)
    assert fail.request is second


@pytest.mark.parametrize("how", ["lost", "became a tunnel"])
def test_o4_a_place_that_becomes_free_goes_to_the_queue(how: str) -> None:
    """O4: a connection is opened in its stead."""
    pool = allocation(max_connections=1)
    pool.requested(Request(1), 0.0, QUEUE_TIME)
    connection = Connection()
    pool.opened(connection, IDLE_TIME)
    pool.requested(Request(2), 0.0, QUEUE_TIME)
    event = pool.removed if how == "lost" else pool.became_tunnel
    assert event(connection) == [Dial()]
    assert pool.removed(connection) == []  # one connection, one place


def test_p2_a_retired_pool_serves_its_queue_and_keeps_nothing() -> None:
    """P2: what is queued is still served, what comes free is closed."""
    pool, (idle, used) = with_idle(2, max_connections=2)
    assert pool.take() is used
    assert pool.retired() == [Close(idle)]
    assert pool.requested(Request(1), 0.0, QUEUE_TIME) == [Dial()]
    queued = Request(2)
    assert pool.requested(queued, 0.0, QUEUE_TIME) == []
    first = pool.returned(used, IDLE_TIME)
    assert isinstance(first[0], Assign)
    assert pool.returned(used, IDLE_TIME) == [Assign(used, queued)]
    assert pool.returned(used, IDLE_TIME) == [Close(used)]
    assert not pool.is_empty
    assert pool.opened(idle, IDLE_TIME) == [Close(idle)]
    assert pool.is_empty


def test_a_closed_pool_closes_everything_and_forgets_its_queue() -> None:
    """P1: what is idle, lent, or a tunnel; nothing is opened for the queue."""
    pool, (idle, used, tunnel) = with_idle(3, max_connections=3)
    for one in (tunnel, used):
        assert pool.take() is one
    pool.became_tunnel(tunnel)
    pool.requested(Request(1), 0.0, QUEUE_TIME)
    pool.requested(Request(2), 0.0, QUEUE_TIME)
    actions = pool.closed()
    assert {one.connection for one in actions} == {idle, used, tunnel}
    assert pool.is_empty
    assert [pool.removed(one.connection) for one in actions] == [[], [], []]


def test_f4_what_is_idle_for_too_long_is_closed_and_nothing_else() -> None:
    """F4: at its time, not before, and once."""
    pool, (idle, used) = with_idle(2)
    assert pool.take() is used
    assert pool.expired(IDLE_TIME) == []
    assert pool.expired(IDLE_TIME + 0.1) == [Close(idle)]
    assert pool.expired(IDLE_TIME + 0.1) == []
    assert pool.open == {used}


def test_f2_what_is_queued_for_too_long_leaves_the_queue() -> None:
    """F2, `pool.queue`: it is failed at its time, not before, and once."""
    pool = allocation(max_connections=1)
    pool.requested(Request(), 0.0, QUEUE_TIME)
    connection = Connection()
    pool.opened(connection, IDLE_TIME)
    pool.requested(Request(), 0.0, QUEUE_TIME)
    assert pool.expired(QUEUE_TIME) == []
    assert len(pool.expired(QUEUE_TIME + 0.1)) == 1
    assert not pool.has_queue
    assert pool.expired(QUEUE_TIME + 0.1) == []
