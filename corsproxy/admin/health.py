"""The health listener: responds to /livez, /readyz and /metrics."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from aiohttp import web

from corsproxy.admin.gate import Gate, StartAccepting, reserve_for_health
from corsproxy.admin.scraping import Scrape, Scraping

if TYPE_CHECKING:
    import asyncio

# Seconds for responses that are being sent when the listener closes.
_LAST_RESPONSES: Final = 1.0


class Readiness(NamedTuple):
    """Whether the service is ready for requests, and the lines of the /readyz response."""

    is_ready: bool
    lines: list[str]


def health_app(readiness: Callable[[], Readiness], scraping: Scraping) -> web.Application:
    """Return the application that responds to probes and to Prometheus."""

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

    async def add_close(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001
        response.headers["Connection"] = "close"
        response.force_close()

    app = web.Application()
    app.on_response_prepare.append(add_close)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", metrics)
    return app


class HealthListener:
    """Serves probes from `start` to `close`; `start_accepting` accepts from its listening socket."""

    def __init__(
        self,
        start_accepting: StartAccepting,
        readiness: Callable[[], Readiness],
        scrape: Scrape,
    ) -> None:
        self._start_accepting = start_accepting
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
        """Start accepting."""
        await self._runner.setup()
        make = cast("Callable[[], asyncio.Protocol]", self._runner.server)
        self._gate = Gate(self._start_accepting, make, self._reserve)

    async def close(self) -> None:
        """Stop accepting, and close all connections; responses being sent have a second to finish."""
        if self._gate is not None:
            self._gate.close()
        await self._scraping.close()
        await self._runner.cleanup()
        if self._gate is not None:
            await self._gate.wait_closed()
        self._reserve.close()


async def serve_health(
    start_accepting: StartAccepting,
    readiness: Callable[[], Readiness],
    scrape: Scrape,
) -> HealthListener:
    """Return a health listener that has started; close it in the end."""
    listener = HealthListener(start_accepting, readiness, scrape)
    await listener.start()
    return listener


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})
