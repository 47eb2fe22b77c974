"""The health listener: /livez and /readyz. Knows whether the service is ready, nothing of requests."""

from collections.abc import Callable

from aiohttp import web

# The reasons why the service is not ready, in words; an empty list means that it is.
Readiness = Callable[[], list[str]]


def health_app(readiness: Readiness) -> web.Application:
    """Return the application that a probe asks. It answers as long as the process lives."""

    async def live(request: web.Request) -> web.Response:  # noqa: ARG001
        return _plain(200, "ok\n")

    async def ready(request: web.Request) -> web.Response:  # noqa: ARG001
        reasons = readiness()
        return (
            _plain(503, "".join(f"{reason}\n" for reason in reasons))
            if reasons
            else _plain(200, "ok\n")
        )

    app = web.Application()
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    return app


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers={"Cache-Control": "no-store"})
