"""The health listener: /livez, /readyz, /metrics. Knows who to ask, nothing of requests."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from aiohttp import web

from corsproxy.admin.gate import Gate, reserve_for_health
from corsproxy.admin.scraping import Scrape, Scraping

if TYPE_CHECKING:
    import asyncio

# How long responses may take that are being sent when the listener ends, in seconds.
_LAST_RESPONSES: Final = 1.0


class Readiness(NamedTuple):
    """Whether the service may be sent requests, and what to know about it, a line each."""

    is_ready: bool
    lines: list[str]


def health_app(readiness: Callable[[], Readiness], scraping: Scraping) -> web.Application:
    """Return the application that probes and Prometheus ask. It answers as long as the process lives."""

    async def live(request: web.Request) -> web.Response:  # noqa: ARG001
        return _plain(200, "ok\n")

    async def ready(request: web.Request) -> web.Response:  # noqa: ARG001
        state = readiness()
        return _plain(200 if state.is_ready else 503, "".join(f"{line}\n" for line in state.lines))

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = await scraping.text(request.headers.get("Accept", ""))
        return web.Response(
            body=body,
            headers={"Content-Type": content_type, "Cache-Control": "no-store"},
        )

    async def say_close(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
        response.headers["Connection"] = "close"
        response.force_close()

    app = web.Application()
    app.on_response_prepare.append(say_close)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    return app


class HealthListener:
    """Answers on a bound socket, from `start` to `close`."""

    def __init__(
        self, sock: socket.socket, readiness: Callable[[], Readiness], scrape: Scrape
    ) -> None:
        self._sock = sock
        self._reserve = reserve_for_health()
        self._scraping = Scraping(scrape, self._reserve.lent)
        self._gate: Gate | None = None
        self._runner = web.AppRunner(
            health_app(readiness, self._scraping),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=_LAST_RESPONSES,
            lingering_time=0.0,
        )

    async def start(self) -> None:
        """Begin to accept."""
        await self._runner.setup()
        make = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        self._gate = Gate(self._sock, make, self._reserve)

    async def close(self) -> None:
        """End what is there, responses that are being sent after a moment."""
        if self._gate is not None:
            self._gate.close()
        await self._scraping.close()
        await self._runner.cleanup()
        if self._gate is not None:
            await self._gate.ended()
        self._reserve.close()


async def serve_health(
    sock: socket.socket,
    readiness: Callable[[], Readiness],
    scrape: Scrape,
) -> HealthListener:
    """Answer on a bound socket until what is returned is closed."""
    listener = HealthListener(sock, readiness, scrape)
    await listener.start()
    return listener


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})
