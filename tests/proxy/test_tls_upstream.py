"""https upstreams: which are trusted, what is sent, what comes of a connection that breaks.

configuration.md L21; forwarding.md F1, F2, S12.
"""

import asyncio
import ssl
from pathlib import Path

import pytest

from corsproxy.proxy.upstream.resolve import Resolver
from tests.support.certificates import Authority, Pair
from tests.support.messages import Truncated
from tests.support.names import Names
from tests.support.proxy import one_route, running_proxy
from tests.support.tls import stream_server
from tests.support.wire import patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    """Return the certificate of an upstream on loopback."""
    return authority.sign("server", "DNS:api.test", "IP:127.0.0.1")


class Upstream:
    """An upstream that responds `OK`, and records server names and client certificates."""

    def __init__(self, pair: Pair) -> None:
        self.context = pair.serve()
        self.context.sni_callback = self._note
        self.names: list[str | None] = []
        self.connections = 0
        self.requests = 0
        self.client_names: list[object] = []

    def _note(self, _: object, name: str | None, __: ssl.SSLContext) -> None:
        self.names.append(name)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond until the peer ends."""
        self.connections += 1
        self.client_names.append(writer.get_extra_info("peercert"))
        while True:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            writer.write(OK)


def compiled(port: int, tls: str, more: str = "", host: str = "127.0.0.1") -> str:
    """Return a configuration with one https upstream, by default the loopback by its address."""
    keys = f"tls: {{{tls}}}\n{more}" if tls else more
    return one_route(f"https://{host}:{port}", upstream=keys)


async def test_requests_share_a_connection_that_was_verified(
    authority: Authority, server: Pair
) -> None:
    """S12: reuse works in spite of what TLS itself sends behind the handshake (session tickets)."""
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        config = compiled(port, f"ca_file: {authority.file}")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            for _ in range(5):
                assert (await client.exchange(GET)).body == b"hi"
        assert (upstream.connections, upstream.requests) == (1, 5)


async def test_the_name_that_is_asked_for_is_the_one_that_is_verified(
    authority: Authority, server: Pair
) -> None:
    """L21: `server_name` is sent as SNI and held against the certificate."""
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        tls = f"ca_file: {authority.file}, server_name: api.test"
        async with running_proxy(compiled(port, tls)) as proxy, await proxy.client() as client:
            assert (await client.exchange(GET)).status == 200
        assert upstream.names == ["api.test"]


@pytest.mark.parametrize("host", ["api.test", "api.test."])
async def test_the_root_dot_is_part_of_no_name_in_tls(
    host: str, authority: Authority, server: Pair
) -> None:
    """RFC 6066 3: SNI has no trailing dot, and neither has a name in a certificate (RFC 5280)."""
    upstream = Upstream(server)
    names = Names("127.0.0.1")
    async with stream_server(upstream.serve, upstream.context) as port:
        config = compiled(port, f"ca_file: {authority.file}", host=host)
        async with running_proxy(config) as proxy, await proxy.client() as client:
            proxy.server.state.pools.resolver = Resolver(names)
            assert (await client.exchange(GET)).status == 200
        assert upstream.names == ["api.test"]
        assert names.asked == [host]  # the resolver gets it: there it means something


async def test_server_name_counts_in_the_place_of_the_host(
    authority: Authority, server: Pair
) -> None:
    """L21: a host that the certificate does not name is verified by `server_name`."""
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        tls = f"ca_file: {authority.file}, server_name: api.test"
        config = compiled(port, tls, host="www.test.")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            proxy.server.state.pools.resolver = Resolver(Names("127.0.0.1"))
            assert (await client.exchange(GET)).status == 200
        assert upstream.names == ["api.test"]


async def test_an_address_is_no_name_to_ask_for(authority: Authority, server: Pair) -> None:
    """RFC 6066 3: an IP literal is verified by the certificate and not sent as SNI."""
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        tls = f"ca_file: {authority.file}"
        async with running_proxy(compiled(port, tls)) as proxy, await proxy.client() as client:
            assert (await client.exchange(GET)).status == 200
        assert upstream.names == [None]


@pytest.mark.parametrize("case", ["system authorities", "another authority", "another name"])
async def test_whom_nobody_vouches_for_is_not_believed(
    case: str, authority: Authority, server: Pair, tmp_path: Path
) -> None:
    """F2, F8: 502 `upstream_tls`, no request was sent, and nothing of the reason is disclosed."""
    other = Authority(tmp_path, "other") if case == "another authority" else authority
    tls = {
        "system authorities": "",
        "another authority": f"ca_file: {other.file}",
        "another name": f"ca_file: {authority.file}, server_name: www.test",
    }[case]
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        async with running_proxy(compiled(port, tls)) as proxy, await proxy.client() as client:
            answer = await client.exchange(GET)
            assert (answer.status, answer.problem()["error"]) == (502, "upstream_tls")
            assert b"certificate" not in answer.body
        assert upstream.requests == 0


async def test_verification_is_off_only_where_that_is_written(server: Pair) -> None:
    """L21: `insecure_skip_verify`."""
    upstream = Upstream(server)
    async with stream_server(upstream.serve, upstream.context) as port:
        tls = "insecure_skip_verify: true"
        async with running_proxy(compiled(port, tls)) as proxy, await proxy.client() as client:
            assert (await client.exchange(GET)).status == 200


async def test_an_upstream_that_wants_a_certificate_gets_it(
    authority: Authority, server: Pair
) -> None:
    """L21: `cert_file` and `key_file`; without them the handshake fails: 502."""
    client_pair = authority.sign("proxy")
    upstream = Upstream(server)
    upstream.context.load_verify_locations(authority.file)
    upstream.context.verify_mode = ssl.CERT_REQUIRED
    ca = f"ca_file: {authority.file}"
    own = f"cert_file: {client_pair.cert}, key_file: {client_pair.key}"
    async with stream_server(upstream.serve, upstream.context) as port:
        async with (
            running_proxy(compiled(port, f"{ca}, {own}")) as proxy,
            await proxy.client() as client,
        ):
            assert (await client.exchange(GET)).status == 200
        assert "proxy" in str(upstream.client_names)
        async with running_proxy(compiled(port, ca)) as proxy, await proxy.client() as client:
            assert (await client.exchange(GET)).status == 502
        assert upstream.requests == 1


async def test_a_handshake_that_never_ends_is_a_connection_that_did_not_come() -> None:
    """F2, O1: `connect` limits the handshake, too: 504."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with stream_server(silent) as port:
        config = compiled(port, "", "timeouts: {connect: 100ms}")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            answer = await client.exchange(GET)
            assert (answer.status, answer.problem()["error"]) == (504, "upstream_connect_timeout")


