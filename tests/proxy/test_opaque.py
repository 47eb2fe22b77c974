"""What the proxy does not look into, follow or keep: forwarding.md H10, H16, H1."""

import gzip

import pytest

from tests.support.proxy import as_answered, as_sent, through
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import Script, repeat, request, send

HOST = b"Host: api.example.com\r\n"
PLAIN = b"some text, and some text again; " * 200
ZIPPED = gzip.compress(PLAIN, mtime=0)


def in_chunks(data: bytes) -> bytes:
    """Return `data` as a chunked body, in pieces that no codec would choose."""
    pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


FRAMED = {
    "length": (b"Content-Length: %d\r\n" % len(ZIPPED), ZIPPED),
    "chunked": (b"Transfer-Encoding: chunked\r\n", in_chunks(ZIPPED)),
}


@pytest.mark.parametrize("framing", list(FRAMED))
@pytest.mark.parametrize("coding", [b"gzip", b"br, gzip", b"unknown"])
async def test_h10_an_encoded_body_passes_untouched_both_ways(framing: str, coding: bytes) -> None:
    """H10, H11: not a byte of it changes, nor Content-Encoding, whether it fits it or not."""
    fields, body = FRAMED[framing]
    encoded = b"Content-Encoding: %b\r\n" % coding + fields + b"\r\n" + body
    script: Script = [repeat(request(), send(b"HTTP/1.1 200 OK\r\n" + encoded))]
    async with through(script) as (client, _, upstream):
        answer = await client.exchange(b"POST / HTTP/1.1\r\n" + HOST + encoded)
        sent = upstream.requests[0]
        assert (sent.body, sent.framing) == (ZIPPED, framing)
        assert sent.head.values("content-encoding") == [coding]
        assert (answer.body, answer.framing) == (ZIPPED, framing)
        assert answer.head.values("content-encoding") == [coding]


@pytest.mark.parametrize("accept", [None, b"gzip", b"identity;q=0", b""])
async def test_h10_what_a_client_accepts_is_for_the_upstream_to_read(accept: bytes | None) -> None:
    """H9, H10: Accept-Encoding is neither added nor changed; nobody compresses in between."""
    script: Script = [request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 6400\r\n\r\n" + PLAIN)]
    fields = b"" if accept is None else b"Accept-Encoding: %b\r\n" % accept
    async with through(script) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\n" + HOST + fields + b"\r\n")
        expected = () if accept is None else ((b"Accept-Encoding", accept),)
        assert as_sent(upstream.requests[0].head) == expected
        assert as_answered(answer.head) == ((b"Content-Length", b"6400"),)
        assert answer.body == PLAIN


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"303 See", b"307 T", b"308 P"])
async def test_h16_no_redirect_is_followed(status: bytes) -> None:
    """H16: the client decides; the upstream sees one request."""
    fields = b"Location: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    script: Script = [request(), send(b"HTTP/1.1 %b\r\n%b" % (status, fields)), *ALWAYS_OK]
    async with through(script) as (client, _, upstream):
        answer = await client.exchange(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n")
        assert answer.head.first_line == b"HTTP/1.1 " + status
        assert answer.head.values("location") == [b"/elsewhere"]
        assert [one.target for one in upstream.requests] == [b"/"]


async def test_h16_no_cookie_is_kept() -> None:
    """H16: what the upstream sets for one client is in no later request, whoever sends it."""
    setting = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1\r\nContent-Length: 0\r\n\r\n"
    async with through([request(), send(setting), *ALWAYS_OK]) as (client, proxy, upstream):
        get = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
        assert (await client.exchange(get)).head.values("set-cookie") == [b"session=1"]
        assert (await client.exchange(get)).head.values("set-cookie") == []
        async with await proxy.client() as other:
            assert (await other.exchange(get)).head.values("set-cookie") == []
        assert [as_sent(one.head) for one in upstream.requests] == [(), (), ()]


@pytest.mark.parametrize(
    "target",
    [
        b"/a/../b",
        b"/..",
        b"/./",
        b"/%2e%2E/b",
        b"/a/..;x=1/b",
        b"/a%5c..%5Cb",
        b"/%00",
        b"/../../x",
    ],
)
async def test_h1_ambiguous_paths_pass_where_the_route_says_so(target: bytes) -> None:
    """H1: under `ambiguous_paths: forward`, byte for byte."""
    async with through(ALWAYS_OK, route="ambiguous_paths: forward") as (client, _, upstream):
        answer = await client.exchange(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == 200
        assert upstream.requests[0].request_line == b"GET " + target + b" HTTP/1.1"


async def test_h1_ambiguous_paths_are_a_matter_of_the_route() -> None:
    """H1: the bytes that were matched are checked under the route that they matched."""
    more = "  - upstream: legacy\n    match: {path: /strict/}"
    async with through(ALWAYS_OK, route="ambiguous_paths: forward", more=more) as (client, _, up):
        for target, status in ((b"/lax/../strict/", 200), (b"/strict/../lax/", 400)):
            data = b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n"
            assert (await client.exchange(data)).status == status
        assert [one.target for one in up.requests] == [b"/lax/../strict/"]
