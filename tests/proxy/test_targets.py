"""What a request line becomes: forwarding.md H1-H5."""

import pytest

from tests.support.answers import ANSWERING
from tests.support.proxy import assert_untouched, through
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
    async with through(ANSWERING) as (client, _, upstream):
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
        b"/a%00b",
        b"/%00",
    ],
)
async def test_h1_ambiguous_paths_are_refused(target: bytes) -> None:
    """H1: a dot segment in any spelling, or an encoded NUL, is 400 and goes nowhere."""
    async with through(ANSWERING) as way:
        data = b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        answer = await way.client.exchange(data)
        assert answer.status == 400
        assert answer.problem()["error"] == "ambiguous_path"
        await assert_untouched(way)


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        (b"http://api.example.com/a?b", b"/a?b"),
        (b"HTTP://API.example.com:80/a", b"/a"),
        (b"http://api.example.com", b"/"),
        (b"http://api.example.com?x=1", b"/?x=1"),
        (b"https://api.example.com:443//a", b"//a"),
    ],
)
async def test_h3_absolute_form_for_the_named_host_becomes_origin_form(
    target: bytes, forwarded: bytes
) -> None:
    """H2, H3: an absolute target that names what Host names is sent on in origin-form."""
    async with through(ANSWERING) as (client, _, upstream):
        await client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert upstream.requests[0].target == forwarded


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
    async with through(ANSWERING) as way:
        answer = await way.client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


async def test_h4_options_of_the_proxy_itself_is_answered_here() -> None:
    """H4: `OPTIONS *` is 204 from the proxy, and the connection goes on."""
    async with through(ANSWERING) as way:
        answer = await way.client.exchange(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.body) == (204, b"")
        await assert_untouched(way)


@pytest.mark.parametrize("line", [b"CONNECT api.example.com:443", b"TRACE /", b"CONNECT /"])
async def test_h4_connect_and_trace_are_not_served(line: bytes) -> None:
    """H4: 405 with Allow, and nothing reaches the upstream."""
    async with through(ANSWERING) as way:
        answer = await way.client.exchange(line + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 405
        assert answer.head.value("allow")
        await assert_untouched(way)


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
async def test_h4_nothing_behind_a_refused_connect_or_trace_is_a_request(method: bytes) -> None:
    """H4, RFC 9110 9.3.6: what stands there may be a tunnel's bytes, which anybody can choose."""
    async with through(ANSWERING) as way:
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
    async with through(ANSWERING) as (client, _, upstream):
        answer = await client.exchange(method + b" /x HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 200
        assert upstream.requests[0].request_line == method + b" /x HTTP/1.1"
