"""When an upstream connection that nobody uses is given up: forwarding.md F4."""

import asyncio

from tests.support.client import RawClient
from tests.support.proxy import through
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send, tell, wait
from tests.support.wire import patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\nhi"
PLAIN: Script = [repeat(request(), send(OK % b""))]


def keeping(value: bytes) -> Script:
    """Return an upstream that announces how long it keeps a connection."""
    return [repeat(request(), send(OK % (b"Keep-Alive: %b\r\n" % value)))]


async def _kept_for(client: RawClient, upstream: ScriptedUpstream) -> float:
    assert (await client.exchange(GET)).body == b"hi"
    began = asyncio.get_running_loop().time()
    await patiently(upstream.connections[0].peer_ended.wait(), "the idle connection to be closed")
    return asyncio.get_running_loop().time() - began


async def test_f4_an_idle_connection_is_closed_after_a_second() -> None:
    """F4: by default, since a common server keeps two."""
    async with through(PLAIN) as (client, _, upstream):
        assert 0.8 < await _kept_for(client, upstream) < 1.5
        assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 2


async def test_f4_how_long_is_configurable() -> None:
    """F4: `pool.idle`."""
    async with through(PLAIN, upstream="pool: {idle: 2s}") as (client, _, upstream):
        assert 1.5 < await _kept_for(client, upstream) < 4.0


async def test_f4_what_the_upstream_says_is_honoured_less_a_second() -> None:
    """F4: `Keep-Alive: timeout=2, max=100` under an `idle` of a minute."""
    long = "pool: {idle: 60s}"
    async with through(keeping(b"timeout=2, max=100"), upstream=long) as (client, _, upstream):
        assert 0.8 < await _kept_for(client, upstream) < 1.5


async def test_f4_an_upstream_that_keeps_longer_changes_nothing() -> None:
    """F4: `Keep-Alive: timeout=600` does not keep a connection beyond `idle`."""
    async with through(keeping(b"timeout=600")) as (client, _, upstream):
        assert 0.8 < await _kept_for(client, upstream) < 3.0


async def test_f4_a_short_promise_is_not_hidden_behind_a_long_one() -> None:
    """F4: of two idle connections, the one that was given back last has to go first."""
    asked, go = asyncio.Event(), asyncio.Event()
    hasty: Script = [request(), tell(asked), wait(go), send(OK % b"Keep-Alive: timeout=1\r\n")]
    async with through(hasty, PLAIN, upstream="pool: {idle: 60s}") as (client, proxy, upstream):
        await client.send(GET)
        await patiently(asked.wait(), "the first request")
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).body == b"hi"
            go.set()
            assert (await client.response()).body == b"hi"
            closed = upstream.connections[0].peer_ended.wait()
            await patiently(closed, "the connection of the short promise to be closed", 1.0)
            assert upstream.connections[1].is_open
