"""Generated input at the borders of the parsers: forwarding.md S1-S5, S11, F1.

No input raises out of a connection (the loop's error handler sees what does), none reaches the
upstream half-parsed, and what the client gets is a well-formed response or a visible cut.
"""

import contextlib
import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.messages import Truncated, parse_head
from tests.support.proxy import Way, as_sent, through
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import close, request, send
from tests.support.wire import patiently

CLEAN = b"GET /clean HTTP/1.1\r\nHost: a\r\n\r\n"
FUZZ = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

ODD = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\x00",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\x0b",
        b"\x7f",
        b"\xff",
        b"0",
        b"-",
    ],
)
LINE = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: 0",
        b"content-length: 6",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: gzip",
        b"Connection: close",
        b"Connection: keep-alive, x",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X: y",
        b"Host: b",
        b"Cookie: a=b",
        b"A:",
    ],
)
BODY = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)


@st.composite
def spoiled(draw: st.DrawFn, first_lines: list[bytes]) -> bytes:
    """Return a message that is nearly one: bytes are cut out of it, doubled and put into it."""
    lines = [draw(st.sampled_from(first_lines)), b"Host: a", *draw(st.lists(LINE, max_size=4))]
    data = b"\r\n".join(lines) + b"\r\n\r\n" + draw(BODY)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 4))
        middle = draw(st.one_of(ODD, st.binary(max_size=4), st.just(data[at : at + size] * 2)))
        data = data[:at] + middle + data[at + size :]
    return data


REQUESTS = spoiled(
    [b"GET / HTTP/1.1", b"POST /a?b HTTP/1.1", b"PUT / HTTP/1.0", b"FOO /x HTTP/1.1"]
)
ANSWERS = spoiled([b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 x", b"HTTP/1.1 103 x"])


async def _read_to_the_end(way: Way) -> None:
    """Read every response that comes; each must be one (the reader is strict), or be cut.

    Two requests of somebody else's come first, so that what was sent has had its time: a FIN right
    behind it would count as the client leaving (H20).
    """
    async with await way.proxy.client() as other:
        for _ in range(2):
            assert (await other.exchange(CLEAN)).body == b"hi"
    way.client.finish()
    with contextlib.suppress(Truncated):
        while way.client.is_open:
            await patiently(way.client.response(), "the proxy to end the connection")


@given(data=REQUESTS, cuts=st.lists(st.integers(0, 120), max_size=3))
@FUZZ
async def test_no_request_gets_through_by_halves(data: bytes, cuts: list[int]) -> None:
    """S1-S5: the upstream's strict reader takes every head it gets, and it is one that we write."""
    async with through(ALWAYS_OK, server="timeouts: {request_header: 1s}") as way:
        start = 0
        for cut in [*sorted(cuts), len(data)]:
            await way.client.send(data[start:cut])
            start = max(start, cut)
        await _read_to_the_end(way)
        for head in (parse_head(one.head.raw) for one in way.upstream.requests):
            if head.first_line.startswith(b"GET /clean "):
                continue
            assert re.fullmatch(rb"[!-~]+ /[!-~]* HTTP/1\.1", head.first_line)
            assert head.values("host") == [way.upstream.authority.encode()]
            framing = {"content-length", "transfer-encoding", "connection", "expect", "te"}
            assert len(framing & set(head.names())) <= 1
            for name, value in as_sent(head):
                if name.lower() not in {b"content-length", b"transfer-encoding"}:
                    assert value in data


@given(data=ANSWERS, method=st.sampled_from(["GET", "HEAD"]))
@FUZZ
async def test_no_response_gets_through_by_halves(data: bytes, method: str) -> None:
    """S11, F1, S12: a well-formed response, a 502 or a cut; and the next request gets its own."""
    async with through([request(), send(data), close()], ALWAYS_OK) as way:
        await way.client.send(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        with contextlib.suppress(Truncated):
            answer = await way.client.response(method)
            assert answer.status >= 200
        async with await way.proxy.client() as other:
            assert (await other.exchange(CLEAN)).body == b"hi"


@given(data=st.binary(max_size=400))
@FUZZ
async def test_noise_is_not_a_request(data: bytes) -> None:
    """S3, S4: random bytes get a refusal or silence, and nothing reaches the upstream."""
    async with through(ALWAYS_OK) as way:
        await way.client.send(data)
        await _read_to_the_end(way)
        assert {one.target for one in way.upstream.requests} == {b"/clean"}
