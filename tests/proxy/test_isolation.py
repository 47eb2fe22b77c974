"""Nothing of one request reaches another, and no client holds more than its share.

forwarding.md S9, S12, F7, O4: what an attacker tried on the connections of others.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Self, cast

import pytest

from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.client_stream import WRITE
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.http.bodies import ChunkedBody
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upstream.connect import Connector
from corsproxy.proxy.upstream.connection import UpstreamConnection
from tests.support.client import RawClient
from tests.support.kernel import shrink_buffers
from tests.support.proxy import Proxy, Way, config_of, one_route, running_proxy, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    close,
    head_of_request,
    pour,
    repeat,
    request,
    send,
    swallow,
    until,
    wait,
)
from tests.support.wire import eventually, patiently

MIB = 1024 * 1024
LIMIT = 256 * 1024  # bytes in the proxy, a direction (O6)
GET = b"GET /get HTTP/1.1\r\nHost: a\r\n\r\n"
VICTIM = b"GET /victim HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n"
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
ONLY = "match: {path: /only/}"


def connections(proxy: Proxy) -> list[ClientConnection]:
    """Return the connections of clients, the oldest first."""
    return list(cast("dict[ClientConnection, object]", proxy.server._connections))


async def came_by(proxy: Proxy) -> None:
    """Return when the proxy has seen all that was sent to it before."""
    async with await proxy.client() as other:
        for _ in range(2):  # what comes in the same turn of the loop may come in any order
            await other.exchange(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS")


# --- a request's body and the next request (S12) ------------------------------------------------

LENGTH = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", b"x" * 65537
CHUNKED = (
    b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"10001\r\n%b\r\n0\r\n\r\n" % (b"x" * 65537),
)


@pytest.mark.parametrize("upload", [LENGTH, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("missing", [180, 1])
@pytest.mark.parametrize("status", [b"200 OK", b"413 Content Too Large"])
async def test_s12_an_upload_that_was_cut_short_ends_its_connection(
    upload: tuple[bytes, bytes], missing: int, status: bytes
) -> None:
    """S12, F5: bytes that were received and dropped are still awaited by the upstream."""
    head, body = upload
    go = asyncio.Event()
    early = b"HTTP/1.1 %b\r\nContent-Length: 10\r\n\r\nhello" % status
    first: Script = [head_of_request(), send(early), wait(go), send(b"world"), *ALWAYS_OK]
    async with through(first, ALWAYS_OK) as (client, proxy, upstream):
        await client.send(head + body[:-missing])
        await client.until(b"hello")
        await client.send(body[-missing:])
        await came_by(proxy)
        go.set()
        await client.until(b"world")
        async with await proxy.client() as other:
            assert (await other.exchange(VICTIM)).body == b"hi"
        assert b"/victim" not in upstream.received[0]
        assert [one.target for one in upstream.connections[1].requests] == [b"/victim"]


async def test_s12_an_upload_that_was_sent_whole_before_its_response_keeps_its_connection() -> None:
    """S12: an early response does no harm if every byte went out all the same."""
    early = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    go = asyncio.Event()
    script: Script = [request(), send(early), wait(go), send(b"world"), *ALWAYS_OK]
    async with through(script) as (client, proxy, upstream):
        await client.send(LENGTH[0] + LENGTH[1])
        await client.until(b"hello")
        go.set()
        await client.until(b"world")
        async with await proxy.client() as other:
            assert (await other.exchange(VICTIM)).body == b"hi"
        assert len(upstream.connections) == 1


async def test_s12_a_request_that_has_not_left_yet_ends_its_connection() -> None:
    """S12: the upstream responds before it has read, and what it did not read waits in the proxy."""
    first: Script = [request(), send(OK), head_of_request(), send(OK), wait(asyncio.Event())]
    async with through(first, ALWAYS_OK) as way:
        await squeeze(way)
        post = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
        assert (await way.client.exchange(post + bytes(60_000))).body == b"hi"
        async with await way.proxy.client() as other:
            assert (await other.exchange(VICTIM)).body == b"hi"
        assert [one.target for one in way.upstream.connections[1].requests] == [b"/victim"]


async def squeeze(way: Way) -> None:
    """Use a connection once, and give both its ends small buffers: what is not read waits in the proxy."""
    read_little(way.upstream)
    assert (await way.client.exchange(GET)).body == b"hi"
    (idle,) = way.proxy.server.state.pools.of(
        way.proxy.server.state.config.upstreams[0]
    )._allocation.idle
    idle.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


def read_little(upstream: ScriptedUpstream) -> None:
    """Give later connections of the upstream a small buffer, so that what it does not read waits."""
    upstream._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


# --- a slow reader and the next user of its upstream connection (S12, F7) -----------------------


async def test_s12_a_connection_that_a_slow_reader_paused_is_read_again() -> None:
    """S12, F7: the last piece pauses it, and the next user's response is read all the same."""
    big = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (20_000, bytes(20_000))
    async with through([repeat(request(), send(big))]) as way:
        shrink_buffers(way.client)
        await came_by(way.proxy)
        connection = connections(way.proxy)[0]
        sent = 0
        while not connection.is_write_paused:
            await way.client.send(GET)
            sent += 1
            await eventually(
                lambda: way.proxy.server.state.open_exchanges == 0, "the end of the response"
            )
        async with await way.proxy.client() as victim:
            assert len((await victim.exchange(VICTIM)).body) == 20_000
        assert len(way.upstream.connections) == 1
        for _ in range(sent):
            assert len((await way.client.response()).body) == 20_000
        assert len((await way.client.exchange(GET)).body) == 20_000


