"""What `explain` predicts offline is what the proxy sends over sockets (cors.md 70).

A differential test: each policy below decides on each request below, in `explain` and in the proxy.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from corsproxy.explain.explain import Explanation
from corsproxy.explain.fetch_algorithm import PageRequest, sent_headers
from corsproxy.explain.probe import LiveResponse, explain_responses, live_requests
from corsproxy.explain.request import explain_request
from corsproxy.observe.record import Record
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.policy.cors.reasons import Verdict
from tests.support.client import RawClient
from tests.support.messages import Response
from tests.support.proxy import Proxy, config_of, one_route, running_proxy
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send, until

APP = "https://app.example.com"
API = "http://api.example.com"

# The policy of each route; the route's path is its name.
POLICIES = {
    "lists": f"{{allow_origins: [{APP}], allow_methods: [GET, PUT], allow_headers: [x-a]}}",
    "wildcards": '{allow_origins: ["https://*.example.com", "http://localhost:*"]}',
    "any": '{allow_origins: ["*"]}',
    "any-all": '{allow_origins: ["*"], allow_methods: ["*"], allow_headers: ["*"]}',
    "any-vary-off": '{allow_origins: ["*"], preflight: {vary: false}, max_age: 10m}',
    "credentials": f"{{allow_origins: [{APP}], allow_credentials: true, expose_headers: [x-total]}}",
    "credentials-all": (
        f'{{allow_origins: [{APP}], allow_methods: ["*"], allow_headers: ["*"],'
        ' expose_headers: ["*"], allow_credentials: true}'
    ),
    "minimal": (
        f"{{allow_origins: [{APP}], allow_methods: [PUT], allow_headers: [x-a, x-b],"
        " preflight: {style: minimal}}"
    ),
    "statuses": f"{{allow_origins: [{APP}], preflight: {{status: 200, refused_status: 200}}}}",
    "debug": f"{{allow_origins: [{APP}], allow_methods: [PUT], debug: true}}",
    "block": f"{{allow_origins: [{APP}], allow_methods: [PUT], on_refused: block}}",
    "timing": (
        f"{{allow_origins: [{APP}], timing_allow_origins: same, resource_policy: cross-origin}}"
    ),
    "timing-own": '{allow_origins: ["*"], timing_allow_origins: [https://app.example.com]}',
    "null-origin": "{allow_origins: ['null'], dangerously_allow_null_origin: true}",
    "keep": f"{{allow_origins: [{APP}], upstream_cors_headers: keep}}",
    "merge": f"{{allow_origins: [{APP}], upstream_cors_headers: merge, expose_headers: [x-b]}}",
    "none": "false",
}
ORIGINS = [
    APP,
    "https://evil.example",
    "null",
    f"{APP}:443",
    "https://APP.example.com",
    f"{APP}/",
    "http://localhost:3000",
    API,
]
HEADERS: list[tuple[tuple[bytes, bytes], ...]] = [
    (),
    ((b"X-A", b"1"),),
    ((b"x-c", b"1"), (b"X-A", b"2"), (b"Cookie", b"c")),
    ((b"Authorization", b"Basic eDp5"),),
    ((b"Content-Type", b"text/plain"),),
    ((b"Content-Type", b"application/json"),),
]
METHODS = [b"GET", b"POST", b"put", b"PUT", b"patch", b"DELETE", b"CONNECT", b"TRACE"]
ANSWERING: Script = [repeat(request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))]
OWN = ("access-control-", "vary", "timing-allow-origin", "cross-origin-resource-policy", "x-cors-")
EXPOSE = b"access-control-expose-headers"


def config_text(upstream: ScriptedUpstream) -> str:
    """Return a configuration with a route for each policy, whose default has one too."""
    routes = "".join(
        f"  - {{name: {name}, match: {{path: /{name}/}}, upstream: legacy, cors: {cors}}}\n"
        for name, cors in POLICIES.items()
    )
    return one_route(upstream.url, route="match: {path: /unused}\ncors: false", more=routes) + (
        f"\ndefaults:\n  cors: {{allow_origins: [{APP}]}}\n"
    )


def asked_of(path: str) -> Iterator[PageRequest]:
    """Yield requests that contain each pair of values at least once."""
    url = f"{API}{path}"
    for number, origin in enumerate(ORIGINS):
        for method in METHODS:
            yield PageRequest(method, url, origin.encode(), credentials=bool(number % 2))
        for headers in HEADERS:
            yield PageRequest(b"GET", url, origin.encode(), headers, credentials=not number % 2)


def raw_request(asked: PageRequest) -> bytes:
    """Return the request itself, as the browser sends it after the preflight."""
    site = b"same-origin" if asked.origin.decode() == API else b"cross-site"
    fields = [
        (b"Host", b"api.example.com"),
        (b"Origin", asked.origin),
        (b"Sec-Fetch-Site", site),
        *sent_headers(asked),
    ]
    target = asked.url.removeprefix(API).encode()
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (asked.method, target, lines)


def raw_preflight(asked: PageRequest) -> bytes:
    """Return the preflight as `explain --live` sends it."""
    before, _ = live_requests(asked)
    assert before is not None
    lines = b"".join(b"%b: %b\r\n" % field for field in before.fields)
    target = asked.url.removeprefix(API).encode()
    return b"OPTIONS %b HTTP/1.1\r\nHost: api.example.com\r\n%b\r\n" % (target, lines)


def own_fields(fields: Any) -> dict[bytes, bytes]:  # noqa: ANN401 - pairs, from either side
    """Return the fields that a policy sets; none may appear twice."""
    found = [
        (name.lower(), value) for name, value in fields if name.decode().lower().startswith(OWN)
    ]
    assert len(dict(found)) == len(found), found
    return dict(found)


def compare_fields(told: dict[bytes, bytes], sent: dict[bytes, bytes], *, expands: bool) -> None:
    """Compare the predicted fields with the real ones; what `*` expands to depends on the response (28)."""
    if expands:
        names = told.pop(EXPOSE, b"")
        assert set(names.lower().split(b", ")) <= set(sent.pop(EXPOSE, b"").lower().split(b", "))
    assert sent == told


async def replies_of(client: RawClient, asked: PageRequest, found: Explanation) -> list[Response]:
    """Send each request whose response was predicted; the real response must equal it."""
    replies = []
    for response in found.responses:
        raw = raw_preflight(asked) if response.to == "preflight" else raw_request(asked)
        reply = await client.exchange(raw)
        assert reply.status == (response.status or 200)
        expands = found.policy == "routes.credentials-all"
        compare_fields(own_fields(response.fields), own_fields(reply.head.fields), expands=expands)
        replies.append(reply)
    return replies


def compare_browser(asked: PageRequest, found: Explanation, replies: list[Response]) -> None:
    """Compare the browser's checks of the predicted responses with those of the real ones."""
    by_name = dict(zip((response.to for response in found.responses), replies, strict=True))
    real = {name: LiveResponse(reply.status, reply.head.fields) for name, reply in by_name.items()}
    judged = explain_responses(asked, real.get("preflight"), real.get("request"))
    assert any(judged.consoles.values()) == any(found.consoles.values())
    assert judged.consoles == found.consoles


