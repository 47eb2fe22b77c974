"""What a message looks like on the other side: forwarding.md H1, H2, H5-H8, H11-H13, S13."""

import re

import pytest

from tests.support.messages import Field
from tests.support.proxy import as_answered, as_sent, assert_untouched, through
from tests.support.upstream import Script, close, repeat, request, send
from tests.support.wire import End

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWERING: Script = [repeat(request(), send(OK))]
HOST = b"Host: api.example.com\r\n"


def lines(*fields: Field) -> bytes:
    """Return these fields as header lines."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)


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


HOP_BY_HOP: list[Field] = [
    (b"Connection", b"keep-alive, X-Hop"),
    (b"connection", b"x-Other"),
    (b"X-Hop", b"1"),
    (b"x-other", b"2"),
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Proxy-Authenticate", b"Basic"),
    (b"Proxy-Authorization", b"Basic eDp5"),
    (b"TE", b"trailers"),
    (b"Trailer", b"X-Sum"),
    (b"Upgrade", b"h2c"),
    (b"HTTP2-Settings", b"AAMAAABkAAQAAP__"),
]


async def test_h6_hop_by_hop_fields_end_here_on_the_way_up() -> None:
    """H6, H17: Connection, what it names, and the rest of the list do not reach the upstream."""
    async with through(ANSWERING) as (client, _, upstream):
        fields = [(b"A", b"1"), *HOP_BY_HOP, (b"B", b"2")]
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + lines(*fields) + b"\r\n")
        assert answer.status == 200
        assert as_sent(upstream.requests[0].head) == ((b"A", b"1"), (b"B", b"2"))


async def test_h6_hop_by_hop_fields_end_here_on_the_way_down() -> None:
    """H6: the same holds for a response."""
    down = [field for field in HOP_BY_HOP if field[0] not in {b"TE", b"Trailer"}]
    fields = lines((b"A", b"1"), *down, (b"Content-Length", b"0"), (b"B", b"2"))
    script: Script = [request(), send(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")]
    async with through(script) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert as_answered(answer.head) == (
            (b"A", b"1"),
            (b"B", b"2"),
            (b"Content-Length", b"0"),
        )


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"content-length",
        b"COOKIE",
        b"Authorization",
        b"Origin",
        b"Cache-Control",
        b"Via",
        b"Forwarded",
        b"X-Forwarded-For",
        b"x-forwarded-anything",
    ],
)
async def test_h6_connection_may_not_name_what_must_arrive(name: bytes) -> None:
    """H6, cors.md 48: a client can not have end-to-end fields deleted on the way."""
    async with through(ANSWERING) as way:
        fields = lines((b"Connection", b"close, " + name), (b"Origin", b"https://a.example"))
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


ORDINARY: list[Field] = [
    (b"accept", b"text/html, */*;q=0.1"),
    (b"X-Twice", b"one"),
    (b"x-twice", b"TWO"),
    (b"X-TWICE", b"one"),
    (b"Cookie", b"a=1; b=2"),
    (b"Cookie", b"c=3"),
    (b"x-EMPTY", b""),
    (b"!#$%&'*+-.^_`|~x", b"token"),
    (b"Set-Cookie", b"s=1; Path=/; Unknown"),
    (b"Set-Cookie", b"t=2"),
    (b"Content-Encoding", b"gzip"),
]


async def test_h7_all_other_lines_pass_both_ways_in_order_case_and_number() -> None:
    """H7, H10: nothing is merged, sorted, re-cased or dropped, in either direction."""
    answer_bytes = b"HTTP/1.1 200 OK\r\n" + lines(*ORDINARY) + b"Content-Length: 0\r\n\r\n"
    async with through([request(), send(answer_bytes)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + lines(*ORDINARY) + b"\r\n")
        assert as_sent(upstream.requests[0].head) == tuple(ORDINARY)
        assert as_answered(answer.head)[:-1] == tuple(ORDINARY)


async def test_h9_nothing_is_invented() -> None:
    """H9: a bare request stays bare but for Host and the proxy's own fields; so does a response."""
    async with through([request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]) as way:
        answer = await way.client.exchange(b"POST / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert as_answered(answer.head) == ((b"Content-Length", b"0"),)
        head = way.upstream.requests[0].head
        assert as_sent(head) == ()
        assert head.names().count("host") == 1


@pytest.mark.parametrize(
    "name", [b"Authorization", b"Content-Type", b"User-Agent", b"Referer", b"Range", b"If-Range"]
)
async def test_h7_a_field_that_may_stand_once_is_refused_twice(name: bytes) -> None:
    """H7: two lines of a singleton are 400, even when they agree."""
    async with through(ANSWERING) as way:
        twice = lines((name, b"x"), (name.lower(), b"x"))
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + twice + b"\r\n")
        assert answer.status == 400
        await assert_untouched(way)


