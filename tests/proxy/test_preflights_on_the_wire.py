"""Preflights over sockets: cors.md 1-4, 6, 8-12, 31-40."""

import pytest

from tests.support.messages import Response
from tests.support.pages import ANY, ORIGIN, OTHER, SPA, preflight
from tests.support.proxy import assert_untouched, through
from tests.support.responses import ALWAYS_OK

PREFLIGHT_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def is_clean(answer: Response) -> bool:
    """Return whether a response of the proxy's own carries none of what cors.md 31 forbids it."""
    forbidden = {"set-cookie", "location", "content-type", "transfer-encoding", "www-authenticate"}
    return not forbidden & set(answer.head.names()) and answer.body == b""


async def test_31_an_allowed_preflight_gets_a_local_response() -> None:
    """cors.md 31, 32, 35, 37, 38: 204, no body, all lists, and the upstream does not receive it."""
    async with through(ALWAYS_OK, route=SPA) as way:
        answer = await way.client.exchange(preflight(headers="content-type"))
        assert (answer.status, answer.framing) == (204, "none")
        assert answer.head.value("content-length") is None
        cors = answer.head.cors()
        assert cors.pop("access-control-allow-origin") == ORIGIN
        assert cors.pop("access-control-allow-credentials") == "true"
        methods = cors.pop("access-control-allow-methods").replace(" ", "").split(",")
        assert {"PUT", "DELETE"} <= set(methods)
        headers = cors.pop("access-control-allow-headers").replace(" ", "").lower().split(",")
        assert headers == ["authorization", "content-type"]
        assert cors.pop("access-control-max-age") == "600"
        assert (
            cors.pop("access-control-expose-headers").replace(" ", "").lower() == "x-total,x-page"
        )
        assert cors == {}
        assert answer.head.value("vary") == PREFLIGHT_VARY
        assert is_clean(answer)
        await assert_untouched(way)


@pytest.mark.parametrize(
    "refused",
    [
        preflight(origin=OTHER),
        preflight(origin="null"),
        preflight(origin=""),
        preflight(origin=f"{ORIGIN}, {OTHER}"),
        preflight(origin=f"{ORIGIN}:443"),
        preflight(origin=ORIGIN.upper()),
        preflight(origin=f"{ORIGIN}/"),
        preflight(origin=ORIGIN, more=f"Origin: {ORIGIN}\r\n"),
        preflight(origin="https://preview.example.com"),
        preflight(origin="https://a.preview.example.com.evil.example"),
        preflight(origin="https://" + "a" * 400 + ".example.com"),
        preflight(method="PATCH"),
        preflight(method="put"),
        preflight(method="TRACE"),
        preflight(method=""),
        preflight(method="P T"),
        preflight(more="Access-Control-Request-Method: PUT\r\n"),
        preflight(headers="x-secret"),
        preflight(headers="content-type, x-secret"),
        preflight(headers="content type"),
        preflight(headers=",".join(["content-type"] * 65)),
        preflight(headers="," * 17 + "content-type"),
        preflight(headers="content-type," + "a" * 129),
    ],
)
async def test_31_a_refused_preflight_gets_a_local_response_without_a_word(refused: bytes) -> None:
    """cors.md 8-12, 31, 33, 34, 38: 403, length 0, no Access-Control-*; the upstream is unaware."""
    async with through(ALWAYS_OK, route=SPA) as way:
        answer = await way.client.exchange(refused)
        assert answer.status == 403
        assert answer.head.cors() == {}
        assert answer.head.value("content-length") == b"0"
        assert answer.head.value("vary") == PREFLIGHT_VARY
        assert is_clean(answer)
        await assert_untouched(way)


@pytest.mark.parametrize(
    "tolerated",
    [
        preflight(headers="content-type,authorization"),
        preflight(headers="Content-Type , \tAUTHORIZATION,, content-type,"),
        preflight(headers=""),
        preflight(headers="content-type", more="Access-Control-Request-Headers: authorization\r\n"),
        preflight(method="POST"),
        preflight(origin="https://a.b.preview.example.com"),
        preflight(more="Access-Control-Request-Private-Network: true\r\n"),
        preflight(version="1.0"),
    ],
)
async def test_33_34_what_browsers_and_middleboxes_send_is_tolerated(tolerated: bytes) -> None:
    """cors.md 33, 34, 39: order, case, duplicates, white space; safelisted methods need no list."""
    async with through(ALWAYS_OK, route=SPA) as (client, _, _):
        answer = await client.exchange(tolerated)
        assert answer.status == 204
        assert "access-control-allow-private-network" not in answer.head.cors()


