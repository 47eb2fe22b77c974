"""What a request line becomes: forwarding.md H1-H5."""

import pytest

from tests.support.proxy import assert_untouched, through
from tests.support.responses import ALWAYS_OK
from tests.support.wire import End

HOST = b"Host: api.example.com\r\n"


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a%2Fb//c/d;x=1?q=%2b+%20&a=%zz",
        b"/a?b?c=../..&d=%2e%2e/",
        b"/%0A%0d%09",
        b"/%FF%fe%80",
        b"/%zz%",
        b"/...;/.a/..b/a..",
        b"/a\\b",
        b'/[]{}|^`"<>',
        b"/?",
        b"/??",
        b"/a:b@c",
        b"//evil.example/x",
        b"/\\evil.example",
        b"/http://evil.example/",
        b"/" + b"a" * 7000,
    ],
)
async def test_h1_the_target_goes_upstream_byte_for_byte(target: bytes) -> None:
    """H1, H2, H5: no target is decoded, normalised or read as an authority."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.body) == (200, b"hi")
        sent = upstream.requests[0]
        assert sent.request_line == b"GET " + target + b" HTTP/1.1"
        assert sent.head.values("host") == [upstream.authority.encode()]


@pytest.mark.parametrize(
    "target",
    [
        b"/a/../b",
        b"/..",
        b"/.",
        b"/a/./b",
        b"/%2e%2E/b",
        b"/a/.%2e",
        b"/a/%2e./b?x",
        b"/a/..;x=1/b",
        b"/%2e;/",
        b"/a%2F..%2fb",
        b"/a\\..\\b",
        b"/a%5c%2e%2e%5Cb",
        b"/a/..%3bx/b",
        b"/%2E%3B/b",
        b"/a%00b",
        b"/%00",
    ],
)
async def test_h1_ambiguous_paths_are_refused(target: bytes) -> None:
    """H1: a dot segment in any spelling, or an encoded NUL, is 400 and goes nowhere."""
    async with through(ALWAYS_OK) as way:
        data = b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        answer = await way.client.exchange(data)
        assert answer.status == 400
        assert answer.problem()["error"] == "ambiguous_path"
        await assert_untouched(way)


STRICTER = """
  - match: {host: api.example.com, path: /admin/}
    upstream: legacy
    cors: {allow_origins: [https://admin.example.com], on_refused: block}
"""
FROM_OUTSIDE = b"Host: %b\r\nOrigin: https://page.example.com\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/admin/s", b"api.example.com"),
        (b"/%61dmin/s", b"api.example.com"),
        (b"/ad%6Din", b"api.example.com"),
        (b"/%61%64%6d%69%6E/s?x=%61", b"api.example.com"),
        (b"/admin/s", b"api.example.com."),
        (b"/admin/s", b"API.example.com.:80"),
        (b"/admin/s", b"api.example.com:"),
    ],
)
async def test_h1_no_spelling_leads_around_a_stricter_route(target: bytes, host: bytes) -> None:
    """H1, cors.md 71, 72: unreserved characters are compared decoded, hosts without a root dot."""
    async with through(ALWAYS_OK, more=STRICTER) as way:
        refused = await way.client.exchange(
            b"GET " + target + b" HTTP/1.1\r\n" + FROM_OUTSIDE % host
        )
        assert (refused.status, refused.problem()["error"]) == (403, "cors_refused")
        await assert_untouched(way)


@pytest.mark.parametrize("target", [b"/%61dmin/%7Es%2e?%61", b"/%2561dmin/s"])
async def test_h1_what_is_decoded_for_matching_goes_upstream_as_it_came(target: bytes) -> None:
    """H1: decoding is for the comparison alone."""
    async with through(ALWAYS_OK, more=STRICTER) as way:
        line = b"GET " + target + b" HTTP/1.1\r\n"
        await way.client.exchange(line + b"Host: api.example.com\r\n\r\n")
        assert [seen.target for seen in way.upstream.requests] == [target]


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"http://api.example.com/a?b", b"/a?b"),
        (b"HTTP://API.example.com:80/a", b"/a"),
        (b"http://api.example.com", b"/"),
        (b"http://api.example.com?x=1", b"/?x=1"),
        (b"https://api.example.com:443//a", b"//a"),
        (b"http://api.example.com:/a", b"/a"),
    ],
)
async def test_h3_absolute_form_for_the_named_host_becomes_origin_form(
    target: bytes, forwarded: bytes
) -> None:
    """H2, H3: an absolute target that names what Host names is sent on in origin-form."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert upstream.requests[0].target == forwarded


@pytest.mark.parametrize(
    ("host", "target"),
    [
        (b"a.example:", b"http://a.example/x"),
        (b"a.example:", b"http://A.example:80/x"),
        (b"a.example:80", b"http://a.example:/x"),
        (b"[::1]:", b"http://[::1]:80/x"),
    ],
)
async def test_h3_an_empty_port_is_the_default_one(host: bytes, target: bytes) -> None:
    """H3, S5: on either side of the comparison."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.exchange(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))
        assert upstream.requests[0].target == b"/x"


async def test_h3_an_old_client_names_the_host_in_its_target() -> None:
    """H3: HTTP/1.0 without Host: the authority counts, and goes where Host would."""
    async with through(ALWAYS_OK, upstream="host_header: preserve") as (client, _, upstream):
        await client.exchange(b"GET http://a.example:/x HTTP/1.0\r\n\r\n")
        assert upstream.requests[0].target == b"/x"
        assert upstream.requests[0].head.values("host") == [b"a.example"]


@pytest.mark.parametrize("authority", [b"user@a.example", b"a%2eexample", b"a:0", b""])
async def test_h3_an_old_clients_authority_has_to_be_a_host(authority: bytes) -> None:
    """H3, S5: what no Host may say, no authority may."""
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(b"GET http://%b/x HTTP/1.0\r\n\r\n" % authority)
        assert answer.status == 400
        await assert_untouched(way)


@pytest.mark.parametrize(
    "target",
    [
        b"http://evil.example/",
        b"http://api.example.com:8080/",
        b"http://user@api.example.com/",
        b"ftp://api.example.com/",
        b"http:///a",
        b"http:/a",
        b"@evil.example/",
        b"evil.example:80",
        b"*",
        b"a",
    ],
)
async def test_h2_h3_a_target_can_not_name_another_place(target: bytes) -> None:
    """H2, H3, H4: a target that is neither a path nor this host's absolute form is 400."""
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


async def test_h4_options_of_the_proxy_itself_gets_a_local_response() -> None:
    """H4: `OPTIONS *` is 204 from the proxy, and the connection goes on."""
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.body) == (204, b"")
        await assert_untouched(way)


@pytest.mark.parametrize("line", [b"CONNECT api.example.com:443", b"TRACE /", b"CONNECT /"])
async def test_h4_connect_and_trace_are_not_served(line: bytes) -> None:
    """H4: 405 with Allow, and nothing reaches the upstream."""
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(line + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 405
        assert answer.head.value("allow")
        await assert_untouched(way)


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
async def test_h4_nothing_behind_a_refused_connect_or_trace_is_a_request(method: bytes) -> None:
    """H4, RFC 9110 9.3.6: what is there may be a tunnel's bytes, which anybody can choose."""
    async with through(ALWAYS_OK) as way:
        line = method + b" / HTTP/1.1\r\n" + HOST + b"\r\n"
        answer = await way.client.exchange(line + b"GET /chosen HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.head.value("connection")) == (405, b"close")
        assert await way.client.ending() is End.FIN
        await assert_untouched(way)


@pytest.mark.parametrize(
    "method",
    [
        b"GET",
        b"patch",
        b"FOO",
        b"PURGE",
        b"M-SEARCH",
        b"get",
        b"PRI",
        b"!#$%&'*+-.^_`|~09",
        b"OPTIONS",
    ],
)
async def test_h5_any_token_is_a_method(method: bytes) -> None:
    """H5: a method travels as it was written, whatever a parser's table knows."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(method + b" /x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 200
        assert upstream.requests[0].request_line == method + b" /x HTTP/1.1"
