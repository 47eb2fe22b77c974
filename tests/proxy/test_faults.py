"""What a client sees when the upstream fails: forwarding.md F1-F3, F5, F8.

The long table of upstream scripts is test_fault_matrix.py.
"""

import asyncio
import time

import pytest

from tests.support.messages import Truncated, read_head
from tests.support.proxy import one_route, running_proxy, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    black_hole,
    close,
    request,
    reset,
    send,
    tell,
    until,
    wait,
)
from tests.support.wire import End, patiently

ORIGIN = "https://app.example.com"
POLICY = f"cors: {{allow_origins: [{ORIGIN}], allow_credentials: true, expose_headers: [x-total]}}"
GET = f"GET / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
CORS = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "x-total",
}


@pytest.mark.parametrize("end", [close(), reset()], ids=["FIN", "reset"])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_f1_a_body_that_breaks_off_late_never_looks_whole(start: bytes, end: object) -> None:
    """F1, cors.md 65: what had come is passed on, then the connection ends without an end mark."""
    go = asyncio.Event()
    script: Script = [request(), send(start + b"x" * 50_000), wait(go), end]  # type: ignore[list-item]
    async with through(script) as (client, _, _):
        await client.send(GET)
        await read_head(client)
        await client.until(b"x")
        go.set()
        rest = await patiently(client.until_end(), "the end")
        assert not rest.endswith(b"0\r\n\r\n")
        assert rest.count(b"x") < 100_000


async def test_f2_a_refused_connection_is_a_fault_that_the_page_can_read() -> None:
    """F2, cors.md 62: 502 at once, with the CORS headers of the route."""
    async with through(ALWAYS_OK, route=POLICY) as (client, _, upstream):
        upstream.stop_listening()
        started = time.perf_counter()
        answer = await client.exchange(GET)
        took = time.perf_counter() - started
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_unreachable")
        assert answer.head.cors() == CORS
        assert answer.head.value("vary") == b"Origin"
        assert took < 1.0


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([close()], "upstream_closed"),
        ([reset()], "upstream_closed"),
        ([send(b"HTTP/1.1 200"), close()], "upstream_closed"),
        ([send(b"hello\r\n\r\n")], "upstream_invalid"),
    ],
    ids=["FIN", "reset", "half a line", "junk"],
)
async def test_f2_a_fault_before_the_head_is_502(steps: Script, error: str) -> None:
    """F2, F8, cors.md 62, 64: a word that is stable, no address, no text of an exception."""
    async with through([request(), *steps], ALWAYS_OK, route=POLICY) as (client, _, upstream):
        answer = await client.exchange(GET)
        problem = answer.problem()
        assert (answer.status, problem["error"], problem["status"]) == (502, error, 502)
        assert set(problem) == {"type", "title", "status", "detail", "error", "request_id"}
        assert answer.head.cors() == CORS
        assert upstream.authority.encode() not in answer.body
        assert b"Errno" not in answer.body
        assert b"Traceback" not in answer.body
        assert (await client.exchange(GET)).status == 200


async def test_f2_an_upstream_that_never_responds_is_504() -> None:
    """F2, O1: no byte within `response_header`."""
    timeouts = "timeouts: {response_header: 50ms}"
    async with through([request(), black_hole()], upstream=timeouts, route=POLICY) as way:
        answer = await way.client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")
        assert answer.head.cors() == CORS
        assert way.client.is_open


async def test_f2_an_upstream_that_falls_silent_cuts_its_response() -> None:
    """F2, F1, O1: idle in the middle of a body: the response breaks off."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    timeouts = "timeouts: {idle: 50ms}"
    async with through([request(), send(start), black_hole()], upstream=timeouts) as (client, _, _):
        with pytest.raises(Truncated) as caught:
            await client.exchange(GET)
        assert caught.value.body == b"hello"


async def test_f2_no_free_connection_is_503() -> None:
    """F2, O3: all connections taken for longer than `queue`: 503 with Retry-After."""
    pool = "pool: {max_connections: 1, queue: 50ms}"
    asked = asyncio.Event()
    async with through([request(), tell(asked)], upstream=pool, route=POLICY) as (
        client,
        proxy,
        up,
    ):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as other:
            answer = await other.exchange(GET)
            assert (answer.status, answer.problem()["error"]) == (503, "upstream_busy")
            assert answer.head.value("retry-after")
            assert answer.head.cors() == CORS
        assert len(up.connections) == 1


async def test_f2_a_request_that_queued_is_served_when_a_connection_is_free() -> None:
    """O3: within `queue` the next one gets the connection that the first gave back."""
    go, asked = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(asked), wait(go), send(OK), *ALWAYS_OK]
    async with through(script, upstream="pool: {max_connections: 1}") as (client, proxy, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as other:
            await other.send(GET)
            go.set()
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert len(upstream.connections) == 1


async def test_f5_an_early_response_is_relayed_while_the_client_uploads() -> None:
    """F5: 413 from the upstream reaches the client, and the upload to the upstream stops."""
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    async with through([until(b"x" * 1000), send(early)]) as (client, _, upstream):
        await client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000
        )
        answer = await client.response()
        assert (answer.status, answer.body) == (413, b"big")
        client.close()
        await patiently(upstream.connections[0].peer_ended.wait(), "the upload to stop")


async def test_f3_a_safe_request_on_a_dead_kept_connection_is_sent_again() -> None:
    """F3: a reused connection that ends without a byte of response is not a fault of a GET."""
    async with through([request(), send(OK), request(), close()], ALWAYS_OK) as (
        client,
        _,
        upstream,
    ):
        assert (await client.exchange(GET)).status == 200
        assert (await client.exchange(GET)).status == 200
        assert len(upstream.connections) == 2


async def test_f3_a_fresh_connection_that_fails_is_not_tried_again() -> None:
    """F3: only a reused one may have died of age."""
    async with through([request(), close()], ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(GET)).status == 502
        assert len(upstream.connections) == 1


async def test_a_server_that_ends_cuts_what_runs() -> None:
    """F1: shutting the proxy down in the middle of a response leaves it visibly cut."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with ScriptedUpstream([request(), send(start), black_hole()]) as upstream:
        async with running_proxy(one_route(upstream.url)) as proxy:
            client = await proxy.client()
            await client.send(GET)
            await client.until(b"hello\r\n")
        async with client:
            assert await client.ending() in {End.FIN, End.RESET}
