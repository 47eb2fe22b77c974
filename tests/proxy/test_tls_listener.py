"""A listener that speaks TLS: who gets in, with which certificate, and what a renewal changes.

configuration.md L21, operations.md R8 ("certificates reloaded without dropping a connection"),
forwarding.md H20, K3, S10.
"""

import asyncio
import logging
import shutil
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from corsproxy.policy.compiled import ServerTls, TcpAddress
from corsproxy.runtime.sockets import CannotStart
from corsproxy.tls import renewal
from tests.support.certificates import Authority, Pair
from tests.support.proxy import config_of, one_route
from tests.support.served import served
from tests.support.tls import tls_client
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    close,
    head_of_request,
    repeat,
    request,
    send,
    until,
)
from tests.support.wire import Address, eventually, patiently

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> tuple[Pair, Pair]:
    """Return a certificate, and the one that comes after it."""
    return authority.sign("old", "DNS:localhost"), authority.sign("new", "DNS:localhost")


@pytest.fixture
def installed(pairs: tuple[Pair, Pair], tmp_path: Path) -> Pair:
    """Return the first certificate as it is installed for the proxy."""
    return Pair(*(Path(shutil.copy(file, tmp_path)) for file in pairs[0]))


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the files looked at in each handshake, not once a second."""
    monkeypatch.setattr(renewal, "_CHECK_INTERVAL", 0.0)


@asynccontextmanager
async def serving(
    pair: Pair, more: str = "", server: str = "", script: Script | None = None
) -> AsyncIterator[tuple[Address, ScriptedUpstream]]:
    """Run the whole service with TLS in front of a scripted upstream."""
    async with ScriptedUpstream(script or ALWAYS_OK) as upstream:
        keys = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}{more}}}\n{server}"
        config = one_route(upstream.url, server=keys, more="health: {listen: off}")
        compiled = config_of(config.replace("127.0.0.1:8080", "127.0.0.1:0"))
        async with served(compiled) as service:
            (address,) = service.addresses
            assert isinstance(address, TcpAddress)
            yield (address.host, address.port), upstream


def name_of(certificate: object) -> str:
    """Return the common name that a certificate was made for."""
    return "new" if "'new'" in str(certificate) else "old"


async def test_requests_over_tls_are_served_and_said_to_be_so(
    installed: Pair, authority: Authority
) -> None:
    """K3: the upstream receives `https`; several requests share one connection."""
    async with serving(installed) as (address, upstream):
        async with tls_client(address, authority.trust()) as client:
            for _ in range(3):
                head, body = await client.exchange(GET)
                assert (head.first_line, body) == (b"HTTP/1.1 200 OK", b"hi")
        assert [one.head.value("x-forwarded-proto") for one in upstream.requests] == [b"https"] * 3
        assert len(upstream.connections) == 1


async def test_http_1_1_is_what_is_agreed_on(installed: Pair, authority: Authority) -> None:
    """RFC 7301: a browser that offers h2 too is shown which of the two it is."""
    context = authority.trust()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(installed) as (address, _), tls_client(address, context) as client:
        spoken = client.writer.get_extra_info("ssl_object")
        assert spoken.selected_alpn_protocol() == "http/1.1"
        assert spoken.version() == "TLSv1.3"


async def test_a_renewed_certificate_is_shown_and_drops_nobody(
    installed: Pair, pairs: tuple[Pair, Pair], authority: Authority
) -> None:
    """R8: who comes later gets the new one, who is there goes on."""
    trust = authority.trust()
    async with serving(installed) as (address, _), tls_client(address, trust) as early:
        assert name_of(early.certificate) == "old"
        for new, file in zip(pairs[1], installed, strict=True):
            shutil.copy(new, file)
        async with tls_client(address, trust) as late:
            assert name_of(late.certificate) == "new"
            assert (await late.exchange(GET))[1] == b"hi"
        assert (await early.exchange(GET))[1] == b"hi"


async def test_a_broken_renewal_is_told_and_the_old_one_stays(
    installed: Pair, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """R8: half a renewal, such as a key that is not there yet, breaks nothing."""
    async with serving(installed) as (address, _):
        installed.key.write_text("half a key")
        with caplog.at_level(logging.ERROR, "corsproxy"):
            async with tls_client(address, authority.trust()) as client:
                assert name_of(client.certificate) == "old"
        assert [record.getMessage() for record in caplog.records] == [
            f"TLS files were not reloaded, the old ones stay in use: private key {installed.key}: it is not a private key in PEM"
        ]


async def test_without_a_certificate_of_theirs_clients_stay_outside(
    installed: Pair, authority: Authority, tmp_path: Path
) -> None:
    """L21 `client_ca_file`: one of its authorities has to have signed the client's."""
    mine, stranger = authority.sign("client"), Authority(tmp_path / "other", "other").sign("client")
    async with serving(installed, f", client_ca_file: {authority.file}") as (address, upstream):
        async with tls_client(address, authority.trust(mine)) as client:
            assert (await client.exchange(GET))[1] == b"hi"
        for pair in (None, stranger):
            async with tls_client(address, authority.trust(pair)) as client:
                with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                    await client.exchange(GET)
        assert len(upstream.requests) == 1


