"""What a client sees when the other side fails, and what is left when it fails itself.

forwarding.md F1, F2, F6, F8. The long table of upstream scripts is test_fault_matrix.py.
"""

import asyncio
import time

import pytest

from tests.support.kernel import in_kernel
from tests.support.messages import Truncated, read_head
from tests.support.proxy import Proxy, one_route, running_proxy, through
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    black_hole,
    close,
    head_of_request,
    pour,
    repeat,
    request,
    reset,
    send,
    tell,
    until,
    wait,
)
from tests.support.wire import End, eventually, patiently

ORIGIN = "https://app.example.com"
POLICY = f"cors: {{allow_origins: [{ORIGIN}], allow_credentials: true, expose_headers: [x-total]}}"
GET = f"GET / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWERING: Script = [repeat(request(), send(OK))]
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
    async with through(ANSWERING, route=POLICY) as (client, _, upstream):
        upstream.stop_listening()
        started = time.perf_counter()
        answer = await client.exchange(GET)
        took = time.perf_counter() - started
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_unreachable")
        assert answer.head.cors() == CORS
        assert answer.head.value("vary") == b"Origin"
        assert took < 0.25


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
    async with through([request(), *steps], ANSWERING, route=POLICY) as (client, _, upstream):
        answer = await client.exchange(GET)
        problem = answer.problem()
        assert (answer.status, problem["error"], problem["status"]) == (502, error, 502)
        assert set(problem) == {"type", "title", "status", "detail", "error", "request_id"}
        assert answer.head.cors() == CORS
        assert upstream.authority.encode() not in answer.body
        assert b"Errno" not in answer.body
        assert b"Traceback" not in answer.body
        assert (await client.exchange(GET)).status == 200


async def test_f2_an_upstream_that_never_answers_is_504() -> None:
    """F2, O1: no byte within `response_header`."""
    timeouts = "timeouts: {response_header: 50ms}"
    async with through([request(), black_hole()], upstream=timeouts, route=POLICY) as way:
        answer = await way.client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")
        assert answer.head.cors() == CORS
        assert way.client.is_open


async def test_f2_an_upstream_that_falls_silent_cuts_its_answer() -> None:
    """F2, F1, O1: idle in the middle of a body: the answer breaks off."""
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
    script: Script = [request(), tell(asked), wait(go), send(OK), *ANSWERING]
    async with through(script, upstream="pool: {max_connections: 1}") as (client, proxy, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as other:
            await other.send(GET)
            go.set()
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert len(upstream.connections) == 1


LEAVING = {
    "while the upstream thinks": [request()],
    "before the body is sent": [head_of_request()],
    "after the head of the answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    ],
    "in the middle of the answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"),
    ],
    "in an endless answer": [
        request(),
        send(b"HTTP/1.1 200 OK\r\n\r\n"),
        pour(1 << 40),
    ],
}


@pytest.mark.parametrize("how", ["reset", "close", "FIN"])
@pytest.mark.parametrize("stage", list(LEAVING))
async def test_f6_a_client_that_leaves_ends_its_upstream_request(stage: str, how: str) -> None:
    """F6, H20: reset, close or FIN, at any stage: the upstream connection ends within 100 ms."""
    arrived = asyncio.Event()
    first, *rest = LEAVING[stage]
    async with through([first, tell(arrived), *rest]) as (client, _, upstream):
        body = b"Content-Length: 100000\r\n" if stage == "before the body is sent" else b""
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + body + b"\r\n" + b"x" * bool(body))
        await patiently(arrived.wait(), "the request to arrive")
        if stage.startswith(("after", "in")):
            await read_head(client)
        {"reset": client.reset, "close": client.close, "FIN": client.finish}[how]()
        connection = upstream.connections[0]
        await patiently(connection.peer_ended.wait(), f"the end ({stage})", 0.1)


async def test_f6_a_client_that_leaves_before_its_head_is_whole_costs_nothing() -> None:
    """F6: half a head, then gone: no connection to the upstream was made for it."""
    async with through(ANSWERING) as (client, proxy, upstream):
        await client.send(b"GET / HTTP/1.1\r\nHo")
        client.reset()
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).status == 200
        assert len(upstream.connections) == 1


