"""Each time limit is its own and is armed (forwarding.md O1). All of them are short here.

A limit is late by at most two ticks of the clock (0.2 s), and never early. `connect` over TLS is in
test_tls_upstream.py, `tunnel_idle` in test_tunnels.py, `queue` in test_faults.py.
"""

import asyncio
import socket

import pytest

from tests.support.client import RawClient
from tests.support.kernel import shrink_buffers
from tests.support.messages import Truncated
from tests.support.proxy import one_route, running_proxy, through
from tests.support.upstream import (
    Script,
    UpstreamConnection,
    black_hole,
    close,
    head_of_request,
    pour,
    repeat,
    request,
    send,
)
from tests.support.wire import End, eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]

# Any other limit is far away, so that only the one under test can be what ends a connection.
FAR = "request_header: 60s, request_body_idle: 60s, keepalive: 60s, write_idle: 60s"
UP_FAR = "connect: 60s, response_header: 60s, idle: 60s, total: 60s"


def server(limit: str) -> str:
    """Return the server's limits, all far away but one."""
    name = limit.partition(":")[0]
    others = [one for one in FAR.split(", ") if not one.startswith(name)]
    return f"timeouts: {{{', '.join([*others, limit])}}}"


def upstream(limit: str) -> str:
    """Return the upstream's limits, all far away but one."""
    name = limit.partition(":")[0]
    others = [one for one in UP_FAR.split(", ") if not one.startswith(name)]
    return f"timeouts: {{{', '.join([*others, limit])}}}"


@pytest.mark.parametrize(
    "start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX-A"]
)
async def test_request_header_a_head_that_does_not_end_is_408(start: bytes) -> None:
    """O1, O4: counted from its first byte, however many dribble in (slowloris)."""
    async with through(ALWAYS_OK, server=server("request_header: 200ms")) as (client, _, upstream):
        await client.send(start)
        dribbling = asyncio.ensure_future(_dribble(client.sock))
        answer = await client.response()
        dribbling.cancel()
        assert (answer.status, answer.problem()["error"]) == (408, "request_timeout")
        assert await client.ending() is End.FIN
        assert upstream.connections == []


async def _dribble(sock: socket.socket) -> None:
    while True:
        await asyncio.sleep(0.02)
        sock.send(b"X")


async def test_keepalive_an_idle_connection_is_closed() -> None:
    """O1: without a word: there is no request to respond to."""
    async with through(ALWAYS_OK, server=server("keepalive: 200ms")) as (client, _, _):
        assert (await client.exchange(GET)).status == 200
        assert await client.ending() is End.FIN


async def test_request_header_counts_for_a_connection_that_never_asks_too() -> None:
    """O1, O2: it has the time of a head from accept, not that between two requests."""
    async with through(ALWAYS_OK, server=server("request_header: 200ms")) as (client, _, _):
        assert await client.ending() is End.FIN


@pytest.mark.parametrize("size", [1000, 1_000_000], ids=["gathered", "streamed"])
async def test_request_body_idle_a_body_that_stops_is_408(size: int) -> None:
    """O1: between two pieces; the upstream never sees a complete request (S13)."""
    async with through([head_of_request()], server=server("request_body_idle: 200ms")) as way:
        await way.client.send(POST % size + b"x" * 500)
        answer = await way.client.response()
        assert (answer.status, answer.problem()["error"]) == (408, "request_timeout")
        assert await way.client.ending() is End.FIN
        if size > 64 * 1024:
            connection = await way.upstream.connection(0)
            await patiently(connection.peer_ended.wait(), "the end of the upload")
        else:
            assert way.upstream.connections == []


@pytest.mark.parametrize(
    ("head", "piece", "end"),
    [
        pytest.param(POST % 800, b"x" * 100, b"", id="gathered, above 100 B/s"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
            b"0\r\n\r\n",
            id="streamed, a byte at a time",
        ),
    ],
)
async def test_request_body_idle_a_slow_body_that_goes_on_is_not(
    head: bytes, piece: bytes, end: bytes
) -> None:
    """O1: it is not a limit for the whole."""
    async with through(ALWAYS_OK, server=server("request_body_idle: 1s")) as (client, _, _):
        await client.send(head)
        for _ in range(8):
            await asyncio.sleep(0.2)
            await client.send(piece)
        await client.send(end)
        assert (await client.response()).status == 200