def compare_record(found: Explanation, records: list[Record]) -> None:
    """Compare with what the proxy recorded: route, verdict, reason, place."""
    decisions = [record.decision for record in records if record.decision is not None]
    assert {record.route for record in records} == {found.route}
    refused = [one for one in decisions if one.verdict is Verdict.refused]
    told = (refused or decisions)[0] if decisions else None
    if told is not None and found.verdict is not Verdict.none:
        assert (told.verdict, told.reason) == (found.verdict, found.reason)
        assert told.pos == found.pos
    assert found.policy or not decisions


async def compare(compiled: CompiledConfig, proxy: Proxy, path: str) -> int:
    """Compare prediction and proxy for every request to `path`; return how many there were."""
    count = 0
    for asked in asked_of(path):
        records: list[Record] = []
        proxy.server.state.observers = (records.append,)
        found = explain_request(compiled, asked)
        asked = asked._replace(method=found.request.partition(" ")[0].encode())  # noqa: PLW2901
        async with await proxy.client() as client:
            replies = await replies_of(client, asked, found)
        compare_browser(asked, found, replies)
        compare_record(found, records)
        count += 1
    return count


@pytest.mark.parametrize("name", POLICIES)
async def test_70_explain_predicts_what_the_proxy_does(name: str) -> None:
    """cors.md 70: status, headers, verdict, reason, place and the browsers' words are the same."""
    async with ScriptedUpstream(ANSWERING) as upstream:
        compiled = config_of(config_text(upstream))
        async with running_proxy(compiled) as proxy:
            assert await compare(compiled, proxy, f"/{name}/") == 112