async def stalled(way: Way) -> int:
    """Wait until nothing moves any more; return what waits in the proxy to be written to clients."""
    calm, before = 0, (-1, -1)
    while calm < 20:
        await asyncio.sleep(0.005)
        now = (way.client.sent, sum(one.sent for one in way.upstream.connections))
        calm = calm + 1 if now == before else 0
        before = now
    return sum(one.transport.get_write_buffer_size() for one in connections(way.proxy))


# --- what one client that does not read may hold (F7) -------------------------------------------

BIG: Script = [
    request(),
    send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n"),
    pour(64 * MIB),
]
ENDLESS: Script = [head_of_request(), send(SWITCHED), pour(64 * MIB)]


@pytest.mark.parametrize(
    ("last", "script"),
    [pytest.param(GET, BIG, id="a large one"), pytest.param(UPGRADE, ENDLESS, id="a tunnel")],
)
async def test_f7_what_begins_behind_unread_responses_is_held_back(
    last: bytes, script: Script
) -> None:
    """F7: 300 responses unread, then something endless: it does not begin before they are read."""
    small = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n" + bytes(30_000)
    smalls: list[Script] = [[request(), send(small), close()]] * 300
    async with through(*smalls, script) as way:
        shrink_buffers(way.client)
        await way.client.send(GET * 300 + last)
        assert await stalled(way) <= LIMIT
        assert len(way.upstream.connections) < 300


async def test_f7_own_responses_that_are_not_read_hold_their_client_back() -> None:
    """F7, S9: a client that pipelines and does not read is read from no more."""
    async with through(ALWAYS_OK, route=ONLY) as way:
        shrink_buffers(way.client)
        pouring = asyncio.create_task(way.client.pour(64 * MIB, GET * 1000))
        held = await stalled(way)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        assert held <= LIMIT
        assert way.client.sent < 64 * MIB
        assert not way.upstream.connections


async def test_f7_a_client_that_reads_at_last_gets_every_response() -> None:
    """F7, S9: what was held back is served in order when the client reads on."""
    count = 30_000
    async with through(ALWAYS_OK, route=ONLY) as way:
        shrink_buffers(way.client)
        sending = asyncio.create_task(
            way.client.send(GET * count + b"GET /only/x HTTP/1.1\r\nHost: a\r\n\r\n")
        )
        await stalled(way)
        for _ in range(count):
            assert (await way.client.response()).status == 404
        assert (await way.client.response()).body == b"hi"
        await sending


