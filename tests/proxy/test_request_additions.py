"""What the proxy adds to requests and answers, on the wire: who asked, an id, Via.

forwarding.md H9, K3; product.md. Whose word is taken is in tests/pure/test_forwarded.py.
"""

from tests.support.proxy import through
from tests.support.upstream import Script, repeat, request, send

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ANSWERING: Script = [repeat(request(), send(OK))]


async def test_on_the_wire_a_stranger_is_overwritten() -> None:
    """K3, S6: and so are names that only look like these."""
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
        b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Anything: 6.6.6.6\r\n\r\n"
    )
    async with through(ANSWERING) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        head = upstream.requests[0].head
        assert b"6.6.6.6" not in head.raw
        assert head.value("x-forwarded-for") == b"127.0.0.1"
        assert head.value("x-forwarded-host") == b"a"


async def test_on_the_wire_a_trusted_proxy_is_believed() -> None:
    """K3, config.md `trusted_proxies` and `forwarded: both`."""
    data = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n"
    )
    server, style = "trusted_proxies: [127.0.0.0/8]", "forwarded: both"
    async with through(ANSWERING, server=server, upstream=style) as (client, _, upstream):
        assert (await client.exchange(data)).status == 200
        head = upstream.requests[0].head
        assert head.value("x-forwarded-for") == b"6.6.6.6, 127.0.0.1"
        assert head.value("x-forwarded-proto") == b"https"
        assert head.value("forwarded") == (
            b"for=6.6.6.6;host=a;proto=https, for=127.0.0.1;host=a;proto=http"
        )


async def test_the_stripped_prefix_is_told() -> None:
    """product.md: `X-Forwarded-Prefix`."""
    route = "match: {path: /api/}\npath: {strip_prefix: /api}"
    async with through(ANSWERING, route=route) as (client, _, upstream):
        assert (await client.exchange(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200
        assert upstream.requests[0].target == b"/x"
        assert upstream.requests[0].head.value("x-forwarded-prefix") == b"/api"


async def test_the_request_id_is_kept_or_made() -> None:
    """H9, product.md: one that could be an id is kept; others are made; the answer has the same."""
    async with through(ANSWERING) as (client, _, upstream):
        for sent in (b"abc-123", None, b"a b", b"x" * 200):
            line = b"" if sent is None else b"X-Request-Id: %b\r\n" % sent
            answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % line)
            got = upstream.requests[-1].head.value("x-request-id")
            assert got == answer.head.value("x-request-id")
            assert (got == sent) is (sent == b"abc-123")
        assert len({one.head.value("x-request-id") for one in upstream.requests}) == 4


async def test_an_answers_own_request_id_stays() -> None:
    """H7: an upstream that has its own idea of the id is not corrected."""
    own = b"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nContent-Length: 2\r\n\r\nhi"
    async with through([request(), send(own)]) as (client, _, _):
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.head.values("x-request-id") == [b"theirs"]


async def test_via_is_added_behind_what_is_there() -> None:
    """H9, RFC 9110 7.6.3: with the version that the peer spoke, both ways."""
    old = b"HTTP/1.0 200 OK\r\nVia: 1.1 before\r\nContent-Length: 2\r\n\r\nhi"
    async with through([request(), send(old)]) as (client, _, upstream):
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 cache\r\n\r\n")
        assert upstream.requests[0].head.values("via") == [b"1.0 cache", b"1.1 corsproxy"]
        assert answer.head.values("via") == [b"1.1 before", b"1.0 corsproxy"]


async def test_trace_context_passes() -> None:
    """product.md: `traceparent`, `tracestate` and `baggage` as they came."""
    lines = (
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
        b"tracestate: a=1,b=2\r\nbaggage: user=7\r\n"
    )
    async with through(ANSWERING) as (client, _, upstream):
        assert (await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines)).status == 200
        assert lines in upstream.requests[0].head.raw
