"""Cookies, Origin and Referer over sockets, to the byte: cors.md 52, 55, 60."""

import pytest

from corsproxy.policy.compiled import Route
from tests.support.proxy import through
from tests.support.rules import APP, OFF, PUBLIC, SPA, answering, asking
from tests.support.upstream import Script, request, send

COOKIES = [
    (
        'cookies: [{name: "*", same_site: none, partitioned: true}]',
        b"sid=a=b; Path=/; HttpOnly; Max-Age=9; X-Own=1",
        b"sid=a=b; Path=/; HttpOnly; Max-Age=9; X-Own=1; Secure; SameSite=None; Partitioned",
    ),
    (
        "cookies: [{domain: remove, path: {/app: /api}, http_only: true}]",
        b"sid=1;path=/app/x;domain=legacy.internal;SameSite=Lax",
        b"sid=1; Path=/api/x;SameSite=Lax; HttpOnly",
    ),
    (
        "cookies: [{name: other, secure: true}, {name: s*, secure: true}, {secure: false}]",
        b"sid=1",
        b"sid=1; Secure",
    ),
    ("cookies: [{name: other, secure: true}]", b"sid=1; path=/", b"sid=1; path=/"),
    ("path: {strip_prefix: /api}", b"sid=1; Path=/app", b"sid=1; Path=/api/app"),
    ("path: {strip_prefix: /api}", b"sid=1; Path=/", b"sid=1; Path=/api"),
    ("path: {strip_prefix: /api}\nlocation: keep", b"sid=1; Path=/app", b"sid=1; Path=/app"),
    ("path: {add_prefix: /v1}", b"sid=1; Path=/v1/x", b"sid=1; Path=/x"),
    ("path: {add_prefix: /v1}", b"sid=1; Path=/", b"sid=1; Path=/"),
    (
        "path: {strip_prefix: /api}\ncookies: [{same_site: none}]",
        b"__Host-sid=1; Path=/; Secure",
        b"__Host-sid=1; Path=/; Secure; SameSite=None",
    ),
    (
        "path: {strip_prefix: /api}\ncookies: [{secure: true, path: {/app: /}}]",
        b"sid=1; Path=/app/x",
        b"sid=1; Path=/x; Secure",
    ),
]


@pytest.mark.parametrize(("route", "sent", "expected"), COOKIES)
async def test_60_cookies_to_the_byte(route: str, sent: bytes, expected: bytes) -> None:
    """cors.md 60, 58: each line on its own, unknown attributes and their order kept."""
    upstream = answering(b"Set-Cookie: %b\r\nX-A: 1\r\nset-cookie: z=\r\n" % sent)
    async with through(upstream, route=OFF + route) as way:
        answer = await way.client.exchange(asking(line=b"GET /api/x"))
        first, second = answer.head.values("set-cookie")
        assert first == expected
        assert second.startswith(b"z=")
        assert answer.head.names()[:3] == ["set-cookie", "x-a", "set-cookie"]


async def test_60_a_cookie_that_browsers_would_refuse_stays_and_is_counted() -> None:
    """cors.md 60: left as it is; counted each time, reported once a route and reason."""
    upstream = answering(b"Set-Cookie: __Host-sid=1; Path=/; Secure\r\n")
    told: list[tuple[str, str]] = []

    def tell(route: Route, reason: str) -> None:
        told.append((route.name, reason))

    async with through(upstream, route=OFF + "cookies: [{secure: false}]") as way:
        way.proxy.server.state.reports.on_cookie_left = tell
        for _ in range(3):
            answer = await way.client.exchange(asking())
            assert answer.head.value("set-cookie") == b"__Host-sid=1; Path=/; Secure"
        assert told == [("route-1", "host_prefix")]
        assert sum(way.proxy.server.state.reports.cookies_left.values()) == 3


async def test_60_cookies_left_are_counted_by_route_and_reason() -> None:
    """cors.md 60: each route and reason is reported once and counted each time; a rewritten one is not."""
    cookies = (b"__Host-a=1; Path=/; Secure", b"b=2; Secure; Partitioned", b"c=3; Secure", b"d=4")
    lines = b"".join(b"Set-Cookie: %b\r\n" % cookie for cookie in cookies)
    told: list[tuple[str, str]] = []
    first = OFF + "name: one\nmatch: {path: /one}\ncookies: [{secure: false}]"
    second = "  - {name: two, upstream: legacy, cors: false, cookies: [{secure: false}]}"
    async with through(answering(lines), route=first, more=second) as way:
        server = way.proxy.server
        for target in (b"/one", b"/one", b"/two"):
            answer = await way.client.exchange(asking(line=b"GET " + target))
            expected = [*cookies[:2], b"c=3", b"d=4"]
            assert answer.head.values("set-cookie") == expected
            server.state.reports.on_cookie_left = lambda route, reason: told.append(
                (route.name, reason)
            )
        assert told == [("two", "host_prefix"), ("two", "partitioned_insecure")]
        counted = server.snapshot()["corsproxy_cookies_left_total"]
        assert sorted(counted) == [
            (("one", "host_prefix"), (2,)),
            (("one", "partitioned_insecure"), (2,)),
            (("two", "host_prefix"), (1,)),
            (("two", "partitioned_insecure"), (1,)),
        ]