@pytest.mark.parametrize("path", ["/nowhere", "/lists/%00", "/any/%00", "/none/%00"])
async def test_70_explain_predicts_the_proxy_s_own_errors(path: str) -> None:
    """cors.md 62, 71, 73: no route, an ambiguous path; the CORS headers of the errors too."""
    async with ScriptedUpstream(ANSWERING) as upstream:
        compiled = config_of(config_text(upstream))
        async with running_proxy(compiled) as proxy:
            asked = PageRequest(b"GET", f"{API}{path}", APP.encode())
            for one in (asked, asked._replace(method=b"PUT"), asked._replace(origin=b"null")):
                found = explain_request(compiled, one)
                assert not found.works
                assert found.verdict is Verdict.none
                async with await proxy.client() as client:
                    replies = await replies_of(client, one, found)
                assert replies[0].status == (404 if path == "/nowhere" else 400)
                compare_browser(one, found, replies)


@pytest.mark.parametrize(("origin", "status"), [(APP, 101), ("https://evil.example", 403)])
async def test_70_explain_predicts_websockets(origin: str, status: int) -> None:
    """cors.md 54: a ws URL means a WebSocket handshake."""
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    async with ScriptedUpstream([until(b"\r\n\r\n"), send(switching + b"\r\n")]) as upstream:
        compiled = config_of(config_text(upstream))
        found = explain_request(
            compiled, PageRequest(b"GET", "ws://api.example.com/lists/", origin.encode())
        )
        assert found.works is (status == 101)
        async with running_proxy(compiled) as proxy, await proxy.client() as client:
            await client.send(
                b"GET /lists/ HTTP/1.1\r\nHost: api.example.com\r\nOrigin: %b\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % origin.encode(),
            )
            head = await client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert found.responses[-1].status == status
        assert b"access-control-" not in head.lower()


async def test_70_a_public_origin_is_the_route_s_own() -> None:
    """cors.md 55: under `block` a page of `public_url` passes; elsewhere it is refused."""
    async with ScriptedUpstream(ANSWERING) as upstream:
        config = one_route(
            upstream.url,
            upstream="public_url: https://www.example.com",
            route=f"cors: {{allow_origins: [{APP}], on_refused: block}}",
        )
        compiled = config_of(config)
        async with running_proxy(compiled) as proxy, await proxy.client() as client:
            for origin, status in (
                (b"https://www.example.com", 200),
                (b"https://evil.example", 403),
            ):
                asked = PageRequest(b"GET", f"{API}/", origin)
                found = explain_request(compiled, asked)
                (reply,) = await replies_of(client, asked, found)
                assert reply.status == status
                compare_browser(asked, found, [reply])


async def test_a_handshake_without_upgrade_is_an_ordinary_request() -> None:
    """forwarding.md H17, cors.md 54, 70: forwarded without Upgrade for any origin; no socket opens."""
    async with ScriptedUpstream(ANSWERING) as upstream:
        config = one_route(
            upstream.url, route=f"name: api\nupgrades: []\ncors: {{allow_origins: [{APP}]}}"
        )
        found = explain_request(
            config_of(config), PageRequest(b"GET", "ws://api.example.com/", b"https://evil.example")
        )
        assert not found.works
        assert found.words == (
            "the route api has no WebSocket upgrade: the handshake is forwarded as a plain GET"
        )
        async with running_proxy(config) as proxy, await proxy.client() as client:
            reply = await client.exchange(
                b"GET / HTTP/1.1\r\nHost: api.example.com\r\nOrigin: https://evil.example\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
        assert reply.status == 200
        assert upstream.requests[0].head.value("upgrade") is None
