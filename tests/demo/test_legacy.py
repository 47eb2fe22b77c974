"""The legacy API is wrong in the ways that the demo shows, and otherwise works."""

import gzip
import json

import pytest
from aiohttp import ClientSession, WSMsgType
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from corsproxy.demo.legacy import DOWNLOAD_SIZE, EVENTS

Legacy = TestClient[Request, Application]


async def test_a_preflight_gets_405_without_cors_headers(legacy: Legacy) -> None:
    """It does not support OPTIONS (cors.md 1), so no browser sends the PUT."""
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "PUT"}
    async with legacy.options("/orders/7", headers=asked) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control-")]


async def test_a_plain_get_has_no_cors_headers(legacy: Legacy) -> None:
    """A page cannot read the response."""
    async with legacy.get("/orders", headers={"Origin": "http://localhost:3000"}) as response:
        assert [order["id"] for order in await response.json()] == [7, 8, 9]
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_account_allows_any_origin_although_it_needs_a_cookie(legacy: Legacy) -> None:
    """Its own CORS header is the wrong one: `*` is not valid with credentials (cors.md 32)."""
    async with legacy.get("/account") as response:
        assert response.status == 401
    async with legacy.post("/login") as response:
        assert "HttpOnly" in response.headers["Set-Cookie"]
    async with legacy.get("/account") as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in response.headers


async def test_the_catalogue_is_readable_but_exposes_no_header(legacy: Legacy) -> None:
    """X-Total-Count is there and not exposed, so a page sees the body only (cors.md 41)."""
    async with legacy.get("/catalogue") as response:
        assert response.headers["X-Total-Count"] == str(len(await response.json()))
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Expose-Headers" not in response.headers


async def test_an_order_is_written_read_and_deleted(legacy: Legacy) -> None:
    """PUT and DELETE work after a login; the id in the path wins."""
    await legacy.post("/login")
    async with legacy.put("/orders/12", json={"id": 1, "item": "spoon"}) as response:
        assert await response.json() == {"id": 12, "item": "spoon"}
    async with legacy.get("/orders/12") as response:
        assert (await response.json())["item"] == "spoon"
    async with legacy.delete("/orders/12") as response:
        assert response.status == 204
    async with legacy.get("/orders/12") as response:
        assert response.status == 404


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
async def test_an_order_has_to_be_a_json_object(legacy: Legacy, body: bytes) -> None:
    """A broken body gets 400, never a 500 or a stored order."""
    await legacy.post("/login")
    async with legacy.put("/orders/7", data=body) as response:
        assert response.status == 400
    async with legacy.get("/orders/7") as response:
        assert (await response.json())["item"] == "teapot"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_changing_an_order_needs_the_cookie(legacy: Legacy, method: str) -> None:
    """Without the session cookie nothing is changed: the demo's PUT really needs credentials."""
    async with legacy.request(method, "/orders/7", json={"item": "spoon"}) as response:
        assert response.status == 401


async def test_two_instances_share_nothing(legacy: Legacy) -> None:
    """What one run of the demo changed is gone in the next one."""
    await legacy.post("/login")
    async with legacy.delete("/orders/7") as response:
        assert response.status == 204
    async with legacy.get("/orders") as response:
        assert [order["id"] for order in await response.json()] == [8, 9]


async def test_it_redirects_to_its_internal_name(legacy: Legacy) -> None:
    """The redirect names the host it was called by, as one behind a proxy would (cors.md 58)."""
    inside = {"Host": "legacy.internal:9000"}
    async with legacy.get("/old-orders", headers=inside, allow_redirects=False) as response:
        assert response.status == 302
        assert response.headers["Location"] == "http://legacy.internal:9000/orders"


async def test_the_events_end_with_a_last_one(legacy: Legacy) -> None:
    """The stream sends each event once and then its end, so that a page can close it."""
    async with legacy.get("/events") as response:
        assert response.content_type == "text/event-stream"
        blocks = (await response.text()).strip().split("\n\n")
    assert [block.partition("data: ")[2] for block in blocks[:-1]] == list(EVENTS)
    assert blocks[-1].startswith("event: end\n")


async def test_the_websocket_echoes(legacy: Legacy) -> None:
    """Text comes back as text and bytes as bytes."""
    async with legacy.ws_connect("/echo") as socket:
        await socket.send_str("tea")
        await socket.send_bytes(b"\x00pot")
        assert await socket.receive_str() == "tea"
        assert await socket.receive_bytes() == b"\x00pot"


async def test_stopping_closes_open_websockets(legacy: Legacy) -> None:
    """Ctrl-C does not wait for an echo without an end."""
    async with legacy.ws_connect("/echo") as socket:
        await legacy.server.close()
        assert (await socket.receive()).type is WSMsgType.CLOSE


async def test_an_error_is_an_html_page(legacy: Legacy) -> None:
    """The 500 is HTML with a detail that a page should be able to read."""
    async with legacy.get("/broken") as response:
        assert response.status == 500
        assert response.content_type == "text/html"
        assert "ORA-01555" in await response.text()


async def test_every_response_names_the_software(legacy: Legacy) -> None:
    """Responses and errors have Server and X-Powered-By, for a rule of the proxy to remove."""
    for path in ("/orders", "/broken", "/missing"):
        async with legacy.get(path) as response:
            assert response.headers["Server"].startswith("LegacyHTTPd/")
            assert response.headers["X-Powered-By"].startswith("PHP/")


async def test_the_archive_is_always_gzipped(legacy: Legacy, session: ClientSession) -> None:
    """It sends gzip even if not accepted, always the same bytes; the proxy must not change them."""
    async with session.get(
        legacy.make_url("/archive"),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(await response.read()))) == 500


async def test_the_download_has_its_content_length(legacy: Legacy) -> None:
    """The big body is streamed whole under its Content-Length."""
    async with legacy.get("/download") as response:
        assert response.content_length == DOWNLOAD_SIZE
        received = 0
        async for part in response.content.iter_any():
            received += len(part)
    assert received == DOWNLOAD_SIZE


async def test_the_index_names_every_resource(legacy: Legacy) -> None:
    """`curl` of the root lists what there is to try."""
    async with legacy.get("/") as response:
        assert {"/orders", "/orders/{id}", "/events", "/echo"} <= set(
            (await response.json())["resources"],
        )
