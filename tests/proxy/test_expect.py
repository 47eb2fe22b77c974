"""Clients that ask before they send their body: forwarding.md H14."""

import asyncio

import pytest

from tests.support.messages import read_head
from tests.support.proxy import assert_untouched, through
from tests.support.responses import ALWAYS_OK, OK
from tests.support.upstream import request, send, tell, wait
from tests.support.wire import End, patiently

BODY = b"hello"
FRAMED = {
    "length": (b"Content-Length: 5\r\n", BODY),
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
}
ORIGIN = b"https://evil.example"
BLOCK = 'cors: {allow_origins: ["https://app.example"], on_refused: block}'


def asking(fields: bytes, expect: bytes = b"100-continue", version: bytes = b"1.1") -> bytes:
    """Return the head of an upload that asks first."""
    line = b"POST /upload HTTP/%b\r\nHost: a\r\nExpect: %b\r\n" % (version, expect)
    return line + fields + b"\r\n"


@pytest.mark.parametrize("framing", list(FRAMED))
@pytest.mark.parametrize("expect", [b"100-continue", b"100-Continue"])
async def test_h14_who_asks_is_told_to_send_and_then_served(framing: str, expect: bytes) -> None:
    """H14: 100 first; no upstream connection until the body begins; Expect goes no further."""
    fields, body = FRAMED[framing]
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.send(asking(fields, expect))
        head = await read_head(client)
        assert head.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert upstream.connections == []
        answer = await client.exchange(body)
        assert (answer.status, answer.interim) == (200, ())
        sent = upstream.requests[0]
        assert (sent.body, sent.framing) == (BODY, framing)
        assert sent.head.values("expect") == []
        assert (await client.exchange(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")).status == 200


async def test_h14_a_body_that_is_here_is_not_asked_for() -> None:
    """H14, RFC 9110 10.1.1: no 100 where the body came with the head."""
    fields, body = FRAMED["length"]
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(asking(fields) + body)
        assert (answer.status, answer.interim) == (200, ())
        assert upstream.requests[0].body == BODY


async def test_h14_without_a_body_there_is_nothing_to_ask_for() -> None:
    """H14, RFC 9110 10.1.1: the request is served, without 100 and without Expect."""
    async with through(ALWAYS_OK) as (client, _, upstream):
        answer = await client.exchange(asking(b""))
        assert (answer.status, answer.interim) == (200, ())
        assert upstream.requests[0].head.values("expect") == []


async def test_h14_an_old_client_does_not_know_100() -> None:
    """H14, RFC 9110 10.1.1: from HTTP/1.0 the expectation is ignored."""
    fields, body = FRAMED["length"]
    async with through(ALWAYS_OK) as (client, _, upstream):
        await client.send(asking(fields, version=b"1.0"))
        answer = await client.exchange(body)
        assert (answer.status, answer.interim) == (200, ())
        assert upstream.requests[0].body == BODY


@pytest.mark.parametrize("expect", [b"200-ok", b"100-continue, x", b"", b"100-continue;q=1"])
async def test_h14_any_other_expectation_is_417(expect: bytes) -> None:
    """H14: refused; what the client sends afterwards is not a request."""
    fields, body = FRAMED["length"]
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(asking(fields, expect) + body)
        assert (answer.status, answer.problem()["error"]) == (417, "expectation_failed")
        assert answer.head.value("connection") == b"close"
        assert await way.client.ending() is End.FIN
        await assert_untouched(way)


@pytest.mark.parametrize(
    ("route", "more", "status"),
    [
        ("match: {path: /other}", b"", 404),
        (BLOCK, b"Origin: %b\r\n" % ORIGIN, 403),
        ("max_body: 4", b"", 413),
    ],
    ids=["route", "CORS", "limit"],
)
async def test_h14_who_will_be_refused_is_not_told_to_send(
    route: str, more: bytes, status: int
) -> None:
    """H14: no 100 before route, CORS and limits have passed; then the connection ends.

    Whether the client sends its body all the same nobody can know: what comes next may be that
    body, and is not read as a request.
    """
    async with through(ALWAYS_OK, route=route) as way:
        answer = await way.client.exchange(asking(more + b"Content-Length: 36\r\n"))
        assert (answer.status, answer.interim) == (status, ())
        assert answer.head.value("connection") == b"close"
        await way.client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
        assert await way.client.ending() is End.FIN
        assert way.upstream.connections == []


async def test_h14_100_waits_for_its_turn() -> None:
    """H14, S9: behind an unanswered request no 100 comes, or the client would take it for its."""
    go, asked = asyncio.Event(), asyncio.Event()
    script = [request(), tell(asked), wait(go), send(OK), *ALWAYS_OK]
    async with through(script) as (client, _, upstream):
        fields, body = FRAMED["length"]
        await client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + asking(fields))
        await patiently(asked.wait(), "the first request")
        go.set()
        first = await client.response()
        assert (first.body, first.interim) == (b"hi", ())
        assert (await read_head(client)).first_line == b"HTTP/1.1 100 Continue"
        assert (await client.exchange(body)).status == 200
        assert upstream.requests[1].body == BODY


async def test_h14_the_upstreams_own_100_is_not_passed_on() -> None:
    """H13, H14: the client gets one 100, ours, before the response."""
    fields, body = FRAMED["length"]
    both = send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    async with through([request(), both]) as (client, _, _):
        await client.send(asking(fields))
        assert (await read_head(client)).first_line == b"HTTP/1.1 100 Continue"
        answer = await client.exchange(body)
        assert (answer.status, answer.interim) == (200, ())
