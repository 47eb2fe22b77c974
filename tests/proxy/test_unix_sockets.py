"""Unix sockets on both sides, end to end (configuration.md L22)."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corsproxy.policy.compiled import UnixAddress
from corsproxy.runtime.service import Service
from corsproxy.runtime.sockets import CannotStart
from tests.support.client import RawClient
from tests.support.proxy import config_of, one_route, running_proxy
from tests.support.served import served
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, reset, send
from tests.support.wire import listen

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]


@asynccontextmanager
async def serving(path: Path, url: str, server: str = "") -> AsyncIterator[Service]:
    """Run the whole service, listening on the unix socket `path`."""
    config = one_route(url, server=server, more="health: {listen: off}")
    async with served(config_of(config.replace("127.0.0.1:8080", f"unix:{path}"))) as service:
        assert service.addresses == (UnixAddress(str(path)),)
        yield service


async def test_from_a_unix_socket_to_a_unix_socket(tmp_path: Path) -> None:
    """Both sides at once; connections to the upstream are reused, Host is localhost."""
    listener, path = tmp_path / "proxy.sock", str(tmp_path / "app.sock")
    async with ScriptedUpstream(ALWAYS_OK, path=path) as upstream:
        async with serving(listener, upstream.url), await RawClient.to(str(listener)) as client:
            for _ in range(3):
                assert (await client.exchange(GET)).body == b"hi"
        assert len(upstream.connections) == 1
        head = upstream.requests[0].head
        assert head.value("host") == b"localhost"
        # RFC 7239 6.2: a peer without an address.
        assert head.value("x-forwarded-for") == b"unknown"


async def test_who_comes_by_a_socket_may_be_believed(tmp_path: Path) -> None:
    """K3, L19 `trusted_proxies: [unix]`: a local proxy in front is trusted."""
    listener = tmp_path / "proxy.sock"
    asking = GET[:-2] + b"X-Forwarded-For: 1.1.1.1\r\n\r\n"
    async with ScriptedUpstream(ALWAYS_OK) as upstream:
        trusting = serving(listener, upstream.url, "trusted_proxies: [unix]")
        async with trusting, await RawClient.to(str(listener)) as client:
            assert (await client.exchange(asking)).status == 200
        told = upstream.requests[0].head.value("x-forwarded-for")
        assert told == b"1.1.1.1, unknown"


async def test_a_socket_is_gone_when_the_service_is(tmp_path: Path) -> None:
    """The path is a socket while it serves, and free afterwards."""
    listener = tmp_path / "proxy.sock"
    async with serving(listener, "http://127.0.0.1:9"):
        assert stat.S_ISSOCK(listener.stat().st_mode)
    assert not listener.exists()


async def test_a_socket_that_nobody_serves_is_taken_over(tmp_path: Path) -> None:
    """What a killed process left behind does not matter."""
    listener = tmp_path / "proxy.sock"
    listen(str(listener)).close()
    async with (
        ScriptedUpstream(ALWAYS_OK) as upstream,
        serving(listener, upstream.url),
        await RawClient.to(str(listener)) as client,
    ):
        assert (await client.exchange(GET)).status == 200


async def test_a_socket_that_somebody_serves_is_left_alone(tmp_path: Path) -> None:
    """R1: one clear line, exit 3; the other program goes on."""
    listener = tmp_path / "proxy.sock"
    with listen(str(listener)):
        with pytest.raises(CannotStart, match="another program listens there"):
            async with serving(listener, "http://127.0.0.1:9"):
                pass
        assert listener.exists()


async def test_an_upstream_socket_that_is_not_there_is_502() -> None:
    """F2, F8: no such socket, and no word of its path."""
    url = "unix:/nonexistent/app.sock"
    async with running_proxy(one_route(url)) as proxy, await proxy.client() as client:
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_unreachable")
        assert b"nonexistent" not in answer.body


async def test_a_kept_socket_that_died_is_replaced(tmp_path: Path) -> None:
    """F3: a GET goes on a new connection."""
    path = str(tmp_path / "app.sock")
    async with ScriptedUpstream(
        [request(), send(OK), request(), reset()], ALWAYS_OK, path=path
    ) as upstream:
        listener = tmp_path / "proxy.sock"
        async with serving(listener, upstream.url), await RawClient.to(str(listener)) as client:
            assert (await client.exchange(GET)).status == 200
            assert (await client.exchange(GET)).status == 200
        assert len(upstream.connections) == 2