async def test_request_body_idle_a_gathered_body_that_trickles_is_408() -> None:
    """O4: each byte comes in time, but a body that is gathered has to come at 100 B/s."""
    async with through(ALWAYS_OK, server=server("request_body_idle: 400ms")) as way:
        await way.client.send(POST % 1000)
        trickling = asyncio.create_task(_trickle(way.client, 1000))
        answer = await way.client.response()
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        assert (answer.status, answer.problem()["error"]) == (408, "request_timeout")
        assert way.upstream.connections == []


async def test_request_body_idle_a_gathered_body_that_stops_is_not_given_more_time() -> None:
    """O1: what came fast before the stop does not count for it."""
    limit = 2.0
    async with through(ALWAYS_OK, server=server(f"request_body_idle: {limit}s")) as (client, _, _):
        await client.send(POST % 60_000 + bytes(50_000))
        began = asyncio.get_running_loop().time()
        assert (await client.response()).status == 408
        assert limit <= asyncio.get_running_loop().time() - began < 2 * limit


async def _trickle(client: RawClient, size: int) -> None:
    for _ in range(size):
        await client.send(b"x")
        await asyncio.sleep(0.05)


async def test_write_idle_a_client_that_does_not_read_is_cut() -> None:
    """O1, O4: with `idle` off, so that only the client's own limit is left; the upstream's end comes."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"
    keys = "timeouts: {idle: 0s}"
    script: Script = [request(), send(start), pour(1 << 30)]
    async with through(script, server=server("write_idle: 300ms"), upstream=keys) as way:
        shrink_buffers(way.client)
        await way.client.send(GET)
        connection = await way.upstream.connection(0)
        await eventually(lambda: not connection.is_open, "the upstream's side to be cut")
        await patiently(way.client.until_end(), "the client's side to be cut")


async def test_write_idle_counts_without_a_request_under_way() -> None:
    """O1, F7: the proxy's own responses, unread, hold a connection no longer than others."""
    route = "match: {path: /only/}"
    async with through(ALWAYS_OK, route=route, server=server("write_idle: 300ms")) as way:
        shrink_buffers(way.client)
        pouring = asyncio.create_task(way.client.pour(1 << 30, GET * 1000))
        await eventually(lambda: way.proxy.server.connection_count == 0, "the client to be cut")
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def test_write_idle_a_client_that_reads_slowly_is_not() -> None:
    """O1: each read counts."""
    size = 16 * 1024 * 1024
    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    script: Script = [request(), send(start), pour(size)]
    async with through(script, server=server("write_idle: 500ms")) as (client, _, _):
        shrink_buffers(client)
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        read = 0
        for _ in range(8):
            await asyncio.sleep(0.1)
            read += await client.count(size // 16)
        assert read + await client.count(size - read) == size


async def test_write_idle_a_buffer_that_empties_slowly_is_not() -> None:
    """O1: it takes longer than `write_idle` until more may be read, but something goes all the time."""
    size = 64 * 1024 * 1024
    start = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    script: Script = [request(), send(start), pour(size)]
    async with through(script, server=server("write_idle: 700ms")) as (client, _, _):
        shrink_buffers(client)
        await client.send(GET)
        await client.until(b"\r\n\r\n")
        read = 0
        for _ in range(14):
            await asyncio.sleep(0.25)
            read += await client.count(40_000)
        assert read + await client.count(size - read) == size


async def test_connect_an_upstream_that_does_not_accept_is_504() -> None:
    """O1, F2: the handshake of TCP stays without a response."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    try:
        for filler in fillers:
            filler.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            filler.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        config = one_route(url, upstream=upstream("connect: 100ms"))
        async with running_proxy(config) as proxy, await proxy.client() as client:
            answer = await client.exchange(GET)
            assert (answer.status, answer.problem()["error"]) == (504, "upstream_connect_timeout")
    finally:
        for one in (full, *fillers):
            one.close()


async def test_response_header_is_504() -> None:
    """O1, F2: counted from the end of the request."""
    keys = upstream("response_header: 200ms")
    async with through([request(), black_hole()], upstream=keys) as (client, _, _):
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")


async def test_response_header_does_not_count_while_the_client_uploads() -> None:
    """O1: the upstream cannot respond to what it has not received."""
    keys = upstream("response_header: 300ms")
    async with through(ALWAYS_OK, upstream=keys) as (client, _, _):
        await client.send(POST % 100_000 + b"x" * 99_992)
        for _ in range(8):
            await asyncio.sleep(0.1)
            await client.send(b"x")
        assert (await client.response()).status == 200


async def test_idle_between_two_pieces_cuts_the_response() -> None:
    """O1, F1."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    keys = upstream("idle: 200ms")
    async with through([request(), send(start), black_hole()], upstream=keys) as (client, _, _):
        with pytest.raises(Truncated) as caught:
            await client.exchange(GET)
        assert caught.value.body == b"hello"


async def _tick(connection: UpstreamConnection) -> None:
    while connection.is_open:
        await connection.send(b"x")
        await asyncio.sleep(0.05)


async def test_total_cuts_a_response_that_goes_on() -> None:
    """O1, F1: although each piece came in time."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with through([request(), send(start), _tick], upstream=upstream("total: 300ms")) as way:
        with pytest.raises(Truncated):
            await way.client.exchange(GET)
        await patiently(way.upstream.connections[0].peer_ended.wait(), "the upstream's side to end")


async def test_total_is_504_before_the_response() -> None:
    """O1: nothing of the response had come."""
    keys = upstream("total: 200ms")
    async with through([request(), black_hole()], upstream=keys) as (client, _, _):
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")


async def test_total_goes_on_when_a_request_is_sent_again() -> None:
    """O1, F3: it is the time of the request, however often it is sent."""
    limit, lost_after = 3.0, 2.0

    async def late(_: UpstreamConnection) -> None:
        await asyncio.sleep(lost_after)

    dies: Script = [request(), send(OK), request(), late, close()]
    keys = upstream(f"total: {limit}s") + "\npool: {idle: 60s}"
    async with through(dies, [request(), black_hole()], upstream=keys) as (client, _, up):
        assert (await client.exchange(GET)).status == 200
        began = asyncio.get_running_loop().time()
        answer = await client.exchange(GET)
        took = asyncio.get_running_loop().time() - began
        assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")
        assert [len(one.requests) for one in up.connections] == [2, 1]
        assert limit <= took < limit + lost_after - 0.5


async def test_total_counts_while_a_connection_is_awaited() -> None:
    """O1: and the place in the queue is given up."""
    keys = upstream("total: 300ms") + "\npool: {max_connections: 1, queue: 60s}"
    async with through([request(), black_hole()], upstream=keys) as (client, proxy, up):
        await client.send(GET)
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).problem()["error"] == "upstream_timeout"
        assert (await client.response()).status == 504
        assert len(up.connections) <= 2


async def test_a_route_has_limits_of_its_own() -> None:
    """L20 `routes.*.timeouts`: what it does not name is the upstream's."""
    more = "  - {upstream: legacy, match: {path: /slow}, cors: false}"
    route = "match: {path: /fast}\ntimeouts: {response_header: 100ms}"

    async def late(connection: UpstreamConnection) -> None:
        await asyncio.sleep(0.5)
        await connection.send(OK)

    script: Script = [repeat(request(), late)]
    async with through(script, route=route, more=more) as (client, _, _):
        assert (await client.exchange(GET.replace(b"/ ", b"/fast "))).status == 504
        assert (await client.exchange(GET.replace(b"/ ", b"/slow "))).status == 200


async def test_zero_is_no_limit() -> None:
    """L4: 0 for none: nothing ends while the others' limits pass."""
    none = "request_header: 0s, request_body_idle: 0s, keepalive: 0s, write_idle: 0s"
    up = "timeouts: {connect: 0s, response_header: 0s, idle: 0s, total: 0s, tunnel_idle: 0s}"

    async def late(connection: UpstreamConnection) -> None:
        await asyncio.sleep(0.3)
        await connection.send(OK[:-1])
        await asyncio.sleep(0.3)
        await connection.send(OK[-1:])

    script: Script = [repeat(request(), late)]
    async with through(script, server=f"timeouts: {{{none}}}", upstream=up) as (client, _, _):
        await client.send(POST[:10])
        await asyncio.sleep(0.3)
        await client.send(POST[10:] % 2 + b"x")
        await asyncio.sleep(0.3)
        await client.send(b"x")
        assert (await client.response()).body == b"hi"