EVERY_BYTE = bytes([*range(0x21, 0x7F), 0x20, 0x09, *range(0x80, 0x100)])


async def test_h8_values_and_reasons_pass_as_bytes() -> None:
    """H8: every byte but the controls arrives as it was sent, in values and in the reason."""
    line = b"HTTP/1.1 299 " + EVERY_BYTE + b"\r\n"
    answer_bytes = line + lines((b"X-All", EVERY_BYTE)) + b"Content-Length: 0\r\n\r\n"
    async with through([request(), send(answer_bytes)]) as (client, _, upstream):
        fields = lines((b"X-All", EVERY_BYTE), (b"X-User", b"\x85admin"))
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        assert as_sent(upstream.requests[0].head) == (
            (b"X-All", EVERY_BYTE),
            (b"X-User", b"\x85admin"),
        )
        assert (answer.status, answer.reason) == (299, EVERY_BYTE)
        assert answer.head.value("x-all") == EVERY_BYTE


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.1 404 Nope, not here", 404, b"Nope, not here"),
        (b"HTTP/1.1 302 Found", 302, b"Found"),
        (b"HTTP/1.1 401 Who?", 401, b"Who?"),
        (b"HTTP/1.1 599 \xe9", 599, b"\xe9"),
        (b"HTTP/1.1 999 Far out", 999, b"Far out"),
    ],
)
async def test_h16_status_and_reason_are_the_upstreams(
    line: bytes, status: int, reason: bytes
) -> None:
    """H16: 200-999 with any reason, or none, pass; no redirect is followed."""
    fields = lines((b"Location", b"/other"), (b"Content-Length", b"0"))
    async with through([request(), send(line + b"\r\n" + fields + b"\r\n")]) as way:
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.status, answer.reason) == (status, reason)
        assert len(way.upstream.requests) == 1


