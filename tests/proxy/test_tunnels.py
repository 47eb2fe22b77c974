"""Connections that become tunnels: who gets one, what passes, how it ends.

forwarding.md H13, H17, S8, F6, F7; cors.md 54 is tested with the decisions.
"""

import asyncio

import pytest

from tests.support.kernel import held_between, shrink_buffers
from tests.support.messages import Response, read_head
from tests.support.proxy import Way, through
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
    tell,
    wait,
)
from tests.support.wire import End, patiently

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
SWITCHED = SWITCH % b"websocket"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def asking(protocol: bytes = b"websocket", more: bytes = b"") -> bytes:
    """Return a request to upgrade to `protocol`."""
    return (
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %b\r\n%b\r\n"
        % (
            protocol,
            more,
        )
    )


async def echo(connection: UpstreamConnection) -> None:
    """Send back what comes, until the peer ends; then end too."""
    while connection.end is None:
        await connection.send(connection._take(len(connection.unread)))
        await connection.more()
    if connection.end is End.FIN:
        connection.finish()


TUNNEL: Script = [head_of_request(), send(SWITCHED), echo]


async def opened(way: Way, data: bytes | None = None) -> Response:
    """Ask for a tunnel and return the 101."""
    answer = await way.client.exchange(asking() if data is None else data)
    assert answer.status == 101, str(way.client)
    return answer


