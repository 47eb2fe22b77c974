"""The small client of `explain --live`: what it sends, how far it reads, what it says when it cannot."""

import re

import pytest

from corsproxy.cli.http_probe import CannotAsk, ask
from corsproxy.explain.probe import LiveRequest, LiveResponse
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    black_hole,
    close,
    pour,
    request,
    reset,
    send,
)


def to(upstream: ScriptedUpstream, path: str = "/a?b=c") -> LiveRequest:
    """Return a request to `upstream`."""
    return LiveRequest(b"OPTIONS", upstream.url + path, ((b"Origin", b"https://a.example"),))


async def answered(*script: object, seconds: float = 5.0) -> LiveResponse:
    """Return what is read where the server follows `script` after the request."""
    steps: Script = [request(), *script]  # type: ignore[list-item] # each is a step
    async with ScriptedUpstream(steps) as upstream:
        return await ask(to(upstream), seconds)


async def test_a_request_goes_out_as_it_stands() -> None:
    """Host is added and nothing else: no user agent, no accepted codings."""
    async with ScriptedUpstream([request(), send(b"HTTP/1.1 204 No Content\r\n\r\n")]) as upstream:
        await ask(to(upstream))
        assert upstream.received == [
            b"OPTIONS /a?b=c HTTP/1.1\r\nHost: %b\r\nOrigin: https://a.example\r\n\r\n"
            % upstream.authority.encode()
        ]


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", LiveResponse(204, ())),
        (b"HTTP/1.0 404\r\nA: 1\r\n\r\n", LiveResponse(404, ((b"A", b"1"),))),
        (
            b"HTTP/1.1 200 OK\nA:  1\t\nA: 2\nb:\n\nbody",
            LiveResponse(200, ((b"A", b"1"), (b"A", b"2"), (b"b", b""))),
        ),
        (
            b"HTTP/1.1 200 OK\r\nA: 1,\r\n 2\r\nnonsense\r\n\r\n",
            LiveResponse(200, ((b"A", b"1, 2"),)),
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n",
            LiveResponse(301, ((b"Location", b"/"),)),
        ),
        (b"HTTP/1.1 200 Caf\xe9\r\nA: \xff\r\n\r\n", LiveResponse(200, ((b"A", b"\xff"),))),
    ],
)
async def test_heads_are_read_as_browsers_do(raw: bytes, reply: LiveResponse) -> None:
    """Bare LF, folded lines, interim answers; two lines stay two; redirects are not followed."""
    assert await answered(send(raw)) == reply


async def test_an_answer_in_pieces_is_one() -> None:
    """A head may come byte by byte, its end split in the middle."""
    raw = b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n"
    pieces = [send(raw[at : at + 1]) for at in range(len(raw))]
    assert await answered(*pieces) == LiveResponse(200, ((b"A", b"1"),))


async def test_a_body_without_end_is_not_waited_for() -> None:
    """Only the head says anything about CORS."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    assert (await answered(send(head), pour(4 * 1024 * 1024))).status == 200


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ((close(),), "closed the connection without a whole answer"),
        ((send(b"HTTP/1.1 200 OK\r\nA: 1"), close()), "closed the connection without a whole"),
        ((reset(),), "cannot be reached"),
        ((send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),), "did not answer in HTTP/1.1 but with b'SSH-2.0"),
        ((send(b"HTTP/1.1 2000 OK\r\n\r\n"),), "did not answer in HTTP/1.1"),
        ((pour(1024 * 1024, b"A" * 1024),), "more than 64 KiB of headers"),
    ],
)
async def test_what_is_no_answer_is_told(script: tuple[object, ...], words: str) -> None:
    """Which address, what happened, what to look at."""
    with pytest.raises(CannotAsk, match=re.escape(words)) as raised:
        await answered(*script)
    assert str(raised.value).startswith("http://127.0.0.1:")


async def test_a_silent_server_is_not_waited_for_for_ever() -> None:
    """One limit for the whole answer, also where bytes go on coming."""
    with pytest.raises(CannotAsk, match=r"did not answer within 0\.05 s"):
        await answered(send(b"HTTP/1.1 200 OK\r\n"), black_hole(), seconds=0.05)


async def test_nobody_there() -> None:
    """The port was free a moment ago."""
    async with ScriptedUpstream() as upstream:
        upstream.stop_listening()
        with pytest.raises(CannotAsk, match=r"connection refused.*is the server running"):
            await ask(to(upstream))


async def test_plain_http_behind_https_is_told() -> None:
    """A TLS handshake that gets no TLS back."""
    script: Script = [send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), close()]
    async with ScriptedUpstream(script) as upstream:
        url = upstream.url.replace("http:", "https:") + "/"
        with pytest.raises(CannotAsk, match=r"TLS failed|cannot be reached"):
            await ask(LiveRequest(b"GET", url, ()))