async def test_authorities_of_clients_are_renewed_too(
    installed: Pair, authority: Authority, tmp_path: Path
) -> None:
    """An authority that was taken out of the file lets nobody in any more."""
    other = Authority(tmp_path / "other", "other")
    file = tmp_path / "clients.crt"
    file.write_bytes(authority.file.read_bytes())
    mine, theirs = authority.sign("client"), other.sign("client")
    async with serving(installed, f", client_ca_file: {file}") as (address, _):
        file.write_bytes(other.file.read_bytes())
        async with tls_client(address, authority.trust(theirs)) as client:
            assert (await client.exchange(GET))[1] == b"hi"
        async with tls_client(address, authority.trust(mine)) as client:
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await client.exchange(GET)


class Session(NamedTuple):
    """What a client may come back with, whether it did just now, and the response."""

    session: ssl.SSLSession | None
    is_reused: bool
    response: bytes


async def resumed(to: Address, context: ssl.SSLContext, session: ssl.SSLSession | None) -> Session:
    """Sign in by TLS 1.2, with a session if there is one; return the new one and the outcome."""

    def ask() -> Session:
        with (
            socket.create_connection(to, 20) as sock,  # type: ignore[arg-type] # it is TCP
            context.wrap_socket(sock, server_hostname="localhost", session=session) as spoken,
        ):
            spoken.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            response = b"".join(iter(lambda: spoken.recv(4096), b""))
            return Session(spoken.session, bool(spoken.session_reused), response[:12])

    return await asyncio.to_thread(ask)


