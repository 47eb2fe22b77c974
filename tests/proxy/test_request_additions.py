"""What the proxy adds to requests and responses, on the wire: who asked, an id, Via.

forwarding.md H9, K3; operations.md M6, M7. Whose word is taken is in tests/proxy/http/test_forwarded.py.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from corsproxy.observe.record import Record
from corsproxy.proxy.server import ProxyServer
from tests.support.client import RawClient
from tests.support.proxy import config_of, one_route, through
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]


async def test_on_the_wire_a_stranger_is_overwritten() -> None:
    """K3, S6: and so are names that only look like these."""
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
        b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Anything: 6.6.6.6\r\n\r\n"
    )
    async with through(ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        head = upstream.requests[0].head
        assert b"6.6.6.6" not in head.raw
        assert head.value("x-forwarded-for") == b"127.0.0.1"
        assert head.value("x-forwarded-host") == b"a"


async def test_on_the_wire_a_trusted_proxy_is_believed() -> None:
    """K3, L19 `trusted_proxies` and `forwarded: both`."""
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n"
    )
    server, style = "trusted_proxies: [127.0.0.0/8]", "forwarded: both"
    async with through(ALWAYS_OK, server=server, upstream=style) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        head = upstream.requests[0].head
        assert head.value("x-forwarded-for") == b"6.6.6.6, 127.0.0.1"
        assert head.value("x-forwarded-proto") == b"https"
        assert head.value("forwarded") == (
            b"for=6.6.6.6;host=a;proto=https, for=127.0.0.1;host=a;proto=http"
        )


@pytest.mark.parametrize("line", [b'x="', b"junk", b"for=6.6.6.6;for=6.6.6.6", b"for=6.6.6.6:a=b"])
async def test_k3_on_the_wire_a_clients_line_does_not_hide_the_proxys(line: bytes) -> None:
    """K3: what the trusted proxy says counts, and an open quote swallows nothing upstream."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: %b\r\nForwarded: for=1.1.1.1\r\n\r\n"
    server = "trusted_proxies: [127.0.0.0/8]\ntrusted_headers: forwarded"
    style = "forwarded: both"
    async with through(ALWAYS_OK, server=server, upstream=style) as (client, _, upstream):
        assert (await client.exchange(data % line)).status == 200
        head = upstream.requests[0].head
        assert head.value("x-forwarded-for") == b"unknown, 1.1.1.1, 127.0.0.1"
        assert head.value("forwarded") == (
            b"for=unknown, for=1.1.1.1, for=127.0.0.1;host=a;proto=http"
        )


async def test_s6_no_name_that_the_proxy_writes_comes_in_another_spelling() -> None:
    """S6: whatever the proxy adds is found on the wire, and dropped in each spelling of a client's."""
    config = {"upstream": "forwarded: both", "route": "path: {strip_prefix: /api}"}
    ask = b"POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n%b\r\n0\r\n\r\n"
    script: Script = [repeat(request(), send(OK))]
    async with through(script, **config) as (client, _, upstream):
        await client.exchange(ask % b"")
        names = [name for name in upstream.requests[0].head.names() if "-" in name]
        assert {"x-request-id", "x-forwarded-prefix", "transfer-encoding"} <= set(names)
        spelled = [name.replace("-", "_") for name in names]
        spelled += [name.replace("-", "_", 1).upper() for name in names]
        await client.exchange(ask % b"".join(b"%b: 5\r\n" % name.encode() for name in spelled))
        assert [name for name in upstream.requests[1].head.names() if "_" in name] == []


@pytest.mark.parametrize("network", ["::ffff:127.0.0.1", "::ffff:127.0.0.0/104"])
async def test_p7_on_the_wire_an_ipv4_mapped_network_is_trusted_as_ipv4(network: str) -> None:
    """P7, K3: it named nobody, since every peer that it holds is known by its IPv4 address."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    server = f'trusted_proxies: ["{network}"]'
    async with through(ALWAYS_OK, server=server) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        assert upstream.requests[0].head.value("x-forwarded-for") == b"6.6.6.6, 127.0.0.1"


@pytest.mark.parametrize(
    ("family", "chain", "scheme"),
    [
        ("x-forwarded", b"1.1.1.1, 127.0.0.1", b"http"),
        ("forwarded", b"6.6.6.6, 127.0.0.1", b"https"),
    ],
)
async def test_k3_on_the_wire_only_the_configured_family_is_believed(
    family: str, chain: bytes, scheme: bytes
) -> None:
    """K3, L19 `trusted_headers`: the other one is removed, and decides nothing."""
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n"
        b"Forwarded: for=6.6.6.6;proto=https\r\n\r\n"
    )
    server = f"trusted_proxies: [127.0.0.0/8]\ntrusted_headers: {family}"
    async with through(ALWAYS_OK, server=server) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        head = upstream.requests[0].head
        assert head.value("x-forwarded-for") == chain
        assert head.value("x-forwarded-proto") == scheme
        assert head.value("forwarded") is None
        assert head.value("x-real-ip") == (b"1.1.1.1" if family == "x-forwarded" else None)


async def test_k3_a_reload_brings_another_family_into_force() -> None:
    """P2, K3: for the next request, on a connection that stays open."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
    server = "trusted_proxies: [127.0.0.0/8]"
    async with through(ALWAYS_OK, server=server) as (client, proxy, upstream):
        await client.exchange(data)
        other = one_route(upstream.url, server=f"{server}\ntrusted_headers: forwarded")
        proxy.server.state.replace_config(config_of(other))
        await client.exchange(data)
        told = [one.head.value("x-forwarded-for") for one in upstream.requests]
        assert told == [b"1.1.1.1, 127.0.0.1", b"127.0.0.1"]


