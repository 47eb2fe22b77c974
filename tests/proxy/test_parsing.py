"""Requests that are refused before a route is looked for: forwarding.md S1-S5, S7.

Each gets its status and `Connection: close`, the connection ends, and nothing of it reaches the
upstream, whether it arrives in one piece or in many.
"""

import asyncio

import pytest

from tests.support.proxy import assert_untouched, through
from tests.support.responses import ALWAYS_OK
from tests.support.wire import End

HOST = b"Host: api.example.com\r\n"


def get(*lines: bytes, host: bytes = HOST) -> bytes:
    """Return a GET with these lines."""
    return b"GET / HTTP/1.1\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Return a POST with these lines and this body."""
    head = b"POST / HTTP/" + version + b"\r\n" + HOST
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"2\r\nhi\r\n0\r\n\r\n"
# As many as may be: the line ends do not count.
TRAILERS = (b"A: " + b"b" * 1021 + b"\r\n") * 16

S1: dict[str, tuple[int, bytes]] = {
    "length and chunked": (400, post(b"Content-Length: 2", CHUNKED, body=CHUNKS)),
    "chunked and length": (400, post(CHUNKED, b"Content-Length: 2", body=CHUNKS)),
    "two equal lengths": (400, post(b"Content-Length: 2", b"content-length: 2", body=b"hi")),
    "two lengths": (400, post(b"Content-Length: 2", b"Content-Length: 3", body=b"hi")),
    "a list of lengths": (400, post(b"Content-Length: 2, 2", body=b"hi")),
    "a signed length": (400, post(b"Content-Length: +2", body=b"hi")),
    "a negative length": (400, post(b"Content-Length: -2", body=b"hi")),
    "an empty length": (400, post(b"Content-Length:", body=b"hi")),
    "a hexadecimal length": (400, post(b"Content-Length: 0x2", body=b"hi")),
    "a length with a space": (400, post(b"Content-Length: 1 1", body=b"hi")),
    "a fractional length": (400, post(b"Content-Length: 2.0", body=b"hi")),
    "a length with an underscore": (400, post(b"Content-Length: 1_0", body=b"hi")),
    "a length of 2^63": (400, post(b"Content-Length: 9223372036854775808", body=b"hi")),
    "a length of 2^64": (400, post(b"Content-Length: 18446744073709551616", body=b"hi")),
    "a length of 2^64+2": (400, post(b"Content-Length: 18446744073709551618", body=b"hi")),
    "an endless length": (400, post(b"Content-Length: " + b"9" * 400, body=b"hi")),
    "an Arabic digit": (400, post("Content-Length: ٢".encode(), body=b"hi")),
}
S2: dict[str, tuple[int, bytes]] = {
    "gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS)),
    "chunked, gzip": (400, post(b"Transfer-Encoding: chunked, gzip", body=CHUNKS)),
    "chunked, chunked": (400, post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS)),
    "xchunked": (400, post(b"Transfer-Encoding: xchunked", body=CHUNKS)),
    "chunked with a space inside": (400, post(b"Transfer-Encoding: chun ked", body=CHUNKS)),
    "quoted": (400, post(b'Transfer-Encoding: "chunked"', body=CHUNKS)),
    "a parameter": (400, post(b"Transfer-Encoding: chunked;a=b", body=CHUNKS)),
    "identity": (400, post(b"Transfer-Encoding: identity", body=CHUNKS)),
    "gzip alone": (400, post(b"Transfer-Encoding: gzip", body=CHUNKS)),
    "an empty coding": (400, post(b"Transfer-Encoding:", body=CHUNKS)),
    "a comma": (400, post(b"Transfer-Encoding: chunked,", body=CHUNKS)),
    "a comma in front": (400, post(b"Transfer-Encoding: ,chunked", body=CHUNKS)),
    "two lines": (400, post(CHUNKED, CHUNKED, body=CHUNKS)),
    "two lines, one empty": (400, post(CHUNKED, b"Transfer-Encoding:", body=CHUNKS)),
    "two lines, gzip first": (400, post(b"Transfer-Encoding: gzip", CHUNKED, body=CHUNKS)),
    "vertical tab": (400, post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS)),
    "on HTTP/1.0": (400, post(CHUNKED, body=CHUNKS, version=b"1.0")),
}
S3: dict[str, tuple[int, bytes]] = {
    "2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "1.2": (505, b"GET / HTTP/1.2\r\n" + HOST + b"\r\n"),
    "0.9 spelled out": (505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    "9.9": (505, b"GET / HTTP/9.9\r\n" + HOST + b"\r\n"),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "none": (400, b"GET /\r\n\r\n"),
    "none, with fields": (400, b"GET /\r\n" + HOST + b"\r\n"),
    "lower case": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "RTSP": (400, b"GET / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "ICE": (400, b"GET / ICE/1.0\r\n" + HOST + b"\r\n"),
    "two digits": (400, b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    "no minor": (400, b"GET / HTTP/1\r\n" + HOST + b"\r\n"),
    "leading zero": (400, b"GET / HTTP/01.1\r\n" + HOST + b"\r\n"),
    "trailing space": (400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    "two spaces after the method": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two spaces after the target": (400, b"GET /  HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a tab": (400, b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in the target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a space in front": (400, b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a method that is no token": (400, b"GE(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no method": (400, b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no target": (400, b"GET HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a control in the target": (400, b"GET /\x01 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "DEL in the target": (400, b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment": (400, b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an empty line in front": (400, b"\r\n" + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
}
S4: dict[str, tuple[int, bytes]] = {
    "space before the colon": (400, get(b"A : b")),
    "tab before the colon": (400, get(b"A\t: b")),
    "space before a framing colon": (400, post(b"Content-Length : 2", body=b"hi")),
    "folded": (400, get(b"A: b", b" c")),
    "folded by a tab": (400, get(b"A: b", b"\tc")),
    "folded first line": (400, b"GET / HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n"),
    "folded framing": (400, post(b"Transfer-Encoding:", b" chunked", body=CHUNKS)),
    "bare LF after the first line": (400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    "bare LF after a field": (400, b"GET / HTTP/1.1\r\nA: b\n" + HOST + b"\r\n"),
    "bare LF only": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF as the empty line": (400, b"GET / HTTP/1.1\r\nHost: a\r\n\n\r\n\r\n"),
    "bare CR in a value": (400, get(b"A: b\rC: d")),
    "bare CR in the first line": (400, b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n"),
    "CR CR LF": (400, get(b"A: b\r")),
    "NUL in a value": (400, get(b"A: b\x00c")),
    "NUL in a name": (400, get(b"A\x00: b")),
    "a control in a value": (400, get(b"A: b\x01c")),
    "a vertical tab in a value": (400, get(b"A: b\x0bc")),
    "a form feed around a value": (400, get(b"A: \x0cb")),
    "DEL in a value": (400, get(b"A: b\x7fc")),
    "escape in a value": (400, get(b"A: \x1b[31m")),
    "an empty name": (400, get(b": b")),
    "no colon": (400, get(b"A")),
    "a space in a name": (400, get(b"A B: c")),
    "a slash in a name": (400, get(b"A/B: c")),
    "a byte above 7F in a name": (400, get(b"\xc4: c")),
    "a parenthesis in a name": (400, get(b"A(: c")),
    "a chunk size that is none": (400, post(CHUNKED, body=b"xyz\r\nhi\r\n0\r\n\r\n")),
    "a chunk size with 0x": (400, post(CHUNKED, body=b"0x2\r\nhi\r\n0\r\n\r\n")),
    "a signed chunk size": (400, post(CHUNKED, body=b"+2\r\nhi\r\n0\r\n\r\n")),
    "a negative chunk size": (400, post(CHUNKED, body=b"-2\r\nhi\r\n0\r\n\r\n")),
    "an empty chunk size": (400, post(CHUNKED, body=b"\r\nhi\r\n0\r\n\r\n")),
    "a chunk size of 2^64": (400, post(CHUNKED, body=b"10000000000000000\r\nhi\r\n0\r\n\r\n")),
    "a chunk size of 2^63": (400, post(CHUNKED, body=b"8000000000000000\r\nhi\r\n0\r\n\r\n")),
    "a space before the chunk size": (400, post(CHUNKED, body=b" 2\r\nhi\r\n0\r\n\r\n")),
    "a space after the chunk size": (400, post(CHUNKED, body=b"2 \r\nhi\r\n0\r\n\r\n")),
    "a chunk size ended by LF": (400, post(CHUNKED, body=b"2\nhi\r\n0\r\n\r\n")),
    "a chunk ended by LF": (400, post(CHUNKED, body=b"2\r\nhi\n0\r\n\r\n")),
    "a chunk too long for its size": (400, post(CHUNKED, body=b"2\r\nhi!\r\n0\r\n\r\n")),
    "a chunk ended by CR CR": (400, post(CHUNKED, body=b"2\r\nhi\r\r0\r\n\r\n")),
    "a control in an extension": (400, post(CHUNKED, body=b"2;a\x00\r\nhi\r\n0\r\n\r\n")),
    "a bare LF in an extension": (400, post(CHUNKED, body=b"2;a\nb\r\nhi\r\n0\r\n\r\n")),
    "a bare LF in an extension without end": (400, post(CHUNKED, body=b"2;a\nb")),
    "a bare LF in a trailer without end": (400, post(CHUNKED, body=b"0\r\nA: b\nc")),
    "a chunk size of 17 digits": (
        400,
        post(CHUNKED, body=b"0" * 16 + b"2\r\nhi\r\n0\r\n\r\n"),
    ),
    "extensions without end": (400, post(CHUNKED, body=b"2;" + b"a" * 5000)),
    "a trailer without colon": (400, post(CHUNKED, body=b"0\r\nabc\r\n\r\n")),
    "a trailer ended by LF": (400, post(CHUNKED, body=b"0\r\nA: b\n\r\n")),
    "a trailer without a name": (400, post(CHUNKED, body=b"0\r\n: b\r\n\r\n")),
    "a trailer with a space before its colon": (400, post(CHUNKED, body=b"0\r\nA : b\r\n\r\n")),
    "a folded trailer": (400, post(CHUNKED, body=b"0\r\nA: b\r\n c\r\n\r\n")),
    "a control in a trailer": (400, post(CHUNKED, body=b"0\r\nA: \x00\r\n\r\n")),
    "a bare CR in a trailer": (400, post(CHUNKED, body=b"0\r\nA: b\rc\r\n\r\n")),
}
S5: dict[str, tuple[int, bytes]] = {
    "missing": (400, get(host=b"")),
    "twice": (400, get(host=b"Host: a\r\nHost: b\r\n")),
    "twice the same": (400, get(host=b"Host: a\r\nhost: a\r\n")),
    "empty": (400, get(host=b"Host:\r\n")),
    "a list": (400, get(host=b"Host: a, b\r\n")),
    "userinfo": (400, get(host=b"Host: user@a\r\n")),
    "a path": (400, get(host=b"Host: a/b\r\n")),
    "a query": (400, get(host=b"Host: a?b\r\n")),
    "a fragment": (400, get(host=b"Host: a#b\r\n")),
    "a backslash": (400, get(host=b"Host: a\\b\r\n")),
    "a space": (400, get(host=b"Host: a b\r\n")),
    "a tab": (400, get(host=b"Host: a\tb\r\n")),
    "no digits in the port": (400, get(host=b"Host: a:http\r\n")),
    "a percent sign": (400, get(host=b"Host: a%2eexample\r\n")),
    "262 bytes": (400, get(host=b"Host: " + b"a" * 262 + b"\r\n")),
    "an empty port without a host": (400, get(host=b"Host: :\r\n")),
    "two colons": (400, get(host=b"Host: a::\r\n")),
    "port 65536": (400, get(host=b"Host: a:65536\r\n")),
    "port 0": (400, get(host=b"Host: a:0\r\n")),
    "an endless port": (400, get(host=b"Host: a:" + b"1" * 30 + b"\r\n")),
    "two ports": (400, get(host=b"Host: a:80:80\r\n")),
    "only a port": (400, get(host=b"Host: :80\r\n")),
    "a scheme": (400, get(host=b"Host: http://a\r\n")),
    "an open bracket": (400, get(host=b"Host: [::1\r\n")),
    "bytes behind a bracket": (400, get(host=b"Host: [::1]a\r\n")),
    "IPv6 without brackets": (400, get(host=b"Host: ::1\r\n")),
    "a byte above 7F": (400, get(host=b"Host: \xc4.example\r\n")),
    "twice on HTTP/1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
}
S7: dict[str, tuple[int, bytes]] = {
    "a long target": (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a target without end": (414, b"GET /" + b"a" * 70_000),
    "a long line": (431, get(b"A: " + b"b" * 33_000)),
    "a line without end": (431, b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000),
    "many bytes": (431, get(*[b"A: " + b"b" * 4000] * 9)),
    "many lines": (431, get(*[b"A: b"] * 128)),
    "chunk extensions over 4 KiB": (
        400,
        post(
            CHUNKED, body=b"1;" + b"a" * 3000 + b"\r\nx\r\n1;" + b"a" * 3000 + b"\r\nx\r\n0\r\n\r\n"
        ),
    ),
    "a byte of chunk extensions over 4 KiB": (
        400,
        post(CHUNKED, body=b"2;" + b"a" * 4096 + b"\r\nhi\r\n0\r\n\r\n"),
    ),
    "trailers over 16 KiB": (400, post(CHUNKED, body=b"0\r\n" + TRAILERS + b"A:\r\n\r\n")),
    "a trailer without end": (400, post(CHUNKED, body=b"0\r\nA: " + b"b" * 5000)),
}
REFUSED = [
    pytest.param(data, status, id=f"{rule} {name}")
    for rule, table in {"S1": S1, "S2": S2, "S3": S3, "S4": S4, "S5": S5, "S7": S7}.items()
    for name, (status, data) in table.items()
]


@pytest.mark.parametrize("pieces", ["whole", "pieces"])
@pytest.mark.parametrize(("data", "status"), REFUSED)
async def test_a_bad_request_gets_its_status_and_reaches_nobody(
    data: bytes, status: int, pieces: str
) -> None:
    """S1-S5, S7: refused means the status, `Connection: close`, the end, and an upstream unaware.

    A fault inside a body may come when the head has gone upstream: what arrives there is then
    never a complete request.
    """
    async with through(ALWAYS_OK) as way:
        step = len(data) if pieces == "whole" else max(1, len(data) // 60)
        for start in range(0, len(data), step):
            await way.client.send(data[start : start + step])
            await asyncio.sleep(0)
        answer = await way.client.response()
        assert answer.status == status, answer
        assert answer.head.value("connection") == b"close"
        assert answer.problem()["status"] == status
        await way.client.until_end()
        assert way.client.unread == b""
        if data.startswith(b"POST") and CHUNKED in data:
            async with await way.proxy.client() as other:
                await other.exchange(b"GET /marker HTTP/1.1\r\nHost: marker\r\n\r\n")
            assert [one.target for one in way.upstream.requests] == [b"/marker"]
        else:
            await assert_untouched(way)


GOOD_HOSTS = [
    b"a",
    b"a.example.com.",
    b"a:1",
    b"a:65535",
    b"[::1]",
    b"[::1]:80",
    b"127.0.0.1:8080",
    b"a_b",
    b"a" * 261,
    b"a:",
    b"[::1]:",
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
async def test_s5_a_good_host_passes(host: bytes) -> None:
    """S5: what is one host with at most a port is not refused."""
    async with through(ALWAYS_OK) as (client, _, _):
        assert (await client.exchange(get(host=b"Host: " + host + b"\r\n"))).status == 200


@pytest.mark.parametrize("host", [b"a.example:", b"A.example.:", b"[::1]:"])
async def test_s5_an_empty_port_goes_upstream_without_its_colon(host: bytes) -> None:
    """S5: it is none, also in what is sent to the upstream."""
    async with through(ALWAYS_OK, upstream="host_header: preserve") as (client, _, upstream):
        await client.exchange(get(host=b"Host: " + host + b"\r\n"))
        (seen,) = upstream.requests
        assert seen.head.values("host") == seen.head.values("x-forwarded-host") == [host[:-1]]


async def test_s5_an_old_client_may_leave_host_out() -> None:
    """S5: HTTP/1.0 has no Host, and gets its response."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(b"GET / HTTP/1.0\r\n\r\n")).status == 200
        assert len(upstream.requests[0].head.values("host")) == 1


async def test_s1_the_largest_length_is_a_length() -> None:
    """S1: 2^63-1 is still legal; the request waits for its body."""
    async with through(ALWAYS_OK) as way:
        await way.client.send(post(b"Content-Length: 9223372036854775807", body=b"hi"))
        way.client.reset()
        async with await way.proxy.client() as other:
            assert (await other.exchange(get())).status == 200


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"2\r\nhi\r\n0\r\n" + TRAILERS + b"\r\n", id="16 KiB of trailers"),
        pytest.param(b"2;" + b"a" * 4095 + b"\r\nhi\r\n0\r\n\r\n", id="4 KiB of extensions"),
        pytest.param(b"0" * 15 + b"2\r\nhi\r\n0\r\n\r\n", id="a size of 16 digits"),
        pytest.param(b"2\r\nhi\r\n0\r\nA:b\tc\r\nB:\r\n\r\n", id="odd trailers"),
    ],
)
async def test_s7_what_is_just_within_a_limit_of_chunks_passes(chunks: bytes) -> None:
    """S7, H15: it is dropped, and the payload goes upstream."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        assert (await client.exchange(post(CHUNKED, body=chunks))).status == 200
        assert [one.body for one in upstream.requests] == [b"hi"]


async def test_a_refusal_after_a_good_request_keeps_the_good_response() -> None:
    """S4: earlier requests keep their responses; the end comes after the refusal."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.send(get() + get(b"A : b"))
        assert (await client.response()).status == 200
        assert (await client.response()).status == 400
        assert await client.ending() is End.FIN
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "name",
    [
        b"Content_Length",
        b"Transfer_Encoding",
        b"Host_",
        b"X_Forwarded_For",
        b"x-forwarded_proto",
        b"X_Real_IP",
        b"X_Request_Id",
        b"x-request_id",
        b"X_REQUEST-ID",
        b"Authorization_",
        b"Proxy",
        b"PROXY",
    ],
)
async def test_s6_names_that_a_gateway_would_confuse_are_dropped(name: bytes) -> None:
    """S6: `Content_Length` and `Proxy` do not go upstream; `Host_` spells nothing and does."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.exchange(get(name + b": 5"))
        passes = name.endswith(b"_")
        assert ((name, b"5") in upstream.requests[0].head.fields) is passes
