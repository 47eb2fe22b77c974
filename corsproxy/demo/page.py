"""Serves the demo's page and its settings, from an origin of its own."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/scenarios.js": ("scenarios.js", "text/javascript"),
    "/view.js": ("view.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """The settings of the page; each address is an origin, such as "http://localhost:8080".

    `page` is the origin that the policy allows: opened from another one, the page is refused.
    `config` is the proxy's configuration to show, empty if unknown.
    """

    api: str
    proxy: str
    page: str
    config: str = ""


def make_page_app(settings: PageSettings) -> web.Application:
    """Return the application that serves the page and, as /settings.json, its `settings`."""
    app = web.Application()
    headers = _headers(settings)

    async def alive(_: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=headers)

    async def send_settings(_: web.Request) -> web.Response:
        return web.json_response(asdict(settings), headers=headers)

    async def send_file(request: web.Request) -> web.Response:
        name, kind = _FILES[request.path]
        return web.Response(
            body=(_STATIC / name).read_bytes(),
            content_type=kind,
            charset="utf-8",
            headers=headers,
        )

    app.router.add_get("/livez", alive)
    app.router.add_get("/settings.json", send_settings)
    for path in _FILES:
        app.router.add_get(path, send_file)
    return app


def _headers(settings: PageSettings) -> dict[str, str]:
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        f"connect-src 'self' {settings.api} {settings.proxy}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
