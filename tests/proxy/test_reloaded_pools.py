"""What a reload does to connections that are open to upstreams (forwarding.md P2, S12)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.proxy import Way, config_of, one_route, running_proxy
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    black_hole,
    repeat,
    request,
    send,
    wait,
)
from tests.support.wire import eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
KEPT = "pool: {idle: 60s}"


@asynccontextmanager
async def way_to(*scripts: Script, keys: str = KEPT) -> AsyncIterator[tuple[Way, str]]:
    """Run a proxy before an upstream with these keys; yield its configuration, too."""
    async with ScriptedUpstream(*scripts) as upstream:
        text = one_route(upstream.url, upstream=keys, server="limits: {max_headers: 99}")
        async with running_proxy(text) as proxy, await proxy.client() as client:
            yield Way(client, proxy, upstream), text


def reload(way: Way, text: str) -> None:
    """Bring another configuration into force."""
    way.proxy.server.state.replace_config(config_of(text))


async def test_p2_an_unchanged_upstream_keeps_its_connections() -> None:
    """P2: whatever else changes, its idle connection serves the next request."""
    async with way_to(ALWAYS_OK) as (way, text):
        for limit in (100, 101, 102):
            assert (await way.client.exchange(GET)).body == b"hi"
            reload(way, text.replace("max_headers: 99", f"max_headers: {limit}"))
        assert (await way.client.exchange(GET)).body == b"hi"
        assert len(way.upstream.connections) == 1


async def test_p2_an_upstream_is_unchanged_if_only_its_line_moved() -> None:
    """P2: a comment above it throws no connection away."""
    async with way_to(ALWAYS_OK) as (way, text):
        assert (await way.client.exchange(GET)).body == b"hi"
        reload(way, f"# a comment\n\n{text}")
        assert (await way.client.exchange(GET)).body == b"hi"
        assert len(way.upstream.connections) == 1


async def test_p2_an_unchanged_upstream_stays_full() -> None:
    """P2, O3: its limit counts the connections from before the reload."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK), repeat(request(), send(OK))]
    async with way_to(held, keys="pool: {max_connections: 1, queue: 5s}") as (way, text):
        await way.client.send(GET)
        await way.upstream.connection(0)
        reload(way, text)
        async with await way.proxy.client() as other:
            await other.send(GET)
            await eventually(
                lambda: way.proxy.server.state.open_exchanges == 2, "the second request"
            )
            go.set()
            assert (await way.client.response()).body == b"hi"
            assert (await other.response()).body == b"hi"
        assert len(way.upstream.connections) == 1


async def test_p2_an_unchanged_upstream_keeps_its_circuit() -> None:
    """P2, O7: a reload does not make an upstream well again."""
    keys = "timeouts: {response_header: 50ms}\ncircuit_breaker: {failures: 1, open: 60s}"
    async with way_to([request(), black_hole()], keys=keys) as (way, text):
        assert (await way.client.exchange(GET)).status == 504
        reload(way, text)
        assert (await way.client.exchange(GET)).problem()["error"] == "upstream_circuit_open"


async def test_p2_a_changed_upstream_gets_new_connections() -> None:
    """P2: its idle ones were made under other settings; they are closed."""
    async with way_to(ALWAYS_OK) as (way, text):
        assert (await way.client.exchange(GET)).body == b"hi"
        reload(way, text.replace("idle: 60s", "idle: 61s"))
        assert (await way.client.exchange(GET)).body == b"hi"
        first, _ = way.upstream.connections
        await patiently(first.peer_ended.wait(), "the end of the idle connection")


async def test_p2_an_upstream_that_moved_is_found_under_its_name() -> None:
    """P2: the next request goes to the new address, and only there."""
    async with way_to(ALWAYS_OK) as (way, text), ScriptedUpstream(ALWAYS_OK) as other:
        assert (await way.client.exchange(GET)).body == b"hi"
        reload(way, text.replace(way.upstream.url, other.url))
        assert (await way.client.exchange(GET)).body == b"hi"
        assert (len(way.upstream.requests), len(other.requests)) == (1, 1)


async def test_p2_an_upstream_that_is_gone_has_no_connections_left() -> None:
    """P2: nobody can ask for it again, so its idle connection is closed at once."""
    async with way_to(ALWAYS_OK) as (way, text):
        assert (await way.client.exchange(GET)).body == b"hi"
        reload(way, text.replace("legacy", "modern"))
        (first,) = way.upstream.connections
        await patiently(first.peer_ended.wait(), "the end of the idle connection")


async def test_p2_a_connection_in_use_is_closed_when_its_response_ends() -> None:
    """P2: a request in flight gets its response on it, and no later one."""
    go = asyncio.Event()
    held: Script = [request(), wait(go), send(OK)]
    async with way_to(held, ALWAYS_OK) as (way, text):
        await way.client.send(GET)
        first = await way.upstream.connection(0)
        reload(way, text.replace("legacy", "modern"))
        go.set()
        assert (await way.client.response()).body == b"hi"
        await patiently(first.peer_ended.wait(), "the end of the connection")
