"""Paths on their way up and links on their way back, over sockets: cors.md 58; forwarding.md H1."""

import pytest

from tests.support.messages import Response
from tests.support.proxy import through
from tests.support.rules import OFF, PUBLIC, answering, asking
from tests.support.upstream import Script, UpstreamConnection, repeat, request

PATHS = [
    ("strip_prefix: /api", b"/api/a%2Fb//c?q=%2b", b"/a%2Fb//c?q=%2b", b"/api"),
    ("strip_prefix: /api", b"/api", b"/", b"/api"),
    ("strip_prefix: /api", b"/api?x", b"/?x", b"/api"),
    ("strip_prefix: /api", b"/apian", b"/apian", None),
    ("strip_prefix: /api", b"/api//evil.com", b"//evil.com", b"/api"),
    ("add_prefix: /v1", b"/x?/y", b"/v1/x?/y", None),
    ("strip_prefix: /api, add_prefix: /v1", b"/api/x", b"/v1/x", b"/api"),
    ("strip_prefix: /api, add_prefix: /v1", b"/x", b"/v1/x", None),
]


@pytest.mark.parametrize(("path", "sent", "expected", "prefix"), PATHS)
async def test_what_goes_up_is_mapped_and_what_is_matched_is_as_sent(
    path: str,
    sent: bytes,
    expected: bytes,
    prefix: bytes | None,
) -> None:
    """forwarding.md H1: the target byte for byte except for the prefix; X-Forwarded-Prefix contains it."""
    async with through(answering(b""), route=OFF + f"path: {{{path}}}") as way:
        await way.client.exchange(asking(line=b"GET " + sent))
        (seen,) = way.upstream.requests
        assert seen.target == expected
        assert seen.head.value("x-forwarded-prefix") == prefix
        assert seen.head.value("host") == way.upstream.authority.encode()


async def test_replace_prefix_swaps_the_one_that_is_matched() -> None:
    """L18: replace_prefix takes the place of the prefix in match.path; others match nothing."""
    route = OFF + "match: {path: /old/}\npath: {replace_prefix: /new}"
    async with through(answering(b""), route=route) as way:
        await way.client.exchange(asking(line=b"GET /old/x"))
        refused = await way.client.exchange(asking(line=b"GET /new/x"))
        assert refused.status == 404
        assert [seen.target for seen in way.upstream.requests] == [b"/new/x"]


LINKS = [
    ("Location", "http://UPSTREAM/app/x?y#z", "https://api.example.com/api/app/x?y#z"),
    ("Location", "HTTP://UPSTREAM", "https://api.example.com/api/"),
    ("Location", "//UPSTREAM/x", "https://api.example.com/api/x"),
    ("Location", "/login", "/api/login"),
    ("Location", "next?page=2", "next?page=2"),
    ("Location", "https://elsewhere.example/x", "https://elsewhere.example/x"),
    ("Location", "https://UPSTREAM/x", "https://UPSTREAM/x"),
    ("Content-Location", "/orders/7.json", "/api/orders/7.json"),
    ("Refresh", "5; url=http://UPSTREAM/wait", "5; url=https://api.example.com/api/wait"),
    ("Refresh", "5;URL='/wait'", "5;URL='/api/wait'"),
    ("Link", "<http://UPSTREAM/x>; rel=next", "<http://UPSTREAM/x>; rel=next"),
]
STRIP = OFF + "path: {strip_prefix: /api}\n"


@pytest.mark.parametrize(("name", "sent", "expected"), LINKS)
@pytest.mark.parametrize("location", ["rewrite", "keep"])
async def test_58_links_to_the_upstream_get_public_names(
    name: str,
    sent: str,
    expected: str,
    location: str,
) -> None:
    """cors.md 58: Location, Content-Location and Refresh, with the prefix restored, or all kept."""
    script: Script = []
    route = STRIP + f"location: {location}"
    async with through(script, route=route, upstream=PUBLIC) as way:
        own = way.upstream.authority
        value = sent.replace("UPSTREAM", own).encode()
        script += answering(b"%b: %b\r\n" % (name.encode(), value), b"302 Found", body=b"")
        answer = await way.client.exchange(asking(line=b"GET /api/x"))
        wanted = expected if location == "rewrite" else sent
        assert answer.head.value(name) == wanted.replace("UPSTREAM", own).encode()


