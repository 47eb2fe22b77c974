"""The health listener: /livez, /readyz, /metrics. Knows who to ask, nothing of requests."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from corsproxy.observe.exposition import render
from corsproxy.observe.snapshot import Snapshot


class Readiness(NamedTuple):
    """Whether the service may be sent requests, and what to know about it, a line each."""

    is_ready: bool
    lines: list[str]


# Gives what was counted, over all workers.
Scrape = Callable[[], Awaitable[Snapshot]]


def health_app(readiness: Callable[[], Readiness], scrape: Scrape) -> web.Application:
    """Return the application that probes and Prometheus ask. It answers as long as the process lives."""

    async def live(request: web.Request) -> web.Response:  # noqa: ARG001
        return _plain(200, "ok\n")

    async def ready(request: web.Request) -> web.Response:  # noqa: ARG001
        state = readiness()
        return _plain(200 if state.is_ready else 503, "".join(f"{line}\n" for line in state.lines))

    async def metrics(request: web.Request) -> web.Response:
        snapshot = await scrape()
        # In a thread, for serving shall not wait for the text.
        accept = request.headers.get("Accept", "")
        body, content_type = await asyncio.to_thread(render, snapshot, accept)
        return web.Response(
            body=body,
            headers={"Content-Type": content_type, "Cache-Control": "no-store"},
        )

    app = web.Application()
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    return app


async def serve_health(
    sock: socket.socket,
    readiness: Callable[[], Readiness],
    scrape: Scrape,
) -> web.AppRunner:
    """Answer on a bound socket until what is returned is cleaned up."""
    runner = web.AppRunner(health_app(readiness, scrape), access_log=None, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    return runner


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})
