"""Responses under a policy over sockets: cors.md 41-47, 49, 51, 55, 58, 62-65, 72-73."""

import pytest

from tests.support.messages import parse_head
from tests.support.pages import ANY, ORIGIN, OTHER, SPA, get, preflight
from tests.support.proxy import as_answered, assert_untouched, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import Script, repeat, request, send


async def test_41_an_allowed_response_carries_the_headers_of_a_response() -> None:
    """cors.md 41, 44: origin, credentials, exposed names and Vary; nothing of a preflight's."""
    async with through(ALWAYS_OK, route=SPA) as (client, _, upstream):
        answer = await client.exchange(get())
        assert answer.head.cors() == {
            "access-control-allow-origin": ORIGIN,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "x-total, x-page",
        }
        assert answer.head.value("vary") == b"Origin"
        assert answer.body == b"hi"
        assert upstream.requests[0].head.value("origin") == ORIGIN.encode()


@pytest.mark.parametrize("origin", [OTHER, "null", "", f"{ORIGIN}.evil.example", None])
async def test_42_44_55_a_refused_one_is_forwarded_without_a_word(origin: str | None) -> None:
    """cors.md 5, 42, 44, 55: no Access-Control-*, `Vary: Origin`, and the response untouched."""
    async with through(ALWAYS_OK, route=SPA) as (client, _, _):
        answer = await client.exchange(get(origin))
        assert (answer.status, answer.body) == (200, b"hi")
        assert answer.head.cors() == {}
        assert answer.head.value("vary") == b"Origin"


@pytest.mark.parametrize("origin", [OTHER, None, "null", "not an origin"])
async def test_43_any_origin_says_so_to_everybody(origin: str | None) -> None:
    """cors.md 12, 28, 43: `*` and the exposed names with and without Origin, and no Vary."""
    async with through(ALWAYS_OK, route=ANY) as (client, _, _):
        answer = await client.exchange(get(origin))
        assert answer.head.cors() == {
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "*",
        }
        assert answer.head.value("vary") is None


@pytest.mark.parametrize(
    ("status", "method"),
    [
        ("200 OK", "HEAD"),
        ("204 No Content", "GET"),
        ("206 Partial Content", "GET"),
        ("301 Moved", "GET"),
        ("304 Not Modified", "GET"),
        ("401 Unauthorized", "GET"),
        ("404 Not Found", "GET"),
        ("500 Oops", "GET"),
        ("503 Busy", "GET"),
    ],
)
async def test_44_46_58_every_response_carries_them(status: str, method: str) -> None:
    """cors.md 41, 44, 46, 58: errors, redirects, HEAD, 206 and 304 like a 200."""
    bodiless = method == "HEAD" or status[:3] in {"204", "304"}
    head = f"HTTP/1.1 {status}\r\n" + ("" if bodiless else "Content-Length: 2\r\n") + "\r\n"
    script: Script = [repeat(request(), send(head.encode() + (b"" if bodiless else b"no")))]
    async with through(script, route=SPA) as (client, _, _):
        answer = await client.exchange(get(method=method), method)
        assert answer.head.cors()["access-control-allow-origin"] == ORIGIN
        assert answer.head.value("vary") == b"Origin"
        assert answer.status == int(status[:3])
        refused = await client.exchange(get(OTHER, method=method), method)
        assert refused.head.cors() == {}
        assert refused.head.value("vary") == b"Origin"


@pytest.mark.parametrize(
    ("lines", "merged"),
    [
        ("Vary: Accept-Encoding\r\n", b"Accept-Encoding, Origin"),
        (
            "Vary: Accept, Accept-Encoding\r\nVary: Cookie\r\n",
            b"Accept, Accept-Encoding, Cookie, Origin",
        ),
        ("vary: origin\r\n", b"origin"),
        ("Vary: ORIGIN, Accept\r\n", b"ORIGIN, Accept"),
        ("Vary: *\r\n", b"*"),
        ("Vary:\r\n", b"Origin"),
    ],
)
async def test_45_vary_is_merged_by_token(lines: str, merged: bytes) -> None:
    """cors.md 45: the upstream's tokens and order kept, Origin once, several lines become one."""
    head = f"HTTP/1.1 200 OK\r\nA: 1\r\n{lines}B: 2\r\nContent-Length: 0\r\n\r\n"
    async with through([request(), send(head.encode())], route=SPA) as (client, _, _):
        answer = await client.exchange(get())
        assert answer.head.value("vary") == merged
        names = answer.head.names()
        assert names.index("a") < names.index("vary") < names.index("b")


UPSTREAM_OWN = (
    "Access-Control-Allow-Origin: *\r\naccess-control-allow-origin: https://evil.example\r\n"
    "Access-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: x-leak\r\n"
    "Access-Control-Allow-Methods: GET\r\nAccess-Control-Allow-Headers: x\r\n"
    "Access-Control-Max-Age: 5\r\nAccess-Control-Allow-Private-Network: true\r\n"
)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (
            ORIGIN,
            {
                "access-control-allow-origin",
                "access-control-allow-credentials",
                "access-control-expose-headers",
            },
        ),
        (OTHER, set()),
        (None, set()),
    ],
)
async def test_49_the_policy_is_the_only_authority(origin: str | None, expected: set[str]) -> None:
    """cors.md 42, 49: whatever the upstream says about CORS is removed, in every outcome."""
    head = f"HTTP/1.1 200 OK\r\n{UPSTREAM_OWN}X-Kept: 1\r\nContent-Length: 0\r\n\r\n"
    async with through([request(), send(head.encode())], route=SPA) as (client, _, _):
        answer = await client.exchange(get(origin))
        cors = answer.head.cors()
        assert set(cors) == expected
        assert cors.get("access-control-allow-origin", ORIGIN) == ORIGIN
        assert "x-leak" not in cors.get("access-control-expose-headers", "")
        assert answer.head.value("x-kept") == b"1"


