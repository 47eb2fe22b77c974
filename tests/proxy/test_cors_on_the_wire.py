"""CORS as a browser meets it, over sockets: cors.md 31-38, 41-46, 49, 51, 55, 62-65, 72-73."""

import pytest

from tests.support.messages import Response, parse_head
from tests.support.proxy import as_answered, assert_untouched, through
from tests.support.upstream import Script, repeat, request, send

ORIGIN = "https://app.example.com"
OTHER = "https://evil.example"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWERING: Script = [repeat(request(), send(OK))]
SPA = f"""
cors:
  allow_origins: [{ORIGIN}, "https://*.preview.example.com"]
  allow_methods: [GET, PUT, DELETE]
  allow_headers: [authorization, content-type]
  expose_headers: [x-total, x-page]
  allow_credentials: true
  max_age: 10m
"""
ANY = """
cors:
  allow_origins: ["*"]
  allow_methods: ["*"]
  allow_headers: ["*"]
  expose_headers: ["*"]
"""
PREFLIGHT_VARY = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def preflight(
    *,
    origin: str = ORIGIN,
    method: str = "PUT",
    headers: str | None = None,
    path: str = "/",
    more: str = "",
    version: str = "1.1",
) -> bytes:
    """Return the preflight that a browser sends."""
    asked = "" if headers is None else f"Access-Control-Request-Headers: {headers}\r\n"
    return (
        f"OPTIONS {path} HTTP/{version}\r\nHost: api.example.com\r\nOrigin: {origin}\r\n"
        f"Access-Control-Request-Method: {method}\r\n{asked}{more}\r\n"
    ).encode()


def get(
    origin: str | None = ORIGIN, *, method: str = "GET", path: str = "/", more: str = ""
) -> bytes:
    """Return an actual request."""
    line = "" if origin is None else f"Origin: {origin}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: api.example.com\r\n{line}{more}\r\n".encode()


def is_clean(answer: Response) -> bool:
    """Tell whether an answer of the proxy's own carries none of what cors.md 31 forbids it."""
    forbidden = {"set-cookie", "location", "content-type", "transfer-encoding", "www-authenticate"}
    return not forbidden & set(answer.head.names()) and answer.body == b""


async def test_31_an_allowed_preflight_is_answered_here() -> None:
    """cors.md 31, 32, 35, 37, 38: 204, no body, all lists, and the upstream never hears of it."""
    async with through(ANSWERING, route=SPA) as way:
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
async def test_31_a_refused_preflight_is_answered_here_without_a_word(refused: bytes) -> None:
    """cors.md 8-12, 31, 33, 34, 38: 403, length 0, no Access-Control-*; the upstream is unaware."""
    async with through(ANSWERING, route=SPA) as way:
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
    async with through(ANSWERING, route=SPA) as (client, _, _):
        answer = await client.exchange(tolerated)
        assert answer.status == 204
        assert "access-control-allow-private-network" not in answer.head.cors()


async def test_35_any_origin_answers_with_stars() -> None:
    """cors.md 32, 35, 36, 38: `*` for everything, Vary names nothing the answer does not depend on."""
    async with through(ANSWERING, route=ANY) as (client, _, _):
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
    async with through(ANSWERING, route=route) as (client, _, _):
        answer = await client.exchange(preflight(method="PURGE", headers="X-One,authorization"))
        cors = answer.head.cors()
        assert cors["access-control-allow-methods"] == "PURGE"
        names = cors["access-control-allow-headers"].lower().replace(" ", "").split(",")
        assert sorted(names) == ["authorization", "x-one"]


async def test_35_minimal_style_says_only_what_was_asked() -> None:
    """cors.md 35: `minimal` leaves out the methods for a safelisted one."""
    route = SPA + "  preflight: {style: minimal}\n"
    async with through(ANSWERING, route=route) as (client, _, _):
        asked = await client.exchange(preflight(method="DELETE", headers="content-type"))
        assert asked.head.cors()["access-control-allow-methods"] == "DELETE"
        assert asked.head.cors()["access-control-allow-headers"].lower() == "content-type"
        plain = await client.exchange(preflight(method="POST"))
        assert "access-control-allow-methods" not in plain.head.cors()
        assert "access-control-allow-headers" not in plain.head.cors()


