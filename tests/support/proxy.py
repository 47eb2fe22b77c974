"""The proxy under test, in this process, between a raw client and a scripted upstream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from textwrap import indent
from typing import NamedTuple

from corsproxy.config.load import load_text
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.proxy.server import ProxyServer
from tests.support.client import RawClient
from tests.support.messages import Field, Head
from tests.support.upstream import Script, ScriptedUpstream
from tests.support.wire import Address

# What the proxy adds by itself, to a request and to a response (forwarding.md H9, K3).
ADDED_UP = ("x-request-id", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
ADDED_DOWN = ("x-request-id", "via")


class Proxy(NamedTuple):
    """A running proxy: where it listens, and the server itself."""

    address: Address
    server: ProxyServer

    async def client(self) -> RawClient:
        """Connect a new raw client to it."""
        return await RawClient.to(self.address)


class Way(NamedTuple):
    """The way of a request: client, proxy, upstream."""

    client: RawClient
    proxy: Proxy
    upstream: ScriptedUpstream


def config_of(text: str) -> CompiledConfig:
    """Return the plan that a configuration text makes; any problem fails the test."""
    loaded = load_text(text, "test.yaml", {})
    assert loaded.config, f"{[str(problem) for problem in loaded.problems]}\n{text}"
    return loaded.config


def one_route(
    url: str,
    *,
    route: str = "",
    server: str = "",
    upstream: str = "",
    more: str = "",
) -> str:
    """Return a configuration with one route for everything to `url`.

    `route`, `server` and `upstream` are further keys of their sections, `more` further sections
    and routes, as YAML.
    """
    return "\n".join(
        [
            "version: 1",
            "server:",
            "  listen: 127.0.0.1:8080",
            indent(server, "  "),
            "upstreams:",
            "  legacy:",
            f"    url: {url}",
            indent(upstream, "    "),
            "routes:",
            "  - upstream: legacy",
            indent(route, "    "),
            more,
            "",
        ],
    )


@asynccontextmanager
async def running_proxy(config: str | CompiledConfig) -> AsyncIterator[Proxy]:
    """Run the proxy on a free loopback port; on leaving, end it at once and wait for its end."""
    compiled = config_of(config) if isinstance(config, str) else config
    server = ProxyServer(compiled)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "127.0.0.1", 0, backlog=1024)
    try:
        yield Proxy(listener.sockets[0].getsockname(), server)
    finally:
        listener.close()
        await server.shutdown(0.0)
        await listener.wait_closed()


@asynccontextmanager
async def through(
    *scripts: Script,
    route: str = "",
    server: str = "",
    upstream: str = "",
    more: str = "",
) -> AsyncIterator[Way]:
    """Put one client, the proxy and one upstream with these scripts in a row."""
    async with ScriptedUpstream(*scripts) as scripted:
        url = scripted.url
        config = one_route(url, route=route, server=server, upstream=upstream, more=more)
        async with running_proxy(config) as proxy, await proxy.client() as client:
            yield Way(client, proxy, scripted)


def as_sent(head: Head) -> tuple[Field, ...]:
    """Return a forwarded request's field lines less Host and what the proxy adds by itself."""
    return head.without("host", *ADDED_UP)


def as_answered(head: Head) -> tuple[Field, ...]:
    """Return a response's field lines less those that the proxy adds by itself."""
    return head.without(*ADDED_DOWN)


async def assert_untouched(way: Way) -> None:
    """Fail if the upstream has received anything: the first thing it may see is our marker."""
    async with await way.proxy.client() as client:
        await client.exchange(b"GET /marker HTTP/1.1\r\nHost: marker\r\n\r\n")
    assert [message.target for message in way.upstream.requests] == [b"/marker"], str(way.upstream)
    assert sum(map(len, way.upstream.received)) == len(way.upstream.requests[0].head.raw)
