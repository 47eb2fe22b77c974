"""How large a request's body may be (forwarding.md O5, S10; configuration.md L20)."""

import asyncio

import pytest

from tests.support.proxy import through
from tests.support.upstream import (
    Script,
    UpstreamConnection,
    head_of_request,
    repeat,
    request,
    send,
    tell,
    until,
)
from tests.support.wire import End, patiently

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]
ORIGIN = "https://app.example.com"
POLICY = f"cors: {{allow_origins: ['{ORIGIN}']}}"


def announced(size: int, more: bytes = b"") -> bytes:
    """Return the head of a request that announces the length of its body."""
    return b"POST / HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n" % (more, size)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(size: int, piece: int = 1000) -> bytes:
    """Return `size` bytes in chunks of at most `piece`, without the last one."""
    parts = [piece] * (size // piece) + [size % piece] * bool(size % piece)
    return b"".join(b"%x\r\n%b\r\n" % (part, b"x" * part) for part in parts)


@pytest.mark.parametrize(
    "keys",
    [
        {"server": "limits: {max_body: 1KiB}"},
        {"route": "max_body: 1KiB"},
        {"server": "limits: {max_body: 1MiB}", "route": "max_body: 1KiB"},
        {"server": "limits: {max_body: 10}", "route": "max_body: 1KiB"},
    ],
    ids=["server", "route", "route is smaller", "route is larger"],
)
async def test_o5_the_limit_is_the_last_size_that_passes(keys: dict[str, str]) -> None:
    """O5: the route's own, else the server's; by length and by count."""
    async with through(ALWAYS_OK, **keys) as (client, proxy, upstream):
        assert (await client.exchange(announced(1024) + b"x" * 1024)).status == 200
        assert (await client.exchange(CHUNKED + chunks(1024) + b"0\r\n\r\n")).status == 200
        assert [one.body for one in upstream.requests] == [b"x" * 1024] * 2
        for data in (announced(1025) + b"x" * 1025, CHUNKED + chunks(1025) + b"0\r\n\r\n"):
            async with await proxy.client() as other:
                answer = await other.exchange(data)
                assert (answer.status, answer.problem()["error"]) == (413, "body_too_large")
        assert len(upstream.requests) == 2


async def test_o5_none_is_no_limit() -> None:
    """O5, L20: 0, the default; and 0 of a route that lifts the server's."""
    async with through(ALWAYS_OK, server="limits: {max_body: 10}", route="max_body: 0") as way:
        assert (await way.client.exchange(announced(300_000) + b"x" * 300_000)).status == 200


async def test_o5_an_announced_size_is_refused_at_once() -> None:
    """O5: before a byte of the body came, with the CORS headers of the route (cors.md 62)."""
    origin = b"Origin: %b\r\n" % ORIGIN.encode()
    async with through(ALWAYS_OK, route=f"{POLICY}\nmax_body: 1KiB") as (client, _, upstream):
        answer = await client.exchange(announced(1 << 40, origin))
        assert answer.status == 413
        assert answer.head.cors() == {"access-control-allow-origin": ORIGIN}
        assert answer.head.value("connection") == b"close"
        assert upstream.connections == []


async def test_o5_no_100_is_sent_for_what_will_be_refused() -> None:
    """H14: 100 only once the limits have passed."""
    async with through(ALWAYS_OK, route="max_body: 1KiB") as (client, _, _):
        answer = await client.exchange(announced(2000, b"Expect: 100-continue\r\n"))
        assert (answer.status, answer.interim) == (413, ())


async def test_o5_a_body_that_grows_too_large_is_never_a_complete_request() -> None:
    """O5, S13: it streamed already; the upstream's connection ends without the last chunk."""
    script, begun = [head_of_request()], asyncio.Event()
    async with through([*script, tell(begun)], route="max_body: 100KiB") as (client, _, upstream):
        await client.send(CHUNKED + chunks(50_000))
        await patiently(begun.wait(), "the head to be forwarded")
        connection = upstream.connections[0]
        await client.send(chunks(60_000))
        answer = await client.response()
        assert (answer.status, answer.problem()["error"]) == (413, "body_too_large")
        await patiently(connection.peer_ended.wait(), "the end of the upload", 1.0)
        assert not connection.received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("head", [announced(5_000_000), CHUNKED], ids=["length", "chunked"])
async def test_s10_who_still_sends_hears_the_413(head: bytes) -> None:
    """S10: what arrives for a while is discarded, so that no reset hides the response."""
    async with through(ALWAYS_OK, route="max_body: 1KiB") as (client, _, _):
        body = b"x" * 5_000_000 if head != CHUNKED else chunks(5_000_000)
        sending = asyncio.ensure_future(client.send(head + body))
        assert (await client.response()).status == 413
        await patiently(sending, "the rest of the body to be sent")
        client.finish()
        assert await client.ending() is End.FIN


async def test_s10_who_never_stops_is_cut_off() -> None:
    """S10: for up to 2 s."""
    async with through(ALWAYS_OK, route="max_body: 1KiB") as (client, _, _):
        pouring = asyncio.ensure_future(client.pour(1 << 40, b"x" * 65536))
        head = announced(1 << 41)
        await client.send(head)
        assert (await client.response()).status == 413
        await patiently(client.until_end(), "the end")
        await patiently(pouring, "the sender to be cut off", 4.0)


async def test_f5_a_response_that_came_first_is_not_replaced() -> None:
    """F5, O5: the upstream has responded; how long the body grows afterwards does not matter."""
    early = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbig"
    async with through([head_of_request(), send(early)], route="max_body: 2KiB") as (client, _, _):
        await client.send(CHUNKED + chunks(1000))
        answer = await client.response()
        assert (answer.status, answer.body) == (200, b"big")
        await client.send(chunks(5000))
        assert client.unread == b""


async def test_f5_the_limit_cuts_no_response_that_has_begun() -> None:
    """F5, O5, S10: the rest of the upload is dropped uncounted; behind the response S10 bounds it."""
    ticks: asyncio.Queue[bytes] = asyncio.Queue()

    async def tick(connection: UpstreamConnection) -> None:
        for _ in range(4):
            await connection.send(await ticks.get())

    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\n"
    script: Script = [until(b"x" * 1000), send(early), tick]
    async with through(script, ALWAYS_OK, route="max_body: 2KiB") as (client, _, upstream):
        await client.send(CHUNKED + chunks(1000))
        await client.until(b"\r\n\r\n")
        await client.send(chunks(5000))
        for byte in (b"b", b"i", b"g", b"!"):  # each way and back is a turn of the proxy's loop
            ticks.put_nowait(byte)
            assert await client.exactly(1) == byte
        assert upstream.connections[0].received.endswith(b"\r\n\r\n" + chunks(1000))
        next_one = CHUNKED + chunks(1000) + b"0\r\n\r\n"
        assert (await client.exchange(chunks(5000) + b"0\r\n\r\n" + next_one)).status == 200
        assert [one.body for one in upstream.requests] == [b"x" * 1000]


async def test_f5_an_upload_without_end_ends_its_connection_behind_the_response() -> None:
    """F5, S10: 64 KiB of the rest are read, whatever `max_body` is, and no more."""
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    async with through([head_of_request(), send(early)], route="max_body: 1MiB") as way:
        assert (await way.client.exchange(CHUNKED + chunks(1000))).body == b"big"
        await way.client.send(chunks(100_000))
        assert await way.client.ending() is End.FIN
        assert len(way.upstream.connections) == 1