@pytest.mark.parametrize(
    ("upstream", "host", "location", "expected"),
    [
        ("host_header: upstream", "UPSTREAM", "http://UPSTREAM/x", "http://api.example.com/x"),
        (
            "host_header: preserve",
            "api.example.com",
            "http://UPSTREAM/x",
            "http://api.example.com/x",
        ),
        (
            "host_header: legacy.internal",
            "legacy.internal",
            "http://legacy.internal/x",
            "http://api.example.com/x",
        ),
        (
            f"host_header: preserve\n{PUBLIC}",
            "api.example.com",
            "http://api.example.com/x",
            "https://api.example.com/x",
        ),
        (
            f"host_header: legacy.internal\n{PUBLIC}:8443",
            "legacy.internal",
            "http://legacy.internal:80/x",
            "https://api.example.com:8443/x",
        ),
    ],
)
async def test_58_the_upstream_is_known_by_its_address_and_by_the_host_it_gets(
    upstream: str,
    host: str,
    location: str,
    expected: str,
) -> None:
    """cors.md 58: both names are the upstream's own; public is public_url, else what was asked."""
    script: Script = []
    async with through(script, route=OFF, upstream=upstream) as way:
        own = way.upstream.authority
        value = location.replace("UPSTREAM", own).encode()
        script += answering(b"Location: %b\r\n" % value, b"302 Found", body=b"")
        answer = await way.client.exchange(asking())
        (seen,) = way.upstream.requests
        assert seen.head.value("host") == host.replace("UPSTREAM", own).encode()
        assert answer.head.value("location") == expected.encode()


async def test_58_a_redirect_names_what_a_trusted_proxy_was_asked_for() -> None:
    """cors.md 58, K3: https at the balancer in front stays https in Location."""
    script: Script = []
    server = "trusted_proxies: [127.0.0.1]"
    async with through(script, route=OFF, server=server) as way:
        own = way.upstream.authority.encode()
        script += answering(b"Location: http://%b/x\r\n" % own, b"301 Moved", body=b"")
        told = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
        answer = await way.client.exchange(asking(told))
        assert answer.head.value("location") == b"https://shop.example/x"


async def test_58_a_client_without_host_gets_links_as_they_are() -> None:
    """An HTTP/1.0 client that names no host has no public name to map links to."""
    script: Script = []
    async with through(script, route=STRIP) as way:
        own = way.upstream.authority.encode()
        script += answering(b"Location: http://%b/x\r\n" % own, b"302 Found", body=b"")
        answer = await way.client.exchange(b"GET /api/x HTTP/1.0\r\n\r\n")
        assert answer.head.value("location") == b"http://%b/x" % own


async def test_58_a_redirect_chain_through_a_prefix_comes_back_to_the_same_resource() -> None:
    """cors.md 58: following every Location as a browser does ends where the upstream sent us."""
    chain = {
        b"/v1/login": b"http://%b/v1/login/",
        b"/v1/login/": b"/v1/sso?next=%%2Fhome",
        b"/v1/sso?next=%2Fhome": b"//%b/v1/home",
    }
    seen: list[bytes] = []

    async def hop(connection: UpstreamConnection) -> None:
        target = connection.requests[-1].target
        seen.append(target)
        location = chain.get(target)
        if location is None:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhome")
            return
        to = location % own if b"%b" in location else location % ()
        head = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % to
        await connection.send(head)

    route = OFF + "match: {path: /api/}\npath: {strip_prefix: /api, add_prefix: /v1}"
    async with through([repeat(request(), hop)], route=route) as way:
        own = way.upstream.authority.encode()
        target, answer = b"/api/login", None
        for _ in range(4):
            answer = await way.client.exchange(asking(line=b"GET " + target))
            location = answer.head.value("location") or b""
            target = location.removeprefix(b"http://api.example.com")
        assert isinstance(answer, Response)
        assert answer.body == b"home"
        assert seen == [*chain, b"/v1/home"]
