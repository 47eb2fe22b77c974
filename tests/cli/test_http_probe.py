"""The client of `explain --live`: what it sends, how far it reads, what it reports on failure."""

import re

import pytest

from corsproxy.cli.http_probe import NoResponse, fetch_head
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


async def respond_with(*script: object, seconds: float = 5.0) -> LiveResponse:
    """Return what is read if the server follows `script` after the request."""
    steps: Script = [request(), *script]  # type: ignore[list-item] # each is a step
    async with ScriptedUpstream(steps) as upstream:
        return await fetch_head(to(upstream), seconds)


async def test_a_request_goes_out_unchanged() -> None:
    """Host is added and nothing else: no user agent, no accepted codings."""
    async with ScriptedUpstream([request(), send(b"HTTP/1.1 204 No Content\r\n\r\n")]) as upstream:
        await fetch_head(to(upstream))
        assert upstream.received == [
            b"OPTIONS /a?b=c HTTP/1.1\r\nHost: %b\r\nOrigin: https://a.example\r\n\r\n"
            % upstream.authority.encode()
        ]


@pytest.mark.parametrize(
    ("raw", "expected"),
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
async def test_heads_are_read_as_browsers_do(raw: bytes, expected: LiveResponse) -> None:
    """Bare LF, folded lines, interim responses; two lines stay two; redirects are not followed."""
    assert await respond_with(send(raw)) == expected


async def test_a_response_in_pieces_is_one() -> None:
    """A head may arrive byte by byte, with its end split."""
    raw = b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n"
    pieces = [send(raw[at : at + 1]) for at in range(len(raw))]
    assert await respond_with(*pieces) == LiveResponse(200, ((b"A", b"1"),))


async def test_a_body_without_end_is_not_waited_for() -> None:
    """Only the head concerns CORS."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    assert (await respond_with(send(head), pour(4 * 1024 * 1024))).status == 200


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ((close(),), "closed the connection before the response was"),
        (
            (send(b"HTTP/1.1 200 OK\r\nA: 1"), close()),
            "closed the connection before the response was",
        ),
        ((reset(),), "cannot be reached"),
        ((send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),), "did not respond in HTTP/1.1 but with b'SSH-2.0"),
        ((send(b"HTTP/1.1 2000 OK\r\n\r\n"),), "did not respond in HTTP/1.1"),
        ((pour(1024 * 1024, b"A" * 1024),), "more than 64 KiB of headers"),
    ],
)
async def test_an_invalid_response_is_reported(script: tuple[object, ...], words: str) -> None:
    """The message states which address, what happened, and what to check."""
    with pytest.raises(NoResponse, match=re.escape(words)) as raised:
        await respond_with(*script)
    assert str(raised.value).startswith("http://127.0.0.1:")


async def test_a_silent_server_is_not_waited_for_without_limit() -> None:
    """One time limit for the whole response, even if bytes still arrive."""
    with pytest.raises(NoResponse, match=r"did not respond within 0\.05 s"):
        await respond_with(send(b"HTTP/1.1 200 OK\r\n"), black_hole(), seconds=0.05)


async def test_a_refused_connection_is_reported() -> None:
    """The server has stopped listening."""
    async with ScriptedUpstream() as upstream:
        upstream.stop_listening()
        with pytest.raises(NoResponse, match=r"connection refused.*is the server running"):
            await fetch_head(to(upstream))


async def test_plain_http_behind_https_is_reported() -> None:
    """A TLS handshake that receives plain HTTP."""
    script: Script = [send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), close()]
    async with ScriptedUpstream(script) as upstream:
        url = upstream.url.replace("http:", "https:") + "/"
        with pytest.raises(NoResponse, match=r"TLS failed|cannot be reached"):
            await fetch_head(LiveRequest(b"GET", url, ()))
