"""Upstreams that fail: the circuit breaker, and requests that are sent again (forwarding.md O7, F3)."""

import asyncio
import time

from corsproxy.proxy.upstream.breaker import State
from tests.support.proxy import Way, through
from tests.support.upstream import Script, black_hole, close, repeat, request, send

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWERING: Script = [repeat(request(), send(OK))]
SILENT: Script = [request(), black_hole()]
BREAKER = "timeouts: {response_header: 50ms}\ncircuit_breaker: {failures: 2, open: 300ms}"
POLICY = "cors: {allow_origins: ['https://app.example.com']}"


def circuit(way: Way) -> State:
    """Return what the pool says of its circuit."""
    return way.proxy.server._pools["legacy"].circuit


async def outcome(way: Way) -> tuple[int, str]:
    """Ask once; return the status and the word of the fault."""
    answer = await way.client.exchange(GET)
    return answer.status, "" if answer.status < 400 else answer.problem()["error"]


async def test_o7_first_byte_timeouts_open_the_circuit() -> None:
    """O7, F2: the third request is refused at once, with Retry-After, and never sent."""
    async with through(SILENT, upstream=BREAKER, route=POLICY) as way:
        for _ in range(2):
            assert await outcome(way) == (504, "upstream_timeout")
        assert circuit(way) is State.open
        started = time.perf_counter()
        answer = await way.client.exchange(
            GET[:-2] + b"Origin: https://app.example.com\r\n\r\n",
        )
        took = time.perf_counter() - started
        assert (answer.status, answer.problem()["error"]) == (503, "upstream_circuit_open")
        assert answer.head.value("retry-after")
        assert answer.head.cors() == {"access-control-allow-origin": "https://app.example.com"}
        assert took < 1.0
        assert len(way.upstream.requests) == 2
        assert way.client.is_open


async def test_o7_after_its_time_a_trial_closes_it() -> None:
    """O7: the upstream answers again, and all is as before."""
    async with through(SILENT, SILENT, ANSWERING, upstream=BREAKER) as way:
        for _ in range(2):
            assert (await outcome(way))[0] == 504
        assert await outcome(way) == (503, "upstream_circuit_open")
        await asyncio.sleep(0.5)  # longer than the circuit stays open
        assert await outcome(way) == (200, "")
        assert circuit(way) is State.closed
        assert await outcome(way) == (200, "")
        assert len(way.upstream.requests) >= 3


async def test_o7_refused_connections_count_and_statuses_do_not() -> None:
    """O7: 503 of the upstream's own is an answer; what counts is that nobody is there."""
    bad = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with through([request(), send(bad), close()], upstream=BREAKER) as way:
        for _ in range(4):
            answer = await way.client.exchange(GET)
            assert (answer.status, answer.body) == (503, b"")
        assert circuit(way) is State.closed
        way.upstream.stop_listening()
        for _ in range(2):
            assert await outcome(way) == (502, "upstream_unreachable")
        assert await outcome(way) == (503, "upstream_circuit_open")


async def test_o7_other_upstreams_are_unaffected() -> None:
    """O7: a breaker is one upstream's."""
    more = "  - {upstream: 'http://127.0.0.1:1', match: {path: /dead}, cors: false}"
    async with through(ANSWERING, upstream=BREAKER, route="match: {path: /}", more=more) as way:
        for _ in range(3):
            dead = await way.client.exchange(b"GET /dead HTTP/1.1\r\nHost: a\r\n\r\n")
            assert dead.problem()["error"] == "upstream_unreachable"
            assert await outcome(way) == (200, "")


async def test_o7_without_one_nothing_is_refused() -> None:
    """O7: off by default: with one upstream it would only prolong a restart."""
    async with through(SILENT, upstream="timeouts: {response_header: 20ms}") as way:
        for _ in range(7):
            assert await outcome(way) == (504, "upstream_timeout")


async def test_h14_an_open_circuit_is_told_before_100() -> None:
    """H14: 100 is sent only once the breaker has passed."""
    expecting = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with through(SILENT, upstream=BREAKER) as way:
        for _ in range(2):
            await outcome(way)
        answer = await way.client.exchange(expecting)
        assert (answer.status, answer.interim) == (503, ())


DIES: Script = [request(), send(OK), request(), close()]


async def test_f3_by_default_a_get_on_a_dead_connection_is_sent_again() -> None:
    """F3: once."""
    async with through(DIES, DIES, upstream="pool: {idle: 60s}") as way:
        assert [(await outcome(way))[0] for _ in range(2)] == [200, 200]
        assert len(way.upstream.connections) == 2


async def test_f3_without_attempts_it_is_not() -> None:
    """config.md `retries.attempts`: 0 turns it off."""
    async with through(
        DIES, ANSWERING, upstream="retries: {attempts: 0}\npool: {idle: 60s}"
    ) as way:
        assert await outcome(way) == (200, "")
        assert await outcome(way) == (502, "upstream_closed")
        assert len(way.upstream.connections) == 1


async def test_f3_a_post_never_is() -> None:
    """F3: a POST is never seen twice, whatever the configuration says."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
    async with through(
        DIES, ANSWERING, upstream="retries: {attempts: 1}\npool: {idle: 60s}"
    ) as way:
        assert (await way.client.exchange(post)).status == 200
        assert (await way.client.exchange(post)).status == 502
        assert len(way.upstream.requests) == 2