@pytest.mark.parametrize("kind", ["upload", "tunnel"])
async def test_f7_a_first_piece_that_fills_the_upstream_holds_the_client_back(kind: str) -> None:
    """F7: a buffer that is full from the first write on counts like one that fills later."""
    upload = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1f000\r\n%b\r\n" % bytes(0x1F000)
    never = wait(asyncio.Event())
    first, then = (
        (upload + chunk, [head_of_request(), never])
        if kind == "upload"
        else (UPGRADE + chunk, [head_of_request(), send(SWITCHED), never])
    )
    async with through([request(), send(OK), *then]) as way:
        await squeeze(way)
        await way.client.send(first)
        pouring = asyncio.create_task(way.client.pour(64 * MIB, chunk))
        await stalled(way)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        pool = next(iter(way.proxy.server.state.pools._by_name.values()))
        waiting = [
            one.transport.get_write_buffer_size()
            for one in (*pool._allocation.open, *pool._allocation.tunnels)
        ]
        assert max(waiting) <= LIMIT
        assert way.client.sent < 64 * MIB


@pytest.mark.parametrize("end", ["FIN", "reset"])
async def test_f6_a_client_that_leaves_while_it_does_not_read_ends_its_request(end: str) -> None:
    """F6, F7: nothing is read from it, and its end is noticed all the same."""
    async with through(BIG) as way:
        shrink_buffers(way.client)
        await way.client.send(GET)
        await stalled(way)
        sender = way.upstream.connections[0]
        if end == "FIN":
            way.client.finish()
        else:
            way.client.reset()
        await patiently(sender.peer_ended.wait(), "the end of the upstream's connection")
        await eventually(
            lambda: way.proxy.server.state.open_exchanges == 0, "the end of the request"
        )


@pytest.mark.parametrize("half_close", ["close", "answer"])
async def test_h20_a_fin_behind_what_is_unread_waits_if_it_may_get_a_response(
    half_close: str,
) -> None:
    """H20, F6: with `half_close: answer` a client that does not read yet may still have sent its FIN."""
    big = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 * MIB)
    script: Script = [request(), send(big), pour(16 * MIB)]
    async with through(script, server=f"half_close: {half_close}") as way:
        shrink_buffers(way.client)
        await way.client.send(GET)
        await stalled(way)
        way.client.finish()
        if half_close == "close":
            await patiently(way.upstream.connections[0].peer_ended.wait(), "the end")
        else:
            await asyncio.sleep(0.3)  # two ticks, in which nothing may happen
            assert len((await way.client.response()).body) == 16 * MIB


async def test_h17_a_fin_behind_what_is_unread_ends_no_tunnel() -> None:
    """H17, F7: it is passed on once the upstream has read what came before it."""
    go = asyncio.Event()
    script: Script = [head_of_request(), send(SWITCHED), wait(go), swallow(150_000), send(b"bye")]
    async with through(script) as way:
        read_little(way.upstream)
        assert (await way.client.exchange(UPGRADE)).status == 101
        (tunnel,) = way.proxy.server.state.pools.of(
            way.proxy.server.state.config.upstreams[0]
        )._allocation.tunnels
        tunnel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await way.client.send(bytes(150_000))  # the kernel takes it, the proxy does not
        await eventually(lambda: client_side(way).is_upload_paused, "the client to be held back")
        way.client.finish()
        await asyncio.sleep(0.3)  # two ticks, in which nothing may happen
        go.set()
        assert await way.client.until(b"bye") == b"bye"


def client_side(way: Way) -> ClientConnection:
    """Return the proxy's end of the client's connection."""
    return connections(way.proxy)[0]


