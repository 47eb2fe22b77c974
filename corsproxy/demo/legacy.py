"""A legacy API with the usual mistakes in CORS, for the demo.

It responds to OPTIONS with 405, sends `Access-Control-Allow-Origin: *` for requests with cookies,
discloses its software and version, redirects to its internal name, and sends errors as HTML. It is
deterministic, and keeps its data in memory.
"""

import asyncio
import contextlib
import gzip
import json
import weakref
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSCloseCode, WSMsgType, web

EVENTS: Final = ("order received", "payment checked", "packed", "handed over", "delivered")
_CATALOGUE: Final = ("teapot", "kettle", "saucer", "strainer")
DOWNLOAD_SIZE: Final = 32 * 1024 * 1024
_DOWNLOAD_CHUNK: Final = bytes(range(256)) * 256
_SESSION_COOKIE: Final = "LEGACYSESSION"
_SESSION_ID: Final = "2f1c9a7e"
SESSION: Final = f"{_SESSION_COOKIE}={_SESSION_ID}"
# Wrong for requests with credentials, for which browsers reject `*`
# (https://fetch.spec.whatwg.org/#concept-cors-check).
_WRONG_CORS: Final = {"Access-Control-Allow-Origin": "*"}
_ERROR_PAGE: Final = (
    "<!doctype html><title>500</title><h1>Internal Server Error</h1>"
    "<p>ORA-01555: snapshot too old</p>\n"
)


@dataclass(slots=True)
class _Shop:
    """The state of the API. `event_interval` is in seconds."""

    event_interval: float
    orders: dict[int, dict[str, object]] = field(
        default_factory=lambda: {
            7: {"id": 7, "item": "teapot", "quantity": 1},
            8: {"id": 8, "item": "kettle", "quantity": 2},
            9: {"id": 9, "item": "saucer", "quantity": 6},
        },
    )
    sockets: weakref.WeakSet[web.WebSocketResponse] = field(default_factory=weakref.WeakSet)


_SHOP: Final = web.AppKey("shop", _Shop)


def make_legacy_app(*, event_interval: float = 0.4) -> web.Application:
    """Return the API; `event_interval` is the time between two server-sent events, in seconds."""
    app = web.Application()
    app[_SHOP] = _Shop(event_interval)
    app.on_response_prepare.append(_name_the_software)
    app.on_shutdown.append(_close_sockets)
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/livez", _alive),
            web.get("/orders", _list_orders),
            web.get("/catalogue", _catalogue),
            web.get(r"/orders/{id:\d{1,9}}", _read_order),
            web.put(r"/orders/{id:\d{1,9}}", _write_order),
            web.delete(r"/orders/{id:\d{1,9}}", _delete_order),
            web.post("/login", _login),
            web.get("/account", _account),
            web.get("/old-orders", _redirect),
            web.get("/events", _events),
            web.get("/echo", _echo),
            web.get("/broken", _broken),
            web.get("/archive", _archive),
            web.get("/download", _download),
        ],
    )
    return app


async def _name_the_software(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "LegacyHTTPd/1.3.42 (Unix)"
    response.headers["X-Powered-By"] = "PHP/5.2.17"


async def _close_sockets(app: web.Application) -> None:
    for socket in set(app[_SHOP].sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the legacy API stops")


async def _index(request: web.Request) -> web.Response:
    resources = request.app.router.resources()
    return web.json_response({"resources": sorted(r.canonical for r in resources)})


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _list_orders(request: web.Request) -> web.Response:
    orders = request.app[_SHOP].orders
    return web.json_response([orders[key] for key in sorted(orders)])


async def _catalogue(_: web.Request) -> web.Response:
    return web.json_response(
        list(_CATALOGUE),
        headers={"X-Total-Count": str(len(_CATALOGUE)), **_WRONG_CORS},
    )


async def _read_order(request: web.Request) -> web.Response:
    return web.json_response(request.app[_SHOP].orders[_known_order(request)])


async def _write_order(request: web.Request) -> web.Response:
    _require_session(request)
    key = int(request.match_info["id"])
    try:
        order = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        order = None
    if not isinstance(order, dict):
        raise web.HTTPBadRequest(text="an order is a JSON object\n")
    stored = {**order, "id": key}
    request.app[_SHOP].orders[key] = stored
    return web.json_response(stored)


async def _delete_order(request: web.Request) -> web.Response:
    _require_session(request)
    del request.app[_SHOP].orders[_known_order(request)]
    return web.Response(status=204)


async def _login(_: web.Request) -> web.Response:
    response = web.json_response({"welcome": "Ada"}, headers=_WRONG_CORS)
    response.set_cookie(_SESSION_COOKIE, _SESSION_ID, path="/", httponly=True)
    return response


async def _account(request: web.Request) -> web.Response:
    _require_session(request)
    return web.json_response({"name": "Ada", "customer": 1815}, headers=_WRONG_CORS)


async def _redirect(request: web.Request) -> web.Response:
    # The Host of the request: behind a proxy, that is the internal name.
    raise web.HTTPFound(f"http://{request.host}/orders")


async def _events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"},
    )
    with contextlib.suppress(ConnectionResetError):  # the client disconnected
        await response.prepare(request)
        for number, text in enumerate(EVENTS, start=1):
            await response.write(f"id: {number}\ndata: {text}\n\n".encode())
            await asyncio.sleep(request.app[_SHOP].event_interval)
        await response.write(b"event: end\ndata: that was all\n\n")
    return response


async def _echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    request.app[_SHOP].sockets.add(socket)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def _broken(_: web.Request) -> web.Response:
    return web.Response(status=500, text=_ERROR_PAGE, content_type="text/html")


async def _archive(_: web.Request) -> web.Response:
    """Respond with gzip even if the client does not accept it, as some old servers do."""
    rows = [{"id": number, "item": "teapot", "quantity": number % 7} for number in range(500)]
    body = gzip.compress(json.dumps(rows).encode(), mtime=0)
    return web.Response(
        body=body,
        content_type="application/json",
        headers={"Content-Encoding": "gzip"},
    )


async def _download(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = DOWNLOAD_SIZE
    with contextlib.suppress(ConnectionResetError):  # the client disconnected
        await response.prepare(request)
        for _ in range(DOWNLOAD_SIZE // len(_DOWNLOAD_CHUNK)):
            await response.write(_DOWNLOAD_CHUNK)
    return response


def _known_order(request: web.Request) -> int:
    key = int(request.match_info["id"])
    if key not in request.app[_SHOP].orders:
        raise web.HTTPNotFound(text=f"there is no order {key}\n")
    return key


def _require_session(request: web.Request) -> None:
    if request.cookies.get(_SESSION_COOKIE) != _SESSION_ID:
        raise web.HTTPUnauthorized(text="POST /login first\n")
