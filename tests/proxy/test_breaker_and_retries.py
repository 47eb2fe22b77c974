"""Upstreams that fail: the circuit breaker, and requests that are sent again (forwarding.md O7, F3)."""

import asyncio
import contextlib
import errno
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from corsproxy.proxy.upstream.breaker import State
from tests.support.proxy import Way, one_route, running_proxy, through
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    Step,
    black_hole,
    close,
    repeat,
    request,
    reset,
    send,
    wait,
)
from tests.support.wire import eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]
SILENT: Script = [request(), black_hole()]
BREAKER = "timeouts: {response_header: 50ms}\ncircuit_breaker: {failures: 2, open: 300ms}"
POLICY = "cors: {allow_origins: ['https://app.example.com']}"


def circuit(way: Way) -> State:
    """Return what the pool says of its circuit."""
    return way.proxy.server.state.pools._by_name["legacy"].circuit


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
    """O7: the upstream responds again, and all is as before."""
    async with through(SILENT, SILENT, ALWAYS_OK, upstream=BREAKER) as way:
        for _ in range(2):
            assert (await outcome(way))[0] == 504
        assert await outcome(way) == (503, "upstream_circuit_open")
        await asyncio.sleep(0.5)  # longer than the circuit stays open
        assert await outcome(way) == (200, "")
        assert circuit(way) is State.closed
        assert await outcome(way) == (200, "")
        assert len(way.upstream.requests) >= 3


async def test_o7_refused_connections_count_and_statuses_do_not() -> None:
    """O7: 503 of the upstream's own is a response; what counts is that nobody is there."""
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
    async with through(ALWAYS_OK, upstream=BREAKER, route="match: {path: /}", more=more) as way:
        for _ in range(3):
            dead = await way.client.exchange(b"GET /dead HTTP/1.1\r\nHost: a\r\n\r\n")
            assert dead.problem()["error"] == "upstream_unreachable"
            assert await outcome(way) == (200, "")