async def test_f7_a_request_that_meets_a_full_buffer_leaves_its_response_unread() -> None:
    """F7, O1: the upstream is not read from, and is not late, until the client reads again."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    async with through(ALWAYS_OK, upstream="timeouts: {response_header: 1s}") as way:
        await way.client.send(post)
        await way.client.until(b"100 Continue\r\n\r\n")
        client_side(way).pause_writing()  # as the 100 does if the buffer is almost full
        await way.client.send(b"body")
        connection = await way.upstream.connection(0)
        await eventually(lambda: len(connection.requests) == 1, "the request")
        await asyncio.sleep(1.5)  # longer than `response_header`
        assert way.proxy.server.state.open_exchanges == 1
        client_side(way).resume_writing()
        assert (await way.client.response()).body == b"hi"


@pytest.mark.parametrize("kind", ["sent on", "drained"])
async def test_f7_the_end_of_a_body_is_the_last_that_is_read_from_who_does_not_read(
    kind: str,
) -> None:
    """F7: the body goes on while its client does not read; what comes behind it waits."""
    go = asyncio.Event()
    slow: Script = [request(), wait(go), send(OK), *ALWAYS_OK]
    path = b"/only/x" if kind == "sent on" else b"/x"
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" % path
    if kind == "drained":
        head = head.replace(b"70000", b"1000")
    async with through(slow, route=ONLY) as way:
        await way.client.send(head + bytes(999))
        if kind == "drained":
            assert (await way.client.response()).status == 404
        else:
            await way.upstream.connection(0)
        await came_by(way.proxy)
        side = client_side(way)
        side.pause_writing()
        assert not side.is_paused(WRITE)
        await way.client.send(bytes(1 if kind == "drained" else 70_000 - 999))
        await eventually(lambda: side.is_paused(WRITE), "the end of the body")
        side.resume_writing()
        go.set()
        if kind == "sent on":
            assert (await way.client.response()).body == b"hi"
        only = GET.replace(b"/get", b"/only/x")
        assert (await way.client.exchange(only)).body == b"hi"


async def test_f7_a_response_that_fills_the_buffer_leaves_the_rest_of_the_body_to_be_read() -> None:
    """F7, S10: a client may send all of its body before it reads; what comes behind it waits."""
    write = ClientConnection.write

    def fill(side: ClientConnection, data: bytes) -> None:
        write(side, data)
        side.pause_writing()

    async with through(ALWAYS_OK, route=ONLY) as way:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClientConnection, "write", fill)
            head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
            await way.client.send(head + bytes(999))
            assert (await way.client.response()).status == 404
        side = client_side(way)
        assert not side.is_paused(WRITE)
        await way.client.send(bytes(1))
        await eventually(lambda: side.is_paused(WRITE), "the end of the body")
        side.resume_writing()
        only = GET.replace(b"/get", b"/only/x")
        assert (await way.client.exchange(only)).body == b"hi"


async def test_f7_a_tunnel_begins_in_the_state_of_its_client() -> None:
    """F7, H17: what the upstream sends waits, what the client sends goes through."""
    go = asyncio.Event()
    script: Script = [head_of_request(), wait(go), send(SWITCHED), until(b"2"), pour(64 * MIB)]
    async with through(script) as way:
        await way.client.send(UPGRADE)
        await way.upstream.connection(0)
        await eventually(lambda: len(way.upstream.requests) == 1, "the request")
        side = client_side(way)
        side.pause_writing()
        side._pause_for_write()
        go.set()
        pool = next(iter(way.proxy.server.state.pools._by_name.values()))
        (upstream,) = pool._allocation.open
        upstream.resume_reading()  # the 101 was read before the buffer was full
        await eventually(lambda: bool(pool._allocation.tunnels), "the tunnel")
        await way.client.send(b"2")
        await eventually(lambda: way.upstream.connections[0].sent > len(SWITCHED), "the other way")
        await stalled(way)
        tunnel = side.handler
        assert isinstance(tunnel, Tunnel)
        assert tunnel._exchange.bytes_sent == 0
        side.resume_writing()
        assert (await way.client.response()).status == 101
        assert await way.client.count(MIB) == MIB


async def test_f7_a_tunnel_begins_in_the_state_of_its_upstream() -> None:
    """F7, H17: its buffer was full before the tunnel began, and it reports that only once."""
    go = asyncio.Event()
    script: Script = [head_of_request(), wait(go), send(SWITCHED), until(b"later")]
    async with through(script) as way:
        await way.client.send(UPGRADE)
        await eventually(lambda: len(way.upstream.requests) == 1, "the request")
        pool = way.proxy.server.state.pools.of(way.proxy.server.state.config.upstreams[0])
        (upstream,) = pool._allocation.open
        upstream.pause_writing()
        go.set()
        assert (await way.client.response()).status == 101
        await way.client.send(b"later")
        await came_by(way.proxy)
        assert b"later" not in way.upstream.connections[0].received
        upstream.resume_writing()
        await eventually(
            lambda: b"later" in way.upstream.connections[0].received, "what the client sent"
        )


async def test_o1_an_upstream_is_not_idle_while_its_client_does_not_read() -> None:
    """O1, F7: `idle` is for the upstream; what the client takes its time for is `write_idle`."""
    size = 16 * MIB
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with through([request(), send(head), pour(size)], upstream="timeouts: {idle: 1s}") as way:
        shrink_buffers(way.client)
        await way.client.send(GET)
        await stalled(way)
        await asyncio.sleep(1.5)  # longer than `idle`
        assert len((await way.client.response()).body) == size


async def test_o1_a_response_that_begins_behind_unread_hints_is_not_late() -> None:
    """O1, F7: its head came in the read that filled the buffer, and the rest waits for the client."""
    size = 20_000
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: %b\r\n\r\n" % (b"x" * 6000) * 10
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    go = asyncio.Event()
    script: Script = [request(), send(OK), request(), wait(go), send(hints + head), pour(size)]
    async with through(script, upstream="timeouts: {idle: 1s}") as way:
        shrink_buffers(way.client, 4096)
        assert (await way.client.exchange(GET)).body == b"hi"
        sock = client_side(way).transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await way.client.send(GET)
        await eventually(lambda: len(way.upstream.requests) == 2, "the request")
        go.set()
        await eventually(lambda: client_side(way).is_write_paused, "the buffer to fill")
        await asyncio.sleep(1.5)  # longer than `idle`
        assert len((await way.client.response()).body) == size


# --- turns (S9) ---------------------------------------------------------------------------------


class Turns:
    """Counts what happens in each turn of the loop."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self._turn = 0

    def note(self, *_: object) -> None:
        """Count one more in this turn."""
        self.counts[self._turn] += 1

    async def __aenter__(self) -> Self:
        self._counting = asyncio.create_task(self._count())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._counting.cancel()
        await asyncio.gather(self._counting, return_exceptions=True)

    async def _count(self) -> None:
        while True:
            self._turn += 1
            await asyncio.sleep(0)