async def test_35_any_origin_responds_with_stars() -> None:
    """cors.md 32, 35, 36, 38: `*` for everything, Vary names nothing the response does not depend on."""
    async with through(ALWAYS_OK, route=ANY) as (client, _, _):
        answer = await client.exchange(preflight(origin=OTHER, headers="x-anything"))
        cors = answer.head.cors()
        assert cors["access-control-allow-origin"] == "*"
        assert cors["access-control-allow-methods"] == "*"
        assert cors["access-control-allow-headers"] == "*"
        assert "access-control-allow-credentials" not in cors
        vary = (answer.head.value("vary") or b"").lower()
        assert b"origin" not in [token.strip() for token in vary.split(b",")]


async def test_35_stars_with_credentials_reflect_what_was_asked() -> None:
    """cors.md 35: `*` means the requested method and names; authorization only if it is listed."""
    route = f"""
cors:
  allow_origins: [{ORIGIN}]
  allow_methods: ["*"]
  allow_headers: ["*", authorization]
  allow_credentials: true
"""
    async with through(ALWAYS_OK, route=route) as (client, _, _):
        answer = await client.exchange(preflight(method="PURGE", headers="X-One,authorization"))
        cors = answer.head.cors()
        assert cors["access-control-allow-methods"] == "PURGE"
        names = cors["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert sorted(names) == ["authorization", "x-one"]


async def test_35_minimal_style_says_only_what_was_asked() -> None:
    """cors.md 35: `minimal` leaves out the methods for a safelisted one."""
    route = SPA + "  preflight: {style: minimal}\n"
    async with through(ALWAYS_OK, route=route) as (client, _, _):
        asked = await client.exchange(preflight(method="DELETE", headers="content-type"))
        assert asked.head.cors()["access-control-allow-methods"] == "DELETE"
        assert asked.head.cors()["access-control-allow-headers"].lower() == "content-type"
        plain = await client.exchange(preflight(method="POST"))
        assert "access-control-allow-methods" not in plain.head.cors()
        assert "access-control-allow-headers" not in plain.head.cors()


async def test_31_the_statuses_of_preflights_are_configured() -> None:
    """cors.md 31: `preflight.status` and `refused_status`; both with `Content-Length: 0` except for 204."""
    route = SPA + "  preflight: {status: 200, refused_status: 404}\n"
    async with through(ALWAYS_OK, route=route) as (client, _, _):
        for data, status in ((preflight(), 200), (preflight(origin=OTHER), 404)):
            answer = await client.exchange(data)
            assert answer.status == status
            assert answer.head.value("content-length") == b"0"


async def test_38_vary_of_preflights_can_be_switched_off() -> None:
    """cors.md 38: `preflight.vary: false`."""
    async with through(ALWAYS_OK, route=SPA + "  preflight: {vary: false}\n") as (client, _, _):
        assert (await client.exchange(preflight())).head.value("vary") is None


async def test_40_a_preflight_with_a_body_is_drained() -> None:
    """cors.md 40: its body is neither forwarded nor taken for the next request."""
    async with through(ALWAYS_OK, route=SPA) as way:
        body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        data = preflight(more=f"Content-Length: {len(body)}\r\n") + body.encode()
        assert (await way.client.exchange(data)).status == 204
        assert (await way.client.exchange(preflight())).status == 204
        await assert_untouched(way)


@pytest.mark.parametrize(
    "ordinary",
    [
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        f"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\n\r\n".encode(),
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nAccess-Control-Request-Method: PUT\r\n\r\n".encode(),
    ],
)
async def test_1_2_3_what_is_no_preflight_is_forwarded(ordinary: bytes) -> None:
    """cors.md 1-3: OPTIONS without both headers, and GET with them, are ordinary requests."""
    async with through(ALWAYS_OK, route=SPA) as (client, _, upstream):
        assert (await client.exchange(ordinary)).body == b"hi"
        assert upstream.requests[0].request_line.split()[0] == ordinary.split()[0]


async def test_6_a_preflight_is_routed_as_the_request_that_it_announces() -> None:
    """cors.md 6, 72: the route of PUT responds to a preflight for PUT, the general one any other."""
    more = f"""
  - match: {{methods: [PUT]}}
    upstream: legacy
    cors: {{allow_origins: [{OTHER}], allow_methods: [PUT]}}
"""
    async with through(ALWAYS_OK, route=SPA, more=more) as (client, _, _):
        assert (await client.exchange(preflight(method="PUT", origin=OTHER))).status == 204
        assert (await client.exchange(preflight(method="DELETE", origin=OTHER))).status == 403
        assert (await client.exchange(preflight(method="DELETE"))).status == 204
