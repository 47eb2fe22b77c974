"""Responses that break their grammar, to the letter of what a client gets: forwarding.md S11, F1, F8.

The long table is test_fault_matrix.py; here are the fault's word, its note, and when it occurs.
"""

import asyncio

import pytest

from tests.support.messages import Truncated, read_head
from tests.support.proxy import through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import Script, close, request, send, wait

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = [b"xyz\r\n", b"-1\r\n", b"5\r\nhelloX\r\n", b"ffffffffffffffff\r\n", b"5\nhello\n"]


@pytest.mark.parametrize("bad", BAD_CHUNKS)
@pytest.mark.parametrize("before", [b"", b"2\r\nhi\r\n"])
async def test_s11_a_bad_chunk_in_the_read_of_its_head_is_502(bad: bytes, before: bytes) -> None:
    """S11: nothing of the response has gone out yet, so the client gets `upstream_invalid`."""
    async with through([request(), send(CHUNKED + before + bad)], ALWAYS_OK) as (client, _, up):
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_invalid")
        assert (await client.exchange(GET)).body == b"hi"
        assert len(up.connections) == 2


@pytest.mark.parametrize("bad", BAD_CHUNKS)
async def test_s11_a_bad_chunk_that_comes_later_cuts_the_response(bad: bytes) -> None:
    """S11, F1: what was well formed has gone out; the end mark never does."""
    go = asyncio.Event()
    script: Script = [request(), send(CHUNKED + b"2\r\nhi\r\n"), wait(go), send(bad)]
    async with through(script) as (client, _, _):
        await client.send(GET)
        await read_head(client)
        await client.until(b"hi\r\n")
        go.set()
        rest = await client.until_end()
        assert b"0\r\n\r\n" not in rest


async def test_s11_the_records_name_a_bad_chunk_that_came_later_as_truncation() -> None:
    """F1: `upstream_truncated` is what the client was left with."""
    go = asyncio.Event()
    script: Script = [request(), send(CHUNKED + b"2\r\nhi\r\n"), wait(go), send(b"xyz\r\n")]
    async with through(script, route="name: api") as (client, proxy, _):
        await client.send(GET)
        await client.until(b"hi\r\n")
        go.set()
        await client.until_end()
        faults = proxy.server.state.metrics.of("api").faults
        assert dict(faults) == {"upstream_truncated": 1}


@pytest.mark.parametrize(
    ("folded", "value"),
    [
        (b"A: b\r\n c", b"b c"),
        (b"A: b\r\n\tc", b"b c"),
        (b"A:\r\n c", b"c"),
        (b"A: b\r\n   c\r\n d", b"b c d"),
    ],
)
async def test_s11_a_folded_line_arrives_as_one(folded: bytes, value: bytes) -> None:
    """S11, RFC 9112 5.2: a fold becomes white space; the lines around it stay."""
    head = b"HTTP/1.1 200 OK\r\nX: 1\r\n" + folded + b"\r\nContent-Length: 2\r\n\r\nhi"
    async with through([request(), send(head)]) as (client, _, _):
        answer = await client.exchange(GET)
        assert (answer.status, answer.body) == (200, b"hi")
        assert (answer.head.value("x"), answer.head.value("content-length")) == (b"1", b"2")
        assert b" ".join((answer.head.value("a") or b"").split()) == value


@pytest.mark.parametrize(
    "fold",
    [b"Content-Length:\r\n 2", b"Transfer-Encoding:\r\n chunked", b"X: y\r\n Content-Length: 2"],
)
async def test_s11_framing_in_a_fold_is_not_read_two_ways(fold: bytes) -> None:
    """S11: refused, or read as the one line that it makes; its body is never a response."""
    head = b"HTTP/1.1 200 OK\r\n" + fold + b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n" + OK
    async with through([request(), send(head), close()], ALWAYS_OK) as (client, proxy, _):
        try:
            answer = await client.exchange(GET)
        except Truncated as cut:
            assert cut.head is not None  # noqa: PT017 - the cut is one of the two right ends
        else:
            assert answer.status in {200, 502}
        async with await proxy.client() as other:
            assert (await other.exchange(GET)).body == b"hi"


SECRET = b"s3cret-value"
JUNK = {
    "a header without a colon": b"HTTP/1.1 200 OK\r\n" + SECRET + b"\r\n\r\n",
    "a control byte": b"HTTP/1.1 200 OK\r\nX: \x01" + SECRET + b"\r\n\r\n",
    "a status line that is none": SECRET + b"\r\n\r\n",
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET + b"\r\n\r\n",
    "a bad chunk": CHUNKED + SECRET + b"\r\n",
}


@pytest.mark.parametrize("junk", list(JUNK))
async def test_f8_nothing_of_a_bad_response_is_disclosed(junk: str) -> None:
    """F8: no byte of it, no address, no exception's text reaches the client."""
    async with through([request(), send(JUNK[junk])]) as (client, _, upstream):
        answer = await client.exchange(GET)
        assert (answer.status, answer.problem()["error"]) == (502, "upstream_invalid")
        _tells_nothing(bytes(client.received), upstream.authority)


BAD_REQUESTS = {
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n", 400),
    "a control byte": (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: \x01%b\r\n\r\n", 400),
    "a request line that is none": (b"GET /%b x y\r\nHost: a\r\n\r\n", 400),
    "a bad host": (b"GET / HTTP/1.1\r\nHost: a/%b\r\n\r\n", 400),
    "two of a header": (
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\nAuthorization: x\r\n\r\n",
        400,
    ),
    "a bad length": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n", 400),
    "a bad expectation": (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: %b\r\n\r\n", 417),
    "a bad coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n", 400),
    "an ambiguous path": (b"GET /../%b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a version": (b"GET /%b HTTP/3.0\r\nHost: a\r\n\r\n", 505),
}


@pytest.mark.parametrize("bad", list(BAD_REQUESTS))
async def test_f8_nothing_of_a_bad_request_is_echoed(bad: str) -> None:
    """F8, P3: an error page that repeats what was sent shows it to whoever reads the page."""
    text, status = BAD_REQUESTS[bad]
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(text % SECRET)
        assert answer.status == status
        _tells_nothing(bytes(client.received), upstream.authority)


def _tells_nothing(received: bytes, authority: str) -> None:
    host, _, port = authority.partition(":")
    tells = [SECRET, b"Traceback", b"Error(", b"Errno", b"aiohttp", host.encode(), port.encode()]
    assert [one for one in tells if one in received] == []