LARGE_GET = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: %b\r\n\r\n" % (b"x" * 20_000)


@pytest.mark.parametrize(
    ("get", "most"), [pytest.param(GET, 16, id="small"), pytest.param(LARGE_GET, 4, id="large")]
)
async def test_s9_a_client_gets_16_requests_a_turn_of_the_loop(get: bytes, most: int) -> None:
    """S9: however much it pipelines, others have their turn after 16 of its requests or 64 KiB."""
    async with Turns() as turns, through(ALWAYS_OK, route=ONLY) as way:
        way.proxy.server.state.observers = (turns.note,)
        sending = asyncio.create_task(way.client.send(get * 500))
        for _ in range(500):
            assert (await way.client.response()).status == 404
        await sending
    assert max(turns.counts.values()) == most
    assert turns.counts.total() == 500


@pytest.mark.parametrize("kind", ["chunks", "interim"])
async def test_s9_an_upstream_gets_its_share_of_a_turn_of_the_loop(kind: str) -> None:
    """S9: what it sends in the smallest pieces is read over many turns, and arrives whole."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = chunked + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000 + OK
    sent, body = (chunks, b"x" * 100_000) if kind == "chunks" else (hints, b"hi")
    read_line, interim_received = ChunkedBody._read_line, Forwarding.interim_received
    async with Turns() as turns, through([request(), send(sent), *ALWAYS_OK]) as way:

        def count_line(self: ChunkedBody, line: bytes) -> None:
            turns.note()
            read_line(self, line)

        def count_interim(self: Forwarding, head: ResponseHead) -> None:
            turns.note()
            interim_received(self, head)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ChunkedBody, "_read_line", count_line)
            patch.setattr(Forwarding, "interim_received", count_interim)
            assert (await way.client.exchange(GET)).body == body
        assert (await way.client.exchange(GET)).body == b"hi"
        assert len(way.upstream.connections) == 1
    assert max(turns.counts.values()) <= (512 if kind == "chunks" else 16)
    assert turns.counts.total() == (200_002 if kind == "chunks" else 5000)


@pytest.mark.parametrize("kind", ["sent on", "refused"])
async def test_s9_a_client_gets_512_chunk_lines_a_turn_of_the_loop(kind: str) -> None:
    """S9: chunks of a byte cost as much as requests do; what is read of them is bounded, too."""
    body, lines = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n", 20_002
    read_line = ChunkedBody._read_line
    turns = Turns()

    def count(self: ChunkedBody, line: bytes) -> None:
        turns.note()
        read_line(self, line)

    path = b"/only/x" if kind == "sent on" else b"/x"
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    async with through(ALWAYS_OK, route=ONLY) as way:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ChunkedBody, "_read_line", count)
            async with turns:
                sending = asyncio.create_task(way.client.send(head + body))
                answer = await way.client.response()
                await sending
    # A refusal reads what came with the head, what is left of it is drained: each its own share.
    assert max(turns.counts.values()) <= (512 if kind == "sent on" else 4 * 512)
    if kind == "sent on":
        assert answer.body == b"hi"
        assert turns.counts.total() == lines
        assert way.upstream.requests[0].body == b"x" * 10_000
    else:
        assert answer.status == 404


# --- tunnels (O4) -------------------------------------------------------------------------------


async def open_tunnel(proxy: Proxy) -> RawClient:
    """Return a client with an open tunnel."""
    client = await proxy.client()
    assert (await client.exchange(UPGRADE)).status == 101
    return client


@pytest.mark.parametrize(
    ("pool", "most"),
    [
        ("{max_connections: 4}", 2),
        ("{max_connections: 2, tunnels: 3}", 3),
        ("{max_connections: 1}", 1),
    ],
)
async def test_o4_tunnels_have_places_of_their_own(pool: str, most: int) -> None:
    """O4: above `pool.tunnels` 503; requests have all their connections, and ends free places."""
    chat: Script = [head_of_request(), send(SWITCHED)]
    scripts = [chat] * most + [ALWAYS_OK]
    async with through(*scripts, upstream=f"pool: {pool}") as way:
        tunnels = [await open_tunnel(way.proxy) for _ in range(most)]
        refused = await way.client.exchange(UPGRADE)
        assert (refused.status, refused.problem()["error"]) == (503, "tunnels_full")
        async with await way.proxy.client() as other:
            assert (await other.exchange(GET)).body == b"hi"
        for tunnel in tunnels:
            tunnel.close()
        assert len(way.upstream.connections) == most + 1
        await eventually(
            lambda: way.proxy.server.state.open_exchanges == 0, "the ends of the tunnels"
        )
        assert (
            way.proxy.server.state.pools.of(way.proxy.server.state.config.upstreams[0]).states()[
                "tunnel"
            ]
            == 0
        )
        async with await way.proxy.client() as other:
            assert (await other.exchange(UPGRADE)).body == b"hi"  # it is asked again


async def test_o4_a_request_that_waited_for_an_upgrade_gets_a_connection_at_once() -> None:
    """O4: with the 101 its connection counts as a tunnel, and its place is free."""
    go = asyncio.Event()
    chat: Script = [head_of_request(), wait(go), send(SWITCHED)]
    pool = "pool: {max_connections: 1, queue: 30s}"
    async with through(chat, ALWAYS_OK, upstream=pool) as (client, proxy, upstream):
        await client.send(UPGRADE)
        await eventually(lambda: len(upstream.requests) == 1, "the upgrade")
        async with await proxy.client() as other:
            await other.send(GET)
            await came_by(proxy)
            go.set()
            assert (await other.response()).body == b"hi"
        assert (await client.response()).status == 101


async def test_o4_an_upgrade_that_fails_gives_its_place_back() -> None:
    """O4: refused by the upstream, or left by its client, it holds no place of a tunnel."""
    black: Script = [head_of_request()]
    async with through(ALWAYS_OK, black, ALWAYS_OK, upstream="pool: {tunnels: 1}") as way:
        for _ in range(3):
            async with await way.proxy.client() as client:
                assert (await client.exchange(UPGRADE)).body == b"hi"
        pool = next(iter(way.proxy.server.state.pools._by_name.values()))
        assert pool._tunnel_places.taken == 0


# --- bodies that wait (O4) ----------------------------------------------------------------------


async def test_o4_gathered_bodies_have_a_limit_together() -> None:
    """O4: what is beyond it gets 503, the others go on, and at the end nothing is counted."""
    async with through(ALWAYS_OK) as way:
        gathered = way.proxy.server.state.uploads
        assert gathered.limit == 64 * MIB
        gathered.limit = 100_000
        head = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"
        first, second = way.client, await way.proxy.client()
        await first.send(head % 1 + bytes(59_999))
        await eventually(lambda: gathered.size == 59_999, "the first body")
        await second.send(head % 2 + bytes(59_999))
        refused = await second.response()
        assert (refused.status, refused.problem()["error"]) == (503, "overloaded")
        await first.send(b"x")
        assert (await first.response()).body == b"hi"
        assert gathered.size == 0
        assert [one.target for one in way.upstream.requests] == [b"/1"]
        await second.send(b"x")  # what is left of it is read, and the next request served
        assert (await second.exchange(head % 3 + bytes(60_000))).body == b"hi"
        second.reset()


@pytest.mark.parametrize("how", ["leaves", "refused"])
async def test_o4_a_body_that_never_goes_out_is_no_longer_counted(how: str) -> None:
    """O4: its client leaves, or its framing breaks: the place is free."""
    chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    length = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    async with through(ALWAYS_OK) as way:
        gathered = way.proxy.server.state.uploads
        if how == "leaves":
            await way.client.send(length + bytes(500))
            await eventually(lambda: gathered.size == 500, "the body")
            way.client.reset()
        else:
            await way.client.send(chunks + b"3\r\nabc\r\nzz\r\n")
            assert (await way.client.response()).status == 400
        await eventually(lambda: way.proxy.server.state.open_exchanges == 0, "the end")
        assert gathered.size == 0


# --- upstreams that send more than they were asked for (S12) ------------------------------------

EXCESS = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"


@pytest.mark.parametrize("when", ["with the response", "while idle", "before the next request"])
async def test_s12_an_upstream_that_showed_excess_is_not_reused_for_a_minute(when: str) -> None:
    """S12: what it sends late cannot be distinguished from the next response; it is logged once."""
    more = asyncio.Event()
    first: Script = [request(), send(EXCESS if when == "with the response" else OK), wait(more)]
    if when != "with the response":
        first.append(send(EXCESS))
    again: Script = [request(), send(EXCESS)]
    async with through(first, again, ALWAYS_OK) as (client, proxy, upstream):
        warned: list[str] = []
        proxy.server.state.reports.on_excess = lambda one: warned.append(one.name)
        assert (await client.exchange(GET)).body == b"hi"
        if when == "while idle":
            more.set()
            await patiently(upstream.connections[0].peer_ended.wait(), "the end")
        elif when == "before the next request":
            upstream.connections[0].sock.send(EXCESS)  # no turn of the loop lies between the two
        for number in range(3):
            assert (await client.exchange(GET)).body == b"hi"
            assert len(upstream.connections) == number + 2
        assert warned == ["legacy"]
        pool = next(iter(proxy.server.state.pools._by_name.values()))
        pool._clock.now += 61
        for _ in range(3):
            assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 5
        more.set()


async def test_s12_excess_on_one_connection_ends_the_other_idle_ones() -> None:
    """S12: an upstream that was wrong once may be so on any of them."""
    go = asyncio.Event()
    both: Script = [request(), wait(go), send(OK)]
    keep = "pool: {idle: 60s}"
    async with through(both, both, ALWAYS_OK, upstream=keep) as (client, proxy, upstream):
        async with await proxy.client() as other:
            await client.send(GET)
            await other.send(GET)
            await eventually(lambda: len(upstream.requests) == 2, "both requests")
            go.set()
            assert (await client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        await upstream.connections[0].send(b"x")
        for one in upstream.connections:
            await patiently(one.peer_ended.wait(), "its end")


async def test_s12_reuse_never_gives_each_request_a_connection_of_its_own() -> None:
    """S12, `pool.reuse`: so what an upstream sends too much or too late reaches nobody."""
    async with through(ALWAYS_OK, upstream="pool: {reuse: never}") as (client, proxy, upstream):
        for number in range(5):
            assert (await client.exchange(GET)).body == b"hi"
            assert len(upstream.connections) == number + 1
        assert not next(iter(proxy.server.state.pools._by_name.values()))._allocation.idle


# --- who waits for a connection (P2, F2) --------------------------------------------------------


@pytest.mark.parametrize("reuse", ["always", "never"])
async def test_p2_who_queues_when_an_upstream_changes_is_still_served(reuse: str) -> None:
    """P2: requests that wait for a connection finish under the configuration that they began with."""
    go = asyncio.Event()
    slow: Script = [request(), wait(go), send(OK), *ALWAYS_OK]
    pool = f"pool: {{max_connections: 1, queue: 60s, reuse: {reuse}}}"
    async with ScriptedUpstream(slow, ALWAYS_OK) as upstream:
        config = one_route(upstream.url, upstream=pool)
        async with running_proxy(config) as proxy:
            clients = [await proxy.client() for _ in range(5)]
            for client in clients:
                await client.send(GET)
            await eventually(lambda: proxy.server.state.open_exchanges == 5, "the requests")
            changed = config.replace("queue: 60s", "queue: 61s")
            proxy.server.state.replace_config(config_of(changed))
            async with await proxy.client() as newer:
                assert (await newer.exchange(GET)).body == b"hi"
            go.set()
            for client in clients:
                assert (await client.response()).body == b"hi"
                client.close()


async def test_f2_an_upstream_that_speaks_first_leaves_nobody_waiting() -> None:
    """F2, S12: its bytes are not a response, its connection is closed, and the request gets a 502."""
    keys = "timeouts: {connect: 0s, response_header: 0s}\npool: {reuse: never}"
    async with through([send(OK)], upstream=keys) as way:
        for _ in range(20):
            async with await way.proxy.client() as client:
                assert (await client.exchange(GET)).status in {200, 502}
        assert len(way.upstream.connections) <= 20


async def test_f2_a_connection_that_is_lost_before_its_request_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: it was opened, and is gone before who asked for it gets it: 502 at once."""
    opened = Connector.open

    async def lose(
        self: Connector, factory: Callable[[], asyncio.Protocol]
    ) -> tuple[asyncio.Protocol, socket.socket]:
        protocol, sock = await opened(self, factory)
        assert isinstance(protocol, UpstreamConnection)
        protocol.close()
        await eventually(lambda: sock.fileno() < 0, "the end of the connection")
        return protocol, sock

    monkeypatch.setattr(Connector, "open", lose)
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_closed")


async def test_f7_small_chunks_behind_a_slow_client_all_arrive() -> None:
    """F7, S9: what was left for the next turn when the client stopped is read when it goes on."""
    chunk, count = b"50\r\n%b\r\n" % bytes(80), 200_000
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script: Script = [request(), send(head), pour(len(chunk) * count, chunk), send(b"0\r\n\r\n")]
    async with through(script) as way:
        shrink_buffers(way.client)
        await way.client.send(GET)
        await stalled(way)
        assert len((await way.client.response()).body) == 80 * count
