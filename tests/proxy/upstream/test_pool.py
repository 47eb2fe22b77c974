"""A pool that acts on what was decided (forwarding.md F2, O3), with a real loop and scripted requests."""

import asyncio
from collections.abc import Callable

import pytest

from corsproxy.policy.compiled import PoolLimits, TcpAddress, Upstream
from corsproxy.proxy import faults
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.upstream.connect import Connector
from corsproxy.proxy.upstream.connection import UpstreamConnection
from corsproxy.proxy.upstream.pool import Pool
from corsproxy.proxy.upstream.resolve import Resolver
from tests.support.wire import eventually, listen

REFUSING = TcpAddress("127.0.0.2", 1)


def pool_of_one(address: TcpAddress) -> Pool:
    """Return a pool of at most one connection."""
    upstream = Upstream(
        name="u", scheme="http", address=address, authority=b"u", pool=PoolLimits(max_connections=1)
    )
    return Pool(upstream, Clock(lambda _: None), Resolver())


class Request:
    """A request for a connection, which notes what it gets and may then do something."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.wants_connection = True
        self.connection: UpstreamConnection | None = None
        self.fault: FaultKind | None = None
        self._then = then

    def connected(self, connection: UpstreamConnection) -> None:
        """Note the connection."""
        self.wants_connection = False
        self.connection = connection
        self._then()

    def not_connected(self, fault: Fault) -> None:
        """Note the fault."""
        self.wants_connection = False
        self.fault = fault.kind
        self._then()


async def test_f2_a_connection_that_cannot_be_opened_leaves_no_other_request_waiting() -> None:
    """F2: who was queued because the pool was full is served by the place that is free again."""
    pool = pool_of_one(REFUSING)
    requests = [Request() for _ in range(3)]
    for one in requests:
        pool.request(one)
    await eventually(lambda: all(one.fault for one in requests), "all requests to fail")
    assert {one.fault for one in requests} == {faults.UPSTREAM_UNREACHABLE}
    assert pool.is_empty


async def test_a_bug_while_opening_a_connection_costs_its_request_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception that nobody expected: 500, and the place in the pool is free again."""

    async def raise_it(*_: object) -> None:
        raise ZeroDivisionError

    raised: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: raised.append(context.get("exception")))
    monkeypatch.setattr(Connector, "open", raise_it)
    pool = pool_of_one(REFUSING)
    for number in range(1, 4):
        request = Request()
        pool.request(request)
        await eventually(lambda: request.fault is not None, "the request to fail")  # noqa: B023
        assert request.fault is faults.INTERNAL
        await eventually(lambda: len(raised) == number, "the exception to be logged")  # noqa: B023
    assert {type(one) for one in raised} == {ZeroDivisionError}
    assert pool.is_empty


async def test_o3_a_request_that_fails_lets_the_next_one_begin_without_recursion() -> None:
    """O3: thousands that fail one after the other, each begun by the one before, on a flat stack."""
    pool = pool_of_one(REFUSING)
    for _ in range(17):
        pool.request(Request())
    failed = 0

    def go_on() -> None:
        nonlocal failed
        failed += 1
        if failed < 5000:
            pool.request(Request(go_on))

    pool.request(Request(go_on))
    assert failed == 5000
    pool.close()


async def test_what_an_action_leads_to_is_done_after_it() -> None:
    """A request that is failed begins the next one: that is failed once the first is done with."""
    pool = pool_of_one(REFUSING)
    for _ in range(17):
        pool.request(Request())
    log: list[str] = []

    def begin_next() -> None:
        pool.request(Request(lambda: log.append("the next one failed")))
        log.append("the first one is done with")

    pool.request(Request(begin_next))
    assert log == ["the first one is done with", "the next one failed"]
    pool.close()


async def test_a_queued_request_gets_the_connection_that_is_given_back() -> None:
    """O3: the same one, at once, and not before its turn."""
    with listen() as sock:
        pool = pool_of_one(TcpAddress(*sock.getsockname()))
        first, second, third = (Request() for _ in range(3))
        for one in (first, second, third):
            pool.request(one)
        await eventually(lambda: first.connection is not None, "a connection")
        connection = first.connection
        assert isinstance(connection, UpstreamConnection)
        assert pool.states() == {"connecting": 0, "active": 1, "idle": 0, "tunnel": 0}
        pool.give_back(connection)
        assert (second.connection, third.connection) == (connection, None)
        pool.give_back(connection)
        assert third.connection is connection
        pool.give_back(connection)
        assert pool.states() == {"connecting": 0, "active": 0, "idle": 1, "tunnel": 0}
        assert pool.take() is connection
        pool.close()
        assert not connection.is_open
        assert pool.is_empty


async def test_s12_a_request_that_left_in_the_meantime_gets_no_connection() -> None:
    """S12: between the decision to lend a connection and doing it, its request may leave."""
    with listen() as sock:
        pool = pool_of_one(TcpAddress(*sock.getsockname()))
        first, second = Request(), Request()
        pool.request(first)
        await eventually(lambda: first.connection is not None, "a connection")
        connection = first.connection
        assert isinstance(connection, UpstreamConnection)
        pool.request(second)

        def leave() -> None:
            pool.give_back(connection)
            assert second.connection is None  # decided, and not done yet
            second.wants_connection = False

        others = [Request() for _ in range(15)]
        for one in others:
            pool.request(one)
        late = Request(leave)
        pool.request(late)
        assert late.fault is faults.POOL_FULL
        assert second.connection is None
        assert others[0].connection is connection
        pool.close()


async def test_an_action_that_raises_holds_up_no_other() -> None:
    """A bug in one request: the others are failed with the next tick."""

    def raise_it() -> None:
        raise ZeroDivisionError

    pool = pool_of_one(REFUSING)
    pool.request(Request())
    first, second = Request(raise_it), Request()
    pool.request(first)
    pool.request(second)
    with pytest.raises(ZeroDivisionError):
        pool.sweep(pool._clock.now + 60)
    assert (first.fault, second.fault) == (faults.POOL_FULL, None)
    pool.sweep(pool._clock.now + 60)
    assert second.fault is faults.POOL_FULL
    pool.close()


async def test_f6_a_request_that_left_meanwhile_is_not_failed() -> None:
    """F6: of two whose time is over, the end of one may be the end of the other."""
    pool = pool_of_one(REFUSING)
    second = Request()

    def leave() -> None:
        second.wants_connection = False

    for one in (Request(), Request(leave), second):
        pool.request(one)
    pool.sweep(pool._clock.now + 60)
    assert second.fault is None
    pool.close()


async def test_p1_a_pool_that_is_closed_stops_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: nothing is left that would open a connection later."""

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Connector, "open", hang)
    pool = pool_of_one(REFUSING)
    pool.request(Request())
    assert pool.states()["connecting"] == 1
    await asyncio.sleep(0)
    pool.close()
    await eventually(lambda: not pool._dials, "the attempt to end")
    assert pool.is_empty