async def test_31_the_statuses_of_preflights_are_configured() -> None:
    """cors.md 31: `preflight.status` and `refused_status`; both with `Content-Length: 0` but for 204."""
    route = SPA + "  preflight: {status: 200, refused_status: 404}\n"
    async with through(ANSWERING, route=route) as (client, _, _):
        for data, status in ((preflight(), 200), (preflight(origin=OTHER), 404)):
            answer = await client.exchange(data)
            assert answer.status == status
            assert answer.head.value("content-length") == b"0"


async def test_38_vary_of_preflights_can_be_switched_off() -> None:
    """cors.md 38: `preflight.vary: false`."""
    async with through(ANSWERING, route=SPA + "  preflight: {vary: false}\n") as (client, _, _):
        assert (await client.exchange(preflight())).head.value("vary") is None


async def test_40_a_preflight_with_a_body_is_drained() -> None:
    """cors.md 40: its body is neither forwarded nor taken for the next request."""
    async with through(ANSWERING, route=SPA) as way:
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
    async with through(ANSWERING, route=SPA) as (client, _, upstream):
        assert (await client.exchange(ordinary)).body == b"hi"
        assert upstream.requests[0].request_line.split()[0] == ordinary.split()[0]


async def test_41_an_allowed_answer_carries_the_headers_of_an_answer() -> None:
    """cors.md 41, 44: origin, credentials, exposed names and Vary; nothing of a preflight's."""
    async with through(ANSWERING, route=SPA) as (client, _, upstream):
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
    """cors.md 5, 42, 44, 55: no Access-Control-*, `Vary: Origin`, and the answer untouched."""
    async with through(ANSWERING, route=SPA) as (client, _, _):
        answer = await client.exchange(get(origin))
        assert (answer.status, answer.body) == (200, b"hi")
        assert answer.head.cors() == {}
        assert answer.head.value("vary") == b"Origin"


@pytest.mark.parametrize("origin", [OTHER, None, "null", "not an origin"])
async def test_43_any_origin_says_so_to_everybody(origin: str | None) -> None:
    """cors.md 12, 28, 43: `*` and the exposed names with and without Origin, and no Vary."""
    async with through(ANSWERING, route=ANY) as (client, _, _):
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
async def test_44_46_58_every_answer_carries_them(status: str, method: str) -> None:
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


async def test_47_interim_answers_carry_none() -> None:
    """cors.md 47: a 103 stays as it is; the final answer carries them."""
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
  open: {{allow_origins: ["*"]}}
"""


async def test_62_73_no_route_is_404_under_the_default_policy() -> None:
    """cors.md 62, 73: what matches no route is answered under `defaults.cors`."""
    route = "match: {path: /api/}\ncors: false"
    async with through(
        ANSWERING, route=route, more=DEFAULTS.replace('  open: {allow_origins: ["*"]}\n', "")
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
    async with through(ANSWERING, route="match: {path: /api/}\n" + SPA) as way:
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
async def test_62_own_faults_carry_what_an_answer_would(data: bytes, status: int) -> None:
    """cors.md 62, 64: the page sees the fault, not "CORS error"; nothing of it may be stored."""
    async with through(ANSWERING, route=SPA) as (client, _, _):
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
    async with through(ANSWERING, more=more) as (client, _, _):
        bad = f"GET / HTTP/1.1\r\nHost: a\r\nOrigin: {ORIGIN}\r\nA : b\r\n\r\n".encode()
        answer = await client.exchange(bad)
        assert answer.status == 400
        assert answer.head.cors() == expected


async def test_55_a_policy_that_blocks_shields_the_upstream() -> None:
    """cors.md 55, 5: 403 before the upstream; same-origin requests and navigations still pass."""
    async with through(ANSWERING, route=SPA + "  on_refused: block\n") as way:
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


async def test_6_a_preflight_is_routed_as_the_request_that_it_announces() -> None:
    """cors.md 6, 72: the route of PUT answers a preflight for PUT, the general one any other."""
    more = f"""
  - match: {{methods: [PUT]}}
    upstream: legacy
    cors: {{allow_origins: [{OTHER}], allow_methods: [PUT]}}
"""
    async with through(ANSWERING, route=SPA, more=more) as (client, _, _):
        assert (await client.exchange(preflight(method="PUT", origin=OTHER))).status == 204
        assert (await client.exchange(preflight(method="DELETE", origin=OTHER))).status == 403
        assert (await client.exchange(preflight(method="DELETE"))).status == 204