async def test_51_a_route_without_a_policy_passes_everything() -> None:
    """cors.md 7, 51: the upstream's CORS headers and preflights pass, and no Vary is added."""
    head = f"HTTP/1.1 200 OK\r\n{UPSTREAM_OWN}Content-Length: 0\r\n\r\n".encode()
    script: Script = [repeat(request(), send(head))]
    async with through(script) as (client, _, upstream):
        for data in (get(), preflight()):
            answer = await client.exchange(data)
            assert as_answered(answer.head) == parse_head(head).fields
        assert upstream.requests[1].request_line == b"OPTIONS / HTTP/1.1"
        assert upstream.requests[1].head.value("access-control-request-method") == b"PUT"


async def test_47_interim_responses_carry_none() -> None:
    """cors.md 47: a 103 stays as it is; the final response carries them."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with through([request(), send(hints + OK)], route=SPA) as (client, _, _):
        answer = await client.exchange(get())
        assert answer.interim[0].cors() == {}
        assert answer.interim[0].value("vary") is None
        assert answer.head.cors()["access-control-allow-origin"] == ORIGIN


DEFAULTS = f"""
defaults:
  cors: fallback
policies:
  fallback: {{allow_origins: [{ORIGIN}], expose_headers: [x-fallback]}}
"""


async def test_62_73_no_route_is_404_under_the_default_policy() -> None:
    """cors.md 62, 73: what matches no route gets its response under `defaults.cors`."""
    route = "match: {path: /api/}\ncors: false"
    async with through(
        ALWAYS_OK, route=route, more=DEFAULTS.replace('  open: {allow_origins: ["*"]}\n', "")
    ) as way:
        answer = await way.client.exchange(get(path="/elsewhere"))
        assert (answer.status, answer.problem()["error"]) == (404, "no_route")
        assert answer.head.cors() == {
            "access-control-allow-origin": ORIGIN,
            "access-control-expose-headers": "x-fallback",
        }
        assert answer.head.value("vary") == b"Origin"
        other = await way.client.exchange(get(OTHER, path="/elsewhere"))
        assert other.head.cors() == {}
        asked = await way.client.exchange(preflight(path="/elsewhere"))
        assert asked.status == 404


async def test_73_no_route_and_no_default_is_a_plain_404() -> None:
    """cors.md 6, 73: without `defaults.cors` there is nothing to add; preflights too."""
    async with through(ALWAYS_OK, route="match: {path: /api/}\n" + SPA) as way:
        for data in (get(path="/elsewhere"), preflight(path="/elsewhere")):
            answer = await way.client.exchange(data)
            assert answer.status == 404
            assert answer.head.cors() == {}
            assert answer.head.value("vary") is None
        for path in ("/api", "/api/", "/api/x"):
            assert (await way.client.exchange(get(path=path))).status == 200
        assert (await way.client.exchange(get(path="/apix"))).status == 404


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get(path="/a/../b"), 400),
        (get(method="TRACE"), 405),
        (get(more="Expect: 200-maybe\r\n"), 417),
    ],
)
async def test_62_own_faults_carry_what_a_response_would(data: bytes, status: int) -> None:
    """cors.md 62, 64: the page sees the fault, not "CORS error"; nothing of it may be stored."""
    async with through(ALWAYS_OK, route=SPA) as (client, _, _):
        answer = await client.exchange(data)
        assert answer.status == status
        assert answer.head.cors() == {
            "access-control-allow-origin": ORIGIN,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "x-total, x-page",
        }
        assert answer.head.value("vary") == b"Origin"
        problem = answer.problem()
        assert (problem["type"], problem["status"]) == ("about:blank", status)
        assert {"title", "detail", "error", "request_id"} <= set(problem)
        assert answer.head.value("cache-control") == b"no-store"
        assert answer.head.value("x-content-type-options") == b"nosniff"


@pytest.mark.parametrize(
    ("default", "expected"),
    [("open", {"access-control-allow-origin": "*"}), ("fallback", {})],
)
async def test_63_before_a_head_is_read_there_is_no_origin(default: str, expected: object) -> None:
    """cors.md 63: 400 for a malformed head: `*` under an any-origin default, else nothing."""
    policies = {
        "open": 'open: {allow_origins: ["*"]}',
        "fallback": f"fallback: {{allow_origins: [{ORIGIN}]}}",
    }
    more = f"defaults:\n  cors: {default}\npolicies:\n  {policies[default]}"
    async with through(ALWAYS_OK, more=more) as (client, _, _):
        bad = f"GET / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nA : b\r\n\r\n".encode()
        answer = await client.exchange(bad)
        assert answer.status == 400
        assert answer.head.cors() == expected


async def test_55_a_policy_that_blocks_shields_the_upstream() -> None:
    """cors.md 55, 5: 403 before the upstream; same-origin requests and navigations still pass."""
    async with through(ALWAYS_OK, route=SPA + "  on_refused: block\n") as way:
        answer = await way.client.exchange(get(OTHER, method="POST"))
        assert (answer.status, answer.problem()["error"]) == (403, "cors_refused")
        assert answer.head.cors() == {}
        await assert_untouched(way)
        for passing in (
            get(None),
            get(ORIGIN),
            get("http://api.example.com", method="POST"),
            get(OTHER, more="Sec-Fetch-Site: same-origin\r\n"),
        ):
            assert (await way.client.exchange(passing)).status == 200
