"""The proxy before a real nginx: what it makes of what we send, and we of its responses."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.programs import program
from tests.support.proxy import one_route, running_proxy
from tests.support.wire import End, connect

pytestmark = pytest.mark.nginx

ORIGIN = "https://app.example.com"
POLICY = f"cors: {{allow_origins: [{ORIGIN}], allow_methods: [PUT], allow_credentials: true}}"
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {here}/nginx.pid;
error_log {here}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy;
  fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
  server {{
    listen unix:{here}/nginx.sock; root {here}/root; client_max_body_size 1m;
    location /whole/ {{ alias {here}/root/; add_header Access-Control-Allow-Origin *; }}
    location /zipped/ {{ alias {here}/root/; gzip on; gzip_proxied any; gzip_min_length 1; gzip_types *; }}
    location /echo {{ return 200 "$request_method $request_uri $http_x_tag"; }}
    location /moved {{ return 302 /whole/small; }}
    location /empty {{ return 204; }}
    location /put/ {{ alias {here}/root/; dav_methods PUT DELETE; }}
  }}
}}
"""
BIG = os.urandom(3 * 1024 * 1024)


@asynccontextmanager
async def nginx(here: Path) -> AsyncIterator[str]:
    """Run nginx on a unix socket below `here`; gives its address as a URL."""
    (here / "root").mkdir()
    (here / "root" / "small").write_bytes(b"small")
    (here / "root" / "big").write_bytes(BIG)
    (here / "nginx.conf").write_text(CONFIG.format(here=here))
    process = await asyncio.create_subprocess_exec(
        program("nginx-light", "nginx"),
        "-c",
        str(here / "nginx.conf"),
        "-p",
        str(here),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _accepts(here / "nginx.sock")
        yield f"unix:{here}/nginx.sock"
    finally:
        process.terminate()
        await process.wait()


async def _accepts(path: Path) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                (await connect(str(path))).close()
            except OSError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_real_server_behind_us(tmp_path: Path) -> None:
    """H1, H11, H12, H16, S12, cors.md 49: one client connection, one nginx, everything in turn."""
    async with (
        nginx(tmp_path) as url,
        running_proxy(one_route(url, route=POLICY)) as proxy,
        await proxy.client() as client,
    ):

        def ask(line: str, more: str = "") -> bytes:
            return f"{line} HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\n{more}\r\n".encode()

        small = await client.exchange(ask("GET /whole/small"))
        assert (small.status, small.body, small.framing) == (200, b"small", "length")
        assert small.head.cors() == {
            "access-control-allow-origin": ORIGIN,
            "access-control-allow-credentials": "true",
        }
        assert (await client.exchange(ask("GET /whole/big"))).body == BIG
        part = await client.exchange(ask("GET /whole/big", "Range: bytes=5-9\r\n"))
        assert (part.status, part.body) == (206, BIG[5:10])
        etag = (small.head.value("etag") or b"").decode()
        unchanged = await client.exchange(ask("GET /whole/small", f"If-None-Match: {etag}\r\n"))
        assert unchanged.status == 304
        head = await client.exchange(ask("HEAD /whole/big"), "HEAD")
        assert head.head.value("content-length") == str(len(BIG)).encode()
        zipped = await client.exchange(ask("GET /zipped/big", "Accept-Encoding: gzip\r\n"))
        assert (zipped.framing, zipped.head.value("content-encoding")) == ("chunked", b"gzip")
        echo = await client.exchange(ask("FOO /echo/%41%2F?a=%zz&b=+", "X-Tag: t\r\n"))
        assert echo.body == b"FOO /echo/%41%2F?a=%zz&b=+ t"
        assert (await client.exchange(ask("GET /moved"))).status == 302
        assert (await client.exchange(ask("GET /empty"))).status == 204
        assert (await client.exchange(ask("GET /whole/none"))).status == 404
        preflight = ask("OPTIONS /whole/small", "Access-Control-Request-Method: PUT\r\n")
        assert (await client.exchange(preflight)).status == 204
        assert client.end is None


async def test_uploads_to_a_real_server(tmp_path: Path) -> None:
    """H11, F5: a length, chunks, and an upload that nginx refuses while it still runs."""
    async with (
        nginx(tmp_path) as url,
        running_proxy(one_route(url)) as proxy,
        await proxy.client() as client,
    ):
        put = b"PUT /put/one HTTP/1.1\r\nHost: a\r\n"
        body = BIG[: 512 * 1024]
        sized = await client.exchange(put + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert sized.status == 201
        assert (tmp_path / "root" / "one").read_bytes() == body
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        chunked = put + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
        assert (await client.exchange(chunked)).status == 204
        assert (tmp_path / "root" / "one").read_bytes() == body
        too_big = put + b"Content-Length: %d\r\n\r\n" % len(BIG) + BIG
        async with await proxy.client() as other:
            await other.send(too_big)
            assert (await other.response()).status == 413
            assert other.end in {None, End.FIN}