async def test_h17_a_websocket_handshake_passes_with_what_belongs_to_it() -> None:
    """H17: the handshake's fields arrive as they were sent, both ways; Connection is written anew."""
    switched = SWITCHED[:-2] + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    ours = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    async with through([head_of_request(), send(switched), echo]) as way:
        answer = await opened(way, asking(more=ours))
        assert answer.head.value("sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.head.values("connection") == [b"Upgrade"]
        assert answer.head.values("upgrade") == [b"websocket"]
        sent = way.upstream.requests[0].head
        assert sent.values("connection") == [b"Upgrade"]
        assert sent.values("upgrade") == [b"websocket"]
        assert sent.value("sec-websocket-key") == b"dGhlIHNhbXBsZSBub25jZQ=="
        assert sent.value("sec-websocket-version") == b"13"


async def test_h17_bytes_pass_untouched_whatever_they_look_like() -> None:
    """H17: what is behind the 101 is nobody's HTTP: heads, chunks, NUL, all byte values."""
    looks = bytes(range(256)) + b"GET / HTTP/1.1\r\nHost: b\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
    async with through(TUNNEL) as way:
        await opened(way)
        await way.client.send(looks)
        assert await way.client.exactly(len(looks)) == looks
        assert len(way.upstream.requests) == 1


async def test_h17_a_protocol_that_the_route_lists_is_tunnelled() -> None:
    """H17, RFC 9110 7.8: names of protocols are case-insensitive."""
    script: Script = [head_of_request(), send(SWITCH % b"MyProto/2"), echo]
    async with through(script, route="upgrades: [myproto/2]") as way:
        await opened(way, asking(b"MYPROTO/2"))
        await way.client.send(b"hello")
        assert await way.client.exactly(5) == b"hello"


@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.0", b"foo", b"h2c, websocket", b"websocketx"])
async def test_h17_any_other_upgrade_goes_on_as_an_ordinary_request(protocol: bytes) -> None:
    """H17: without Upgrade, its Connection token and HTTP2-Settings; the connection is kept."""
    data = asking(protocol, b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n")
    async with through([repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        assert (await client.exchange(data)).status == 200
        names = upstream.requests[0].head.names()
        assert not {"upgrade", "connection", "http2-settings"} & set(names)


async def test_h17_a_route_that_lists_none_tunnels_not_even_websocket() -> None:
    """H17: `upgrades: []`."""
    script: Script = [repeat(request(), send(OK))]
    async with through(script, route="upgrades: []") as (client, _, upstream):
        assert (await client.exchange(asking())).status == 200
        assert upstream.requests[0].head.value("upgrade") is None


async def test_h17_an_upgrade_without_its_connection_token_is_none() -> None:
    """RFC 9110 7.8: Upgrade counts only where Connection lists it."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"
    async with through([repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        assert upstream.requests[0].head.value("upgrade") is None


OLD = asking().replace(b"HTTP/1.1", b"HTTP/1.0")


async def test_h17_an_upgrade_on_http_1_0_is_ignored() -> None:
    """H17, RFC 9110 7.8: the request is an ordinary one, and its connection is kept as it asks."""
    async with through([repeat(request(), send(OK))]) as (client, _, upstream):
        for _ in range(2):
            answer = await client.exchange(OLD)
            assert (answer.status, answer.head.value("connection")) == (200, b"keep-alive")
        for seen in upstream.requests:
            assert not {"upgrade", "connection"} & set(seen.head.names())


async def test_h17_an_upgrade_on_http_1_0_may_have_a_body() -> None:
    """H17, S8: nothing is tunnelled behind it, so where the body ends is clear."""
    body = OLD[:-2] + b"Content-Length: 2\r\n\r\nhi"
    async with through([repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(body)).status == 200
        assert [one.body for one in upstream.requests] == [b"hi"]


async def test_h13_a_101_to_http_1_0_is_invalid() -> None:
    """H13: the upgrade was ignored, so nobody asked for another protocol: 502."""
    async with through([request(), send(SWITCHED)]) as way:
        answer = await way.client.exchange(OLD)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_invalid")


async def test_h13_a_101_to_a_request_that_was_stripped_is_invalid() -> None:
    """H13: the upstream switches to what was not asked for: 502, and nothing tunnels."""
    async with through([request(), send(SWITCH % b"h2c" + b"PRI * HTTP/2.0\r\n\r\n")]) as way:
        answer = await way.client.exchange(asking(b"h2c"))
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_invalid")


async def test_h13_a_101_to_another_protocol_is_invalid() -> None:
    """H13: asked for websocket, switched to something else."""
    async with through([head_of_request(), send(SWITCH % b"foo")]) as way:
        answer = await way.client.exchange(asking())
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_invalid")


async def test_s8_bytes_behind_the_request_wait_for_the_101() -> None:
    """S8: the upstream sees the first byte of the other protocol only after it has switched."""
    asked, go = asyncio.Event(), asyncio.Event()
    script: Script = [head_of_request(), tell(asked), wait(go), send(SWITCHED), echo]
    async with through(script) as way:
        await way.client.send(asking() + b"early")
        await patiently(asked.wait(), "the request")
        connection = way.upstream.connections[0]
        await way.client.send(b" and eager")
        assert connection.unread == b""
        go.set()
        assert (await way.client.response()).status == 101
        assert await way.client.exactly(15) == b"early and eager"
        assert connection.received.endswith(b"\r\n\r\nearly and eager")


async def test_s8_an_upgrade_that_is_refused_ends_the_connection() -> None:
    """S8: what was sent behind it was meant for another protocol and is not a request."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    refusing: Script = [
        repeat(request(), send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
    ]
    async with through(refusing) as (client, _, upstream):
        answer = await client.exchange(asking() + smuggled)
        assert (answer.status, answer.body) == (403, b"no")
        assert answer.head.value("connection") == b"close"
        assert await client.ending() is End.FIN
        assert [one.target for one in upstream.requests] == [b"/chat"]


@pytest.mark.parametrize("framing", [b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_s8_an_upgrade_with_a_body_is_400(framing: bytes) -> None:
    """S8: it is unknown where the body ends and the other protocol begins."""
    async with through(TUNNEL) as (client, _, upstream):
        answer = await client.exchange(asking(more=framing))
        assert (answer.status, answer.problem()["error"]) == (400, "bad_upgrade")
        assert upstream.connections == []


async def test_an_upgrade_with_a_body_of_no_tunnelled_protocol_is_served() -> None:
    """H17, S8: Java clients send `Upgrade: h2c` with their POSTs."""
    body = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
    async with through([repeat(request(), send(OK))]) as (client, _, upstream):
        assert (await client.exchange(body)).status == 200
        assert upstream.requests[0].body == b"hi"


async def test_the_client_may_end_first_and_still_hear_the_rest() -> None:
    """H17: a half close passes through; what the upstream says after it arrives."""
    ended = asyncio.Event()

    async def last_words(connection: UpstreamConnection) -> None:
        assert await connection.until_end() == b"that was all"
        assert connection.end is End.FIN
        ended.set()
        await connection.send(b"and this is the answer")

    async with through([head_of_request(), send(SWITCHED), last_words, close()]) as way:
        await opened(way)
        await way.client.send(b"that was all")
        way.client.finish()
        await patiently(ended.wait(), "the FIN to pass")
        assert await way.client.until_end() == b"and this is the answer"
        assert way.client.end is End.FIN


async def test_the_upstream_may_end_first_and_still_hear_the_rest() -> None:
    """H17: the same the other way round."""
    heard = asyncio.Event()

    async def listen(connection: UpstreamConnection) -> None:
        connection.finish()
        assert await connection.until_end() == b"last words"
        heard.set()

    async with through([head_of_request(), send(SWITCHED), listen]) as way:
        await opened(way)
        assert await way.client.until_end() == b""
        assert way.client.end is End.FIN
        await way.client.send(b"last words")
        way.client.finish()
        await patiently(heard.wait(), "the last words")


async def test_a_half_close_behind_much_data_loses_nothing() -> None:
    """H17, F7: 4 MiB, then a FIN, to an upstream that reads only later."""
    size, go, whole = 4 * 1024 * 1024, asyncio.Event(), asyncio.Event()

    async def read_late(connection: UpstreamConnection) -> None:
        shrink_buffers(connection)
        await go.wait()
        assert await connection.count(size + 1) == size
        assert connection.end is End.FIN
        whole.set()

    async with through([head_of_request(), send(SWITCHED), read_late]) as way:
        await opened(way)
        pouring = asyncio.ensure_future(way.client.pour(size, b"x" * 65536))
        go.set()
        await patiently(pouring, "the upload")
        way.client.finish()
        await patiently(whole.wait(), "all of it and the FIN")


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_f6_a_client_that_leaves_ends_the_tunnel(end: str) -> None:
    """F6: the upstream's side ends within 100 ms."""
    async with through(TUNNEL) as way:
        await opened(way)
        (way.client.reset if end == "reset" else way.client.close)()
        connection = way.upstream.connections[0]
        await patiently(connection.peer_ended.wait(), "the end of the tunnel", 0.1)


async def test_an_upstream_that_is_gone_ends_the_tunnel() -> None:
    """H17: both of its directions end at the upstream: nothing is left to tunnel."""

    async def leave(connection: UpstreamConnection) -> None:
        await connection.until(b"bye")
        connection.reset()

    async with through([head_of_request(), send(SWITCHED), leave]) as way:
        await opened(way)
        await way.client.send(b"bye")
        await way.client.ending()


async def test_a_tunnel_that_stays_silent_ends() -> None:
    """O1: after `tunnel_idle`, whatever `idle` and `total` say; a FIN to both."""
    timeouts = "timeouts: {idle: 1ms, total: 200ms, tunnel_idle: 500ms}"
    async with through(TUNNEL, upstream=timeouts) as way:
        await opened(way)
        started = asyncio.get_running_loop().time()
        assert await way.client.ending() is End.FIN
        assert asyncio.get_running_loop().time() - started >= 0.4
        connection = way.upstream.connections[0]
        await patiently(connection.peer_ended.wait(), "the end of the upstream's side")


@pytest.mark.parametrize("speaker", ["client", "upstream"])
async def test_whoever_speaks_keeps_the_tunnel_open(speaker: str) -> None:
    """O1: silence is when neither says anything; a word of either within the time is enough."""

    async def talk(connection: UpstreamConnection) -> None:
        for _ in range(8):
            await asyncio.sleep(0.1)
            await connection.send(b"tick")

    script = [head_of_request(), send(SWITCHED), talk if speaker == "upstream" else echo]
    async with through(script, upstream="timeouts: {tunnel_idle: 400ms}") as way:
        await opened(way)
        for _ in range(8):
            if speaker == "client":
                await asyncio.sleep(0.1)
                await way.client.send(b"tick")
            assert await way.client.exactly(4) == b"tick"


async def test_f7_a_tunnel_that_stalls_upwards_holds_little() -> None:
    """F7, O6: at most 256 KiB above the kernel's buffers while the upstream does not read."""
    async with through([head_of_request(), send(SWITCHED), black_hole()]) as way:
        await opened(way)
        connection = way.upstream.connections[0]
        pouring = asyncio.ensure_future(way.client.pour(1 << 30, bytes(65536)))
        before = way.client.sent
        held = await held_between(way.client, connection, lambda: way.client.sent - before)
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
        assert held <= 256 * 1024


async def test_f7_a_tunnel_that_stalls_downwards_holds_little() -> None:
    """F7, O6: the same while the client does not read."""
    async with through([head_of_request(), send(SWITCHED), pour(1 << 30)]) as way:
        shrink_buffers(way.client)
        await opened(way)
        connection = way.upstream.connections[0]
        head = connection.sent
        held = await held_between(connection, way.client, lambda: connection.sent)
        assert held <= 256 * 1024 + head


async def test_a_websocket_over_the_way_is_counted_once_it_is_over() -> None:
    """H17: while the tunnel lives its connection serves nobody else; a second one gets its own."""
    async with through(TUNNEL) as way:
        await opened(way)
        async with await way.proxy.client() as other:
            await other.send(asking())
            await read_head(other)
            await other.send(b"b")
            await way.client.send(b"a")
            assert (await other.exactly(1), await way.client.exactly(1)) == (b"b", b"a")
        assert len(way.upstream.connections) == 2
