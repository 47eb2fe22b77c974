"""The health listener: /livez and /readyz. Knows whether the service is ready, nothing of requests."""

from collections.abc import Callable
from typing import NamedTuple

from aiohttp import web


class Readiness(NamedTuple):
    """Whether the service may be sent requests, and what to know about it, a line each."""

    is_ready: bool
    lines: list[str]


def health_app(readiness: Callable[[], Readiness]) -> web.Application:
    """Return the application that a probe asks. It answers as long as the process lives."""

    async def live(request: web.Request) -> web.Response:  # noqa: ARG001
        return _plain(200, "ok\n")

    async def ready(request: web.Request) -> web.Response:  # noqa: ARG001
        state = readiness()
        return _plain(200 if state.is_ready else 503, "".join(f"{line}\n" for line in state.lines))

    app = web.Application()
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    return app


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})
