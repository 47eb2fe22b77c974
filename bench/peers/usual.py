"""The usual proxy in aiohttp: a catch-all handler that calls ClientSession. For comparison only.

python usual.py PORT UPSTREAM_PORT ORIGIN
"""

import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
    },
)
SESSION = web.AppKey("session", ClientSession)
BASE = web.AppKey("base", str)
ORIGIN = web.AppKey("origin", str)


def passed_on(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the headers that a proxy forwards."""
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in HOP_BY_HOP)


def preflight(request: web.Request) -> web.Response:
    """Respond to a preflight: 204 for the one allowed origin, otherwise 403."""
    if request.headers.get("Origin") != request.app[ORIGIN]:
        return web.Response(status=403)
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Origin": request.app[ORIGIN],
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT",
            "Access-Control-Allow-Headers": "content-type",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        },
    )


async def handle(request: web.Request) -> web.StreamResponse:
    """Respond to preflights, forward everything else and stream the response back."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return preflight(request)
    async with request.app[SESSION].request(
        request.method,
        request.app[BASE] + request.raw_path,
        headers=passed_on(CIMultiDict(request.headers)),
        data=request.content if request.body_exists else None,
        allow_redirects=False,
    ) as upstream:
        response = web.StreamResponse(
            status=upstream.status,
            headers=passed_on(CIMultiDict(upstream.headers)),
        )
        if request.headers.get("Origin") == request.app[ORIGIN]:
            response.headers["Access-Control-Allow-Origin"] = request.app[ORIGIN]
            response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers.add("Vary", "Origin")
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    """Keep one ClientSession for the life of the application."""
    async with ClientSession(
        auto_decompress=False,
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(total=30),
    ) as opened:
        app[SESSION] = opened
        yield


async def make_app(upstream_port: int, origin: str) -> web.Application:
    """Build the application that proxies to `upstream_port` and allows `origin`."""
    app = web.Application(client_max_size=0)
    app[BASE] = f"http://127.0.0.1:{upstream_port}"
    app[ORIGIN] = origin
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def main() -> None:
    """Serve until a signal ends it."""
    port, upstream_port, origin = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    web.run_app(
        make_app(upstream_port, origin),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        backlog=4096,
        keepalive_timeout=600,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
