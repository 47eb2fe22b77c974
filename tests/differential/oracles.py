"""nginx and HAProxy beside us, each with as many lanes as we have. Knows their configuration."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.differential.lanes import Lane, recording
from tests.support.programs import program
from tests.support.proxy import one_route, running_proxy
from tests.support.wire import connect

OURS, NGINX, HAPROXY = "corsproxy", "nginx", "haproxy"

# Bodies stream, connections to the upstream serve one request, nothing is tried twice: what one
# request becomes is what the upstream sees.
_NGINX = """
daemon off; master_process off; pid {here}/nginx.pid; error_log /dev/null;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {here}/b; proxy_temp_path {here}/p;
  fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;
  proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;
  proxy_next_upstream off; client_header_timeout 5s; client_body_timeout 5s;
  {lanes}
}}
"""
_NGINX_LANE = """server {{ listen unix:{here}/n{number}.sock;
    location / {{ proxy_pass http://{upstream}; }} }}
"""
_HAPROXY = """
global
  maxconn 1024
  nbthread 1
defaults
  mode http
  retries 0
  http-reuse never
  option http-server-close
  timeout connect 2s
  timeout client 5s
  timeout server 5s
{lanes}
"""
_HAPROXY_LANE = """
listen lane{number}
  bind unix@{here}/h{number}.sock
  server upstream {upstream}
"""


@asynccontextmanager
async def _running(command: Sequence[str], sockets: list[str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            for path in sockets:
                await _accepts(path, process)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _accepts(path: str, process: asyncio.subprocess.Process) -> None:
    while True:
        assert process.returncode is None, f"it ended before it listened on {path}"
        try:
            (await connect(path)).close()
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return


@asynccontextmanager
async def nginx(here: Path, count: int) -> AsyncIterator[list[Lane]]:
    """Run nginx with `count` lanes, its files below `here`."""
    binary = program("nginx-light", "nginx")
    async with AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(recording()) for _ in range(count)]
        lanes = "".join(
            _NGINX_LANE.format(here=here, number=number, upstream=authority)
            for number, (_, authority) in enumerate(ends)
        )
        config = here / "nginx.conf"
        config.write_text(_NGINX.format(here=here, lanes=lanes))
        sockets = [f"{here}/n{number}.sock" for number in range(count)]
        command = (binary, "-c", str(config), "-p", str(here), "-e", "/dev/null")
        await stack.enter_async_context(_running(command, sockets))
        yield [Lane(path, end[0]) for path, end in zip(sockets, ends, strict=True)]


@asynccontextmanager
async def haproxy(here: Path, count: int) -> AsyncIterator[list[Lane]]:
    """Run HAProxy with `count` lanes, its files below `here`."""
    binary = program("haproxy", "haproxy")
    async with AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(recording()) for _ in range(count)]
        lanes = "".join(
            _HAPROXY_LANE.format(here=here, number=number, upstream=authority)
            for number, (_, authority) in enumerate(ends)
        )
        config = here / "haproxy.cfg"
        config.write_text(_HAPROXY.format(lanes=lanes))
        sockets = [f"{here}/h{number}.sock" for number in range(count)]
        command = (binary, "-db", "-q", "-f", str(config))
        await stack.enter_async_context(_running(command, sockets))
        yield [Lane(path, end[0]) for path, end in zip(sockets, ends, strict=True)]


@asynccontextmanager
async def ours(count: int) -> AsyncIterator[list[Lane]]:
    """Run `count` proxies of our own, which forward every path (H1) and keep no connection."""
    async with AsyncExitStack() as stack:
        lanes = []
        for _ in range(count):
            recorder, authority = await stack.enter_async_context(recording())
            config = one_route(f"http://{authority}", route="ambiguous_paths: forward")
            proxy = await stack.enter_async_context(running_proxy(config))
            lanes.append(Lane(proxy.address, recorder))
        yield lanes