ORIGINS = [
    # how, origin, referer, what arrives
    ("keep", APP, APP + b"/p?q", (APP, APP + b"/p?q")),
    ("strip", APP, APP + b"/p?q", (None, None)),
    ("strip", None, APP + b"/p?q", (None, None)),
    ("rewrite", APP, APP + b"/p?q", (b"http://UPSTREAM", b"http://UPSTREAM/p?q")),
    ("rewrite", APP, b"about:blank", (b"http://UPSTREAM", b"http://UPSTREAM/")),
    ("rewrite", None, None, (None, None)),
    ("rewrite", b"https://evil.example", b"https://evil.example/", None),
    ("rewrite", b"null", b"https://evil.example/", None),
    ("rewrite", b"http://api.example.com", None, (b"http://UPSTREAM", None)),
]


@pytest.mark.parametrize(("how", "origin", "referer", "expected"), ORIGINS)
async def test_52_what_the_upstream_sees_of_the_origin(
    how: str,
    origin: bytes | None,
    referer: bytes | None,
    expected: tuple[bytes | None, bytes | None] | None,
) -> None:
    """cors.md 52: keep, strip or rewrite; a stranger's request is never vouched for (55)."""
    lines = b"" if origin is None else b"Origin: %b\r\n" % origin
    lines += b"" if referer is None else b"referer: %b\r\n" % referer
    async with through(answering(b""), route=SPA, upstream=f"origin_header: {how}") as way:
        answer = await way.client.exchange(asking(lines))
        (seen,) = way.upstream.requests
        wanted = (origin, referer) if expected is None else expected
        own = way.upstream.authority.encode()
        assert (seen.head.value("origin"), seen.head.value("referer")) == tuple(
            value and value.replace(b"UPSTREAM", own) for value in wanted
        )
        # The decision is taken from the request as it came (cors.md 48).
        allowed = answer.head.value("access-control-allow-origin")
        assert allowed == (APP if origin == APP else None)


async def test_52_the_origin_follows_the_host_that_the_upstream_gets() -> None:
    """A CSRF filter compares Origin with Host: both have one name."""
    upstream = "origin_header: rewrite\nhost_header: legacy.internal"
    async with through(answering(b""), route=SPA, upstream=upstream) as way:
        await way.client.exchange(asking(b"Origin: %b\r\n" % APP))
        (seen,) = way.upstream.requests
        assert seen.head.value("host") == b"legacy.internal"
        assert seen.head.value("origin") == b"http://legacy.internal"


async def test_55_the_public_url_is_the_routes_own_origin() -> None:
    """cors.md 55: with public_url, a POST from the API's own pages is not blocked, others are."""
    route = 'cors: {allow_origins: ["https://app.example.com"], on_refused: block}\n'
    async with through(answering(b""), route=route, upstream=PUBLIC) as way:
        post = asking(b"Content-Length: 0\r\nOrigin: %b\r\n", line=b"POST /")
        own = await way.client.exchange(post % b"https://api.example.com", "POST")
        other = await way.client.exchange(post % b"http://api.example.com", "POST")
        assert (own.status, other.status) == (200, 403)


async def test_rules_apply_to_handshakes_on_their_way_up() -> None:
    """A WebSocket's path, Origin and headers are those of any other request (H17)."""
    switch = (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    route = SPA + "path: {strip_prefix: /api}\nrequest_headers: [{set: {X-Key: k}}]"
    upstream = "origin_header: rewrite"
    script: Script = [request(), send(switch)]
    async with through(script, route=route, upstream=upstream) as way:
        more = b"Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: %b\r\n" % APP
        answer = await way.client.exchange(asking(more, line=b"GET /api/socket"))
        (seen,) = way.upstream.requests
        assert answer.status == 101
        assert (seen.target, seen.head.value("x-key")) == (b"/socket", b"k")
        assert seen.head.value("origin") == b"http://" + way.upstream.authority.encode()
        assert seen.head.value("upgrade") == b"websocket"