async def test_f6_a_client_that_leaves_while_it_queues_is_forgotten() -> None:
    """F6, O3: its place in the queue is given up, and the connection serves the next."""
    go, asked = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(asked), wait(go), send(OK), *ANSWERING]
    async with through(script, upstream="pool: {max_connections: 1}") as (client, proxy, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        leaver = await proxy.client()
        await leaver.send(b"GET /leaver HTTP/1.1\r\nHost: a\r\n\r\n")
        async with await proxy.client() as other:
            await other.send(GET)
            leaver.reset()
            await asyncio.sleep(0)
            go.set()
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert all(one.target != b"/leaver" for one in upstream.requests)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_f6_a_client_that_does_not_wait_for_its_refusal_costs_nothing(how: str) -> None:
    """F6, S10: it is gone when the refusal is written; nothing is raised out of the connection."""
    async with through(ANSWERING) as (client, proxy, _):
        client.sock.send(b"GET / HTTP/1.1\r\nA : b\r\n\r\n")
        {"reset": client.reset, "close": client.close}[how]()
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).status == 200


async def test_f6_a_client_that_left_unseen_costs_nothing_when_its_fault_is_told() -> None:
    """F6, S10: it left while its upload was held back; telling it of the full pool fails softly."""
    asked = asyncio.Event()
    first: Script = [request(), tell(asked)]
    pool = "pool: {max_connections: 1, queue: 50ms}"
    async with through(first, upstream=pool) as (client, proxy, _):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as queueing:
            async with await proxy.client() as leaver:
                post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx"
                await leaver.send(post)
                await eventually(lambda: in_kernel() == 0, "the head to be read")
                await leaver.send(b"y")
                await eventually(lambda: in_kernel() == 0, "the upload to be read")
            assert (await queueing.exchange(GET)).status == 503


async def _leave(proxy: Proxy, number: int) -> None:
    client = await proxy.client()
    data = GET if number % 2 else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\nx"
    await client.send(data[: number % len(data) + 1] if number % 3 == 0 else data)
    for _ in range(number % 7):
        await asyncio.sleep(0)
    (client.reset if number % 5 else client.close)()


async def _leave_in_crowds(count: int, crowd: int) -> None:
    halting: Script = [head_of_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")]
    async with (
        ScriptedUpstream(halting) as upstream,
        running_proxy(one_route(upstream.url)) as proxy,
    ):
        for start in range(0, count, crowd):
            await asyncio.gather(*(_leave(proxy, number) for number in range(start, start + crowd)))
            upstream.forget_ended()


async def test_f6_nothing_is_left_of_those_who_leave() -> None:
    """F6: 300 clients that leave at changing moments; the fixture finds no task, socket, timer."""
    await _leave_in_crowds(300, 50)


@pytest.mark.slow
async def test_f6_nothing_is_left_of_ten_thousand_who_leave() -> None:
    """F6: the same with 10 000."""
    await _leave_in_crowds(10_000, 100)


async def test_f5_an_early_answer_is_relayed_while_the_client_uploads() -> None:
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
    """F3: a reused connection that ends without a byte of answer is no fault of a GET."""
    async with through([request(), send(OK), request(), close()], ANSWERING) as (
        client,
        _,
        upstream,
    ):
        assert (await client.exchange(GET)).status == 200
        assert (await client.exchange(GET)).status == 200
        assert len(upstream.connections) == 2


async def test_f3_a_fresh_connection_that_fails_is_not_tried_again() -> None:
    """F3: only a reused one may have died of age."""
    async with through([request(), close()], ANSWERING) as (client, _, upstream):
        assert (await client.exchange(GET)).status == 502
        assert len(upstream.connections) == 1


async def test_a_server_that_ends_cuts_what_runs() -> None:
    """F1: shutting the proxy down in the middle of an answer leaves it visibly cut."""
    start = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with ScriptedUpstream([request(), send(start), black_hole()]) as upstream:
        async with running_proxy(one_route(upstream.url)) as proxy:
            client = await proxy.client()
            await client.send(GET)
            await client.until(b"hello\r\n")
        async with client:
            assert await client.ending() in {End.FIN, End.RESET}