def by_tls_1_2(context: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context speak the older version, whose sessions the server remembers."""
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def test_a_session_gets_nobody_in_whose_authority_was_taken_out(
    installed: Pair, authority: Authority, tmp_path: Path
) -> None:
    """R8 `client_ca_file`: a resumed handshake shows no certificate, so none is resumed then."""
    other, file = Authority(tmp_path / "other", "other"), tmp_path / "clients.crt"
    shutil.copy(authority.file, file)
    mine = by_tls_1_2(authority.trust(authority.sign("client")))
    async with serving(installed, f", client_ca_file: {file}") as (to, upstream):
        first = await resumed(to, mine, None)
        assert first.response == b"HTTP/1.1 200"
        shutil.copy(other.file, file)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await resumed(to, mine, first.session)
        assert len(upstream.requests) == 1


async def test_a_session_with_a_certificate_ends_after_five_minutes(
    installed: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8 `client_ca_file`: the certificate is shown again, for it may have ended meanwhile."""
    assert renewal._SESSION_LIFETIME == 300.0
    mine = by_tls_1_2(authority.trust(authority.sign("client")))
    async with serving(installed, f", client_ca_file: {authority.file}") as (to, _):
        first = await resumed(to, mine, None)
        again = await resumed(to, mine, first.session)
        assert (again.is_reused, again.response) == (True, b"HTTP/1.1 200")
        monkeypatch.setattr(renewal, "_SESSION_LIFETIME", 0.0)
        later = await resumed(to, mine, first.session)
        assert (later.is_reused, later.response) == (False, b"HTTP/1.1 200")


async def test_sessions_of_clients_without_a_certificate_go_on(
    installed: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8 `server.tls`: nothing was proved that could end; files as they were stay in use."""
    monkeypatch.setattr(renewal, "_SESSION_LIFETIME", 0.0)
    files = ServerTls(cert_file=str(installed.cert), key_file=str(installed.key))
    open_to_all = renewal.listening_context(files)
    assert open_to_all.context() is open_to_all.context()
    guarded = renewal.listening_context(replace(files, client_ca_file=str(authority.file)))
    assert guarded.context() is not guarded.context()


def hello_for(name: bytes) -> bytes:
    """Return a ClientHello with a server name whose bytes are as given, of seven characters."""
    sent = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    begun = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.bcd.e")
    with pytest.raises(ssl.SSLWantReadError):
        begun.do_handshake()
    return sent.read().replace(b"a.bcd.e", name)


async def test_no_server_name_gets_on_the_terminal(
    installed: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P3: a name that is not ASCII is neither decoded nor reported with its bytes and a traceback."""
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    async with serving(installed) as (to, _):
        assert isinstance(to, tuple)
        reader, stranger = await asyncio.open_connection(*to)
        stranger.write(hello_for(b"\xff\xfe\x1b[31m"))
        await patiently(reader.read(1), "a ServerHello, or the end")
        stranger.transport.abort()
        async with tls_client(to, authority.trust()) as client:
            assert (await client.exchange(GET))[1] == b"hi"
    assert not reported


async def test_who_says_goodbye_over_tls_has_left(installed: Pair, authority: Authority) -> None:
    """H20, F6: TLS has no half close, whatever `half_close` says: the upstream request ends."""
    halting: Script = [head_of_request()]
    async with (
        serving(installed, server="half_close: answer", script=halting) as (
            address,
            upstream,
        ),
        tls_client(address, authority.trust()) as client,
    ):
        client.writer.write(GET)
        connection = await upstream.connection(0)
        # Before it is there, its connection would go unused to the pool, and end only with that.
        await eventually(lambda: len(connection.requests) == 1, "the request")
        client.writer.close()
        await patiently(connection.peer_ended.wait(), "the upstream request to end")


async def test_a_tunnel_over_tls_ends_as_a_whole(installed: Pair, authority: Authority) -> None:
    """H17, H20: bytes pass both ways; the upstream's last words arrive before its end does."""
    switched = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    asking = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    large = b"x" * 1_000_000
    script: Script = [head_of_request(), send(switched), until(b"ping"), send(large), close()]
    trust = authority.trust()
    async with serving(installed, script=script) as (to, _), tls_client(to, trust) as client:
        head, _ = await client.exchange(asking)
        assert head.first_line == b"HTTP/1.1 101 Switching Protocols"
        client.writer.write(b"ping")
        assert await patiently(client.reader.read(-1), "the end") == large


async def test_who_speaks_no_tls_hurts_nobody(installed: Pair, authority: Authority) -> None:
    """S4: plain HTTP at a TLS port, a scan, a client that leaves in the handshake: others are served."""
    async with serving(installed) as (address, upstream):
        for start in (GET, b"\x16\x03\x01\x02\x00", b"", b"\x00" * 3000):
            with socket.create_connection(address) as sock:  # type: ignore[arg-type] # it is TCP
                sock.sendall(start)
        async with tls_client(address, authority.trust()) as client:
            assert (await client.exchange(GET))[1] == b"hi"
        assert len(upstream.requests) == 1


async def test_a_refused_upload_over_tls_hears_why(installed: Pair, authority: Authority) -> None:
    """S10, O5: a 413 arrives although the client still sends."""
    limits, trust = "limits: {max_body: 1KiB}", authority.trust()
    async with serving(installed, server=limits) as (to, _), tls_client(to, trust) as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"
        answer, _ = await client.exchange(head + b"x" * 1_000_000)
        assert answer.first_line == b"HTTP/1.1 413 Content Too Large"


async def test_bad_files_at_the_start_are_told_in_one_line(
    installed: Pair, authority: Authority
) -> None:
    """R1: exit 3 with one clear line; the plan was good when it was read."""
    config = one_route(
        "http://127.0.0.1:9",
        server=f"tls: {{cert_file: {installed.cert}, key_file: {installed.key}}}",
    )
    compiled = config_of(config.replace("127.0.0.1:8080", "127.0.0.1:0"))
    installed.key.write_bytes(authority.sign("another").key.read_bytes())
    with pytest.raises(
        CannotStart, match=r"cannot serve TLS: key_file .*: it does not match the certificate"
    ):
        async with served(compiled):
            pass