async def test_k3_a_connection_header_takes_no_word_of_a_trusted_proxy_further() -> None:
    """H6, K3: a name that Connection lists is dropped, X-Real-IP like others."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 1.1.1.1\r\nConnection: x-real-ip\r\n\r\n"
    server = "trusted_proxies: [127.0.0.0/8]"
    async with through(ALWAYS_OK, server=server) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        assert upstream.requests[0].head.value("x-real-ip") is None


@asynccontextmanager
async def dual_stack(config: str, records: list[Record]) -> AsyncIterator[RawClient]:
    """Serve IPv4 clients by an IPv6 socket, as [::] does on most systems; connect one."""
    server = ProxyServer(config_of(config), (records.append,))
    bound = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind(("::ffff:127.0.0.1", 0))
    listener = await asyncio.get_running_loop().create_server(server, sock=bound)
    try:
        async with await RawClient.to(("127.0.0.1", bound.getsockname()[1])) as client:
            yield client
    finally:
        listener.close()
        await server.shutdown(0.0)
        await listener.wait_closed()


async def test_p7_an_ipv4_peer_of_an_ipv6_socket_is_an_ipv4_peer() -> None:
    """P7, K3: it is trusted as such, told as such and logged as such."""
    data = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"
    records: list[Record] = []
    async with ScriptedUpstream(ALWAYS_OK) as upstream:
        config = one_route(upstream.url, server="trusted_proxies: [127.0.0.0/8]")
        async with dual_stack(config, records) as client:
            assert (await client.exchange(data)).status == 200
            assert (await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
        told = [one.head.value("x-forwarded-for") for one in upstream.requests]
        assert told == [b"1.1.1.1, 127.0.0.1", b"127.0.0.1"]
        assert [record.client for record in records] == [b"1.1.1.1", b"127.0.0.1"]


async def test_the_stripped_prefix_is_told() -> None:
    """L18: `X-Forwarded-Prefix`."""
    route = "match: {path: /api/}\npath: {strip_prefix: /api}"
    async with through(ALWAYS_OK, route=route) as (client, _, upstream):
        assert (await client.exchange(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
        assert upstream.requests[0].target == b"/x"
        assert upstream.requests[0].head.value("x-forwarded-prefix") == b"/api"


async def test_the_request_id_is_kept_or_made() -> None:
    """H9, M6: one that could be an id is kept; others are made; the response has the same."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        for sent in (b"abc-123", None, b"a b", b"x" * 200):
            line = b"" if sent is None else b"X-Request-Id: %b\r\n" % sent
            answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % line)
            got = upstream.requests[-1].head.value("x-request-id")
            assert got == answer.head.value("x-request-id")
            assert (got == sent) is (sent == b"abc-123")
        assert len({one.head.value("x-request-id") for one in upstream.requests}) == 4


async def test_a_responses_own_request_id_stays() -> None:
    """H7: an upstream that has its own idea of the id is not corrected."""
    own = b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\nhi"
    async with through([request(), send(own)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.head.values("x-request-id") == [b"theirs"]


async def test_via_is_added_behind_what_is_there() -> None:
    """H9, RFC 9110 7.6.3: with the version that the peer spoke, both ways."""
    old = b"HTTP/1.0 200 OK\r\nVia: 1.1 before\r\nContent-Length: 2\r\n\r\nhi"
    async with through([request(), send(old)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 cache\r\n\r\n")
        assert upstream.requests[0].head.values("via") == [b"1.0 cache", b"1.1 corsproxy"]
        assert answer.head.values("via") == [b"1.1 before", b"1.0 corsproxy"]


async def test_trace_context_passes() -> None:
    """M7: `traceparent`, `tracestate` and `baggage` as they came."""
    lines = (
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        b"tracestate: a=1,b=2\r\nbaggage: user=7\r\n"
    )
    async with through(ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines)).status == 200
        assert lines in upstream.requests[0].head.raw