async def test_a_peer_that_speaks_no_tls_is_no_upstream() -> None:
    """F2: junk or an end in place of a handshake: 502 `upstream_tls`."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        writer.close()

    async with (
        stream_server(plain) as port,
        running_proxy(compiled(port, "")) as proxy,
        await proxy.client() as client,
    ):
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_tls")


@pytest.mark.parametrize("on_purpose", [True, False])
async def test_a_body_that_only_the_end_delimits_ends_by_tls_alone(
    authority: Authority,
    server: Pair,
    on_purpose: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """F1, RFC 9112 9.8: a FIN without close_notify could be anybody's: the response is cut, not whole."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        if on_purpose:
            writer.close()
            await writer.wait_closed()

    async with stream_server(serve, server.serve()) as port:
        config = compiled(port, f"ca_file: {authority.file}")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            await client.send(GET)
            if on_purpose:
                assert (await client.response()).body == b"hello"
            else:
                with pytest.raises(Truncated) as caught:
                    await client.response()
                assert caught.value.body == b"hello"


async def test_bytes_that_nobody_asked_for_end_the_connection(
    authority: Authority, server: Pair
) -> None:
    """S12: over TLS, too, a pushed response is nobody's."""
    answered, pushed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if not answered.is_set():
            await answered.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            pushed.set()
        await reader.read()

    async with stream_server(serve, server.serve()) as port:
        config = compiled(port, f"ca_file: {authority.file}", "pool: {idle: 60s}")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            assert (await client.exchange(GET)).body == b"hi"
            answered.set()
            await patiently(pushed.wait(), "the poison to be on its way")
            assert (await client.exchange(GET)).body == b"hi"


async def test_large_bodies_pass_both_ways(authority: Authority, server: Pair) -> None:
    """H11, F7: 8 MiB up and down over TLS, byte for byte."""
    body = bytes(range(256)) * 4096 * 8

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came = await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(came) + came)
        await writer.drain()
        await reader.read()

    async with stream_server(echo, server.serve()) as port:
        config = compiled(port, f"ca_file: {authority.file}")
        async with running_proxy(config) as proxy, await proxy.client() as client:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
            await client.send(head + body)
            assert (await client.response()).body == body