BODIES = {
    "none": (b"", b""),
    "length": (b"Content-Length: 5\r\n", b"hello"),
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", list(BODIES))
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE", b"OPTIONS", b"FOO"])
async def test_h11_the_framing_of_a_request_is_kept(method: bytes, framing: str) -> None:
    """H11: length stays length, chunked stays chunked, none stays none, for every method."""
    fields, body = BODIES[framing]
    async with through(ANSWERING) as (client, _, upstream):
        answer = await client.exchange(method + b" / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body)
        assert answer.status == 200
        sent = upstream.requests[0]
        assert sent.framing == framing
        assert sent.body == (b"hello" if body else b"")
        again = await client.exchange(b"GET /again HTTP/1.1\r\n" + HOST + b"\r\n")
        assert again.status == 200
        assert upstream.requests[-1].target == b"/again"


async def test_h11_a_length_of_zero_is_kept() -> None:
    """H11: `Content-Length: 0` is not the same as no length."""
    async with through(ANSWERING) as (client, _, upstream):
        await client.exchange(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        assert upstream.requests[0].head.value("content-length") == b"0"


@pytest.mark.parametrize(
    ("answer_bytes", "framing", "end"),
    [
        (b"Content-Length: 5\r\n\r\nhello", "length", None),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "chunked", None),
        (
            b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: x\r\n\r\n",
            "chunked",
            None,
        ),
        (b"\r\nhello", "close", End.FIN),
    ],
)
async def test_h11_the_framing_of_a_response_is_kept(
    answer_bytes: bytes, framing: str, end: End | None
) -> None:
    """H11, H15: the client sees the upstream's framing; trailers are dropped."""
    async with through([request(), send(b"HTTP/1.1 200 OK\r\n" + answer_bytes), close()]) as way:
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (answer.body, answer.framing) == (b"hello", framing)
        assert answer.trailers == ()
        assert way.client.end is end


@pytest.mark.parametrize("body", [b"5\r\nhello\r\n0\r\n\r\n"])
async def test_h18_an_old_client_gets_no_chunks(body: bytes) -> None:
    """H18: to HTTP/1.0 a body of unknown length ends with the connection."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    async with through([request(), send(data)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        assert (answer.body, answer.framing) == (b"hello", "close")


async def test_h12_head_keeps_the_length_that_get_would_have() -> None:
    """H12: the length is the upstream's, no body follows, the connections go on."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    async with through([request(), send(head), request(), send(OK)]) as (client, _, upstream):
        answer = await client.exchange(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD")
        assert answer.head.value("content-length") == b"1234"
        again = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert again.body == b"hi"
        assert len(upstream.connections) == 1


async def test_h12_head_of_a_chunked_resource_keeps_its_framing_header() -> None:
    """H12, H11: no length is invented for HEAD."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with through([request(), send(head), request(), send(OK)]) as (client, _, _):
        answer = await client.exchange(b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD")
        assert answer.head.value("content-length") is None
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", None),
        (b"HTTP/1.1 204 No Content\r\nX: 1\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 304 Not Modified\r\nX: 1\r\nContent-Length: 77\r\n\r\n", b"77"),
        (b"HTTP/1.1 304 Not Modified\r\nX: 1\r\n\r\n", None),
    ],
)
async def test_h12_204_and_304_have_no_body(head: bytes, kept: bytes | None) -> None:
    """H12: 204 has neither body nor length; 304 has no body; both connections go on."""
    async with through([request(), send(head), request(), send(OK)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.head.value("x") == b"1"
        assert answer.head.value("content-length") == kept
        assert answer.head.value("transfer-encoding") is None
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"
        assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\n"),
    ],
)
async def test_h12_a_body_where_none_may_be_is_not_passed_on(method: str, head: bytes) -> None:
    """H12: the answer goes without it, and the upstream connection is not used again."""
    async with through([request(), send(head + b"POISON")], ANSWERING) as (client, _, upstream):
        await client.exchange(method.encode() + b" / HTTP/1.1\r\n" + HOST + b"\r\n", method)
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).body == b"hi"
        assert len(upstream.connections) == 2


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


async def test_h13_interim_answers_pass_but_for_100() -> None:
    """H13, cors.md 47: 102 and 103 reach an HTTP/1.1 client in order, 100 ends here."""
    async with through([request(), send(CONTINUE + PROCESSING + HINTS + OK)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert [one.first_line for one in answer.interim] == [
            b"HTTP/1.1 102 Processing",
            b"HTTP/1.1 103 Early Hints",
        ]
        assert answer.interim[1].values("link") == [b"</a.css>; rel=preload"]
        assert (answer.status, answer.body) == (200, b"hi")


async def test_h13_an_old_client_sees_no_interim_answer() -> None:
    """H13: HTTP/1.0 knows no 1xx."""
    async with through([request(), send(CONTINUE + HINTS + OK)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
        assert answer.interim == ()
        assert answer.body == b"hi"


async def test_h13_a_switch_nobody_asked_for_is_a_fault() -> None:
    """H13: 101 without an upgrade asked for is 502, and that connection is dropped."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    async with through([request(), send(switch)], ANSWERING) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 502
        assert (await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200
        assert len(upstream.connections) == 2


async def test_s13_a_request_is_written_anew() -> None:
    """S13: HTTP/1.1, one Host, one framing header, in digits without leading zeros (S1)."""
    async with through(ANSWERING) as (client, _, upstream):
        answer = await client.exchange(
            b"POST /x HTTP/1.0\r\nhost:  api.example.com \t\r\ncontent-LENGTH:\t002\r\nA:b\r\n\r\nhi",
        )
        assert answer.status == 200
        sent = upstream.requests[0]
        assert re.fullmatch(
            rb"POST /x HTTP/1\.1\r\n(?:[^\r\n:]+: [^\r\n]*\r\n)+\r\n", sent.head.raw
        )
        assert sent.head.values("host") == [upstream.authority.encode()]
        assert sent.head.values("content-length") == [b"2"]
        assert sent.body == b"hi"
        assert (b"A", b"b") in sent.head.fields


async def test_s13_chunks_are_written_anew() -> None:
    """S13, H15: extensions and trailers do not go upstream, the payload does."""
    chunks = b"003;ext=1\r\nabc\r\n2\r\nde\r\n00\r\nX-Trailer: poison\r\n\r\n"
    async with through(ANSWERING) as (client, _, upstream):
        answer = await client.exchange(
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + chunks
        )
        assert answer.status == 200
        assert upstream.requests[0].body == b"abcde"
        assert b"ext" not in upstream.received[0]
        assert b"poison" not in upstream.received[0]
        assert upstream.requests[0].trailers == ()