async def test_o7_without_one_nothing_is_refused() -> None:
    """O7: off by default: with one upstream it would only prolong a restart."""
    async with through(SILENT, upstream="timeouts: {response_header: 20ms}") as way:
        for _ in range(7):
            assert await outcome(way) == (504, "upstream_timeout")


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let this process open no file and no socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    with Path(os.devnull).open() as null:
        resource.setrlimit(resource.RLIMIT_NOFILE, (null.fileno() + 1, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.dup(null.fileno()))
            yield
        finally:
            for descriptor in taken:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_o7_our_own_lack_of_descriptors_is_not_the_upstreams(
    kind: str, tmp_path: Path
) -> None:
    """O7, O2: no connection can be opened, which is 503 for now and leaves the circuit closed."""
    path = f"{tmp_path}/s" if kind == "unix" else None
    async with ScriptedUpstream(ALWAYS_OK, path=path) as upstream:
        config = one_route(upstream.url, upstream=BREAKER.replace("50ms", "60s"))
        async with running_proxy(config) as proxy, await proxy.client() as client:
            way = Way(client, proxy, upstream)
            assert (await client.exchange(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).status == 204
            with no_descriptors_left():
                for _ in range(3):
                    assert await outcome(way) == (503, "overloaded")
            assert await outcome(way) == (200, "")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
async def test_o7_a_lack_of_descriptors_anywhere_on_this_machine_is_not_either(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O7: the whole machine has a limit, too, which no test may reach."""

    def refused(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    async with through(ALWAYS_OK, upstream=BREAKER.replace("50ms", "60s")) as way:
        assert (await way.client.exchange(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).status == 204
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", refused)
            for _ in range(3):
                assert await outcome(way) == (503, "overloaded")
        assert await outcome(way) == (200, "")


async def test_h14_an_open_circuit_is_told_before_100() -> None:
    """H14: 100 is sent only once the breaker has passed."""
    expecting = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with through(SILENT, upstream=BREAKER) as way:
        for _ in range(2):
            await outcome(way)
        answer = await way.client.exchange(expecting)
        assert (answer.status, answer.interim) == (503, ())


# Kept after a response, and closed by its upstream once the next request was read from it.
DIES: Script = [request(), send(OK), request(), close()]
KEPT = "pool: {idle: 60s}"


def lines(method: str, more: str = "") -> bytes:
    """Return the head of a request for /once."""
    return f"{method} /once HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def times_sent(way: Way) -> int:
    """Return how often the upstream has read a head for /once."""
    return sum(received.count(b" /once HTTP/1.1\r\n") for received in way.upstream.received)


async def requests_came(way: Way, count: int) -> None:
    """Wait until the upstream has read so many requests."""
    await eventually(lambda: len(way.upstream.requests) == count, f"{count} requests")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_f3_a_safe_request_on_a_dead_connection_is_sent_again(method: str) -> None:
    """F3: by default, on another connection, and the client sees nothing of it."""
    async with through(DIES, ALWAYS_OK, upstream=KEPT) as way:
        assert await outcome(way) == (200, "")
        answer = await way.client.exchange(lines(method), method)
        assert answer.status == 200
        assert [len(one.requests) for one in way.upstream.connections] == [2, 1]
        assert [one.head.raw.split()[0] for one in way.upstream.requests][1:] == (
            [method.encode()] * 2
        )


@pytest.mark.parametrize(
    "data",
    [
        lines("POST"),
        lines("POST", "Content-Length: 0\r\n"),
        lines("POST", "Content-Length: 2\r\n") + b"hi",
        lines("PUT"),
        lines("PATCH"),
        lines("DELETE"),
        lines("PROPFIND"),
        lines("get"),
        lines("GET", "Content-Length: 2\r\n") + b"hi",
        lines("GET", "Transfer-Encoding: chunked\r\n") + b"2\r\nhi\r\n0\r\n\r\n",
        lines("GET", "Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
        lines("OPTIONS", "Content-Length: 2\r\n") + b"hi",
    ],
)
async def test_f3_no_other_method_and_nothing_with_a_body_is_sent_again(data: bytes) -> None:
    """F3: 502, and it was sent once: the upstream may have acted on it before it closed."""
    async with through(DIES, ALWAYS_OK, upstream=KEPT) as way:
        assert await outcome(way) == (200, "")
        answer = await way.client.exchange(data)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_closed")
        assert times_sent(way) == 1
        assert len(way.upstream.connections) == 1


@pytest.mark.parametrize("start", [b"H", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_f3_nothing_is_sent_again_once_a_byte_came_back(start: bytes) -> None:
    """F3: the upstream had begun to respond, so it had acted on the request."""
    dies_late: Script = [request(), send(OK), request(), send(start), close()]
    async with through(dies_late, ALWAYS_OK, upstream=KEPT) as way:
        assert await outcome(way) == (200, "")
        assert (await way.client.exchange(lines("GET"))).status == 502
        assert times_sent(way) == 1
        assert len(way.upstream.connections) == 1


async def test_f3_nothing_is_sent_again_after_an_interim_response() -> None:
    """F3: an interim response is one, too."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    dies_late: Script = [request(), send(OK), request(), send(hints), close()]
    async with through(dies_late, ALWAYS_OK, upstream=KEPT) as way:
        assert await outcome(way) == (200, "")
        answer = await way.client.exchange(lines("GET"))
        assert (answer.status, len(answer.interim)) == (502, 1)
        assert times_sent(way) == 1


@pytest.mark.parametrize("ending", [close(), reset()], ids=["FIN", "reset"])
async def test_f3_nothing_is_sent_again_if_the_connection_was_new(ending: Step) -> None:
    """F3: an upstream that closes a new connection read the request and refuses it."""
    async with through([request(), ending], ALWAYS_OK) as way:
        answer = await way.client.exchange(lines("GET"))
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_closed")
        assert len(way.upstream.connections) == 1


async def test_f3_a_request_is_sent_again_once() -> None:
    """F3: no matter how many kept connections turn out dead."""
    go = asyncio.Event()
    dies: Script = [request(), wait(go), send(OK), request(), close()]
    async with through(dies, dies, dies, ALWAYS_OK, upstream=KEPT) as way:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(await way.proxy.client()) for _ in range(3)]
            for number, client in enumerate(clients, start=1):
                await client.send(GET)
                await requests_came(way, number)
            go.set()
            for client in clients:
                assert (await client.response()).status == 200
        await way.client.exchange(lines("GET"))
        assert times_sent(way) == 2


async def test_f3_without_attempts_it_is_not() -> None:
    """L20 `retries.attempts`: 0 turns it off."""
    keys = f"retries: {{attempts: 0}}\n{KEPT}"
    async with through(DIES, ALWAYS_OK, upstream=keys) as way:
        assert await outcome(way) == (200, "")
        assert await outcome(way) == (502, "upstream_closed")
        assert len(way.upstream.connections) == 1


async def lose_at_once(clients: int, busy: int = 0) -> list[int]:
    """Close the connections of `clients` requests at the same moment; return their statuses.

    The requests are on connections that were used before; `busy` other ones go on meanwhile.
    """
    go, end = asyncio.Event(), asyncio.Event()
    kept: Script = [request(), wait(go), send(OK), request(), black_hole()]
    held: Script = [request(), wait(end), send(OK)]
    scripts = [kept] * clients + [held] * busy + [ALWAYS_OK]
    async with through(*scripts, upstream=KEPT) as way, AsyncExitStack() as stack:
        asking = [
            await stack.enter_async_context(await way.proxy.client()) for _ in range(clients + busy)
        ]
        for number, client in enumerate(asking, start=1):
            await client.send(GET)
            await requests_came(way, number)
        go.set()
        for client in asking[:clients]:
            assert (await client.response()).status == 200
        for client in asking[:clients]:
            await client.send(GET)
        await requests_came(way, 2 * clients + busy)
        for one in way.upstream.connections[:clients]:
            one.finish()  # no turn of the loop, and so no tick of the clock, lies between them
        statuses = [(await client.response()).status for client in asking[:clients]]
        end.set()
        for client in asking[clients:]:
            assert (await client.response()).status == 200
        return statuses


async def test_f3_three_requests_may_be_sent_again_at_any_moment() -> None:
    """F3: and no fourth one: an upstream that restarts must not get everything twice."""
    assert sorted(await lose_at_once(5)) == [200, 200, 200, 502, 502]


async def test_f3_beyond_three_it_is_a_fifth_of_what_is_open() -> None:
    """F3: at most 20 %."""
    statuses = await lose_at_once(12, busy=20)
    assert 3 < statuses.count(200) <= (12 + 20) * 0.2
    assert set(statuses) == {200, 502}


async def test_f3_later_requests_may_be_sent_again_too() -> None:
    """F3: the limit is one of the moment: what was sent again is over, and others may be."""
    async with through(DIES, upstream=KEPT) as way:
        assert await outcome(way) == (200, "")

        async def ten_repeats() -> None:
            repeats, before = 0, 200
            while repeats < 10:
                status, _ = await outcome(way)
                # Every connection dies at its second request: after a 200 it takes a repeat.
                repeats += before == status == 200
                before = status

        await patiently(ten_repeats(), "ten requests to be sent again")
