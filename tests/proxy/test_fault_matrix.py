"""What a client sees of each way in which an upstream can respond, well or badly: forwarding.md F10.

Each script runs against an HTTP/1.1 and an HTTP/1.0 client, on both loops. What is whole arrives
whole; what is bad is a 502 with the route's CORS headers (cors.md 62); what breaks off after its
head never looks whole (F1). Afterwards another request gets its own, clean response (S12).
"""

import asyncio
from dataclasses import dataclass

import pytest

from tests.support.messages import Truncated
from tests.support.proxy import through
from tests.support.upstream import (
    Script,
    Step,
    UpstreamConnection,
    close,
    half_close,
    repeat,
    request,
    reset,
    send,
    wait,
)
from tests.support.wire import End

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 5\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HELLO = b"5\r\nhello\r\n"
LAST = b"0\r\n\r\n"
POISON = HEAD + b"Content-Length: 6\r\n\r\nPOISON"
CLEAN: Script = [repeat(request(), send(HEAD + b"Content-Length: 5\r\n\r\nclean"))]
POLICY = "cors: {allow_origins: [https://app.example.com]}"


@dataclass(frozen=True)
class Whole:
    """The response arrives whole."""

    status: int = 200
    body: bytes = b"hello"


@dataclass(frozen=True)
class Refused:
    """The proxy responds in the upstream's place."""

    status: int = 502


@dataclass(frozen=True)
class Cut:
    """The head arrives, and then a response that no client can take for whole."""


Expected = Whole | Refused | Cut


def with_lines(lines: bytes, body: bytes = b"hello", first: bytes = HEAD) -> list[Step]:
    """Return the step of a response with these header lines."""
    return [send(first + lines + b"\r\n" + body)]


def in_pieces(data: bytes) -> list[Step]:
    """Return a step for every byte."""
    return [send(data[at : at + 1]) for at in range(len(data))]


async def _later(_: UpstreamConnection) -> None:
    raise AssertionError("a mark, which the test puts a wait in the place of")


# As many as may be: the line ends do not count.
TRAILERS = (b"A: " + b"b" * 1021 + b"\r\n") * 16
FIN, RST, LATER = [close()], [reset()], [_later]
MATRIX: dict[str, tuple[list[Step], Expected]] = {
    # Whole responses, plain and odd.
    "a length": ([send(LENGTH + b"hello")], Whole()),
    "a length, then FIN": ([send(LENGTH + b"hello"), *FIN], Whole()),
    "a length, byte by byte": (in_pieces(LENGTH + b"hello"), Whole()),
    "a length of zero": (with_lines(b"Content-Length: 0\r\n", b""), Whole(body=b"")),
    "a length with leading zeros": (with_lines(b"Content-Length: 005\r\n"), Whole()),
    "chunks": ([send(CHUNKED + HELLO + LAST)], Whole()),
    "chunks, byte by byte": (in_pieces(CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n" + LAST), Whole()),
    "chunks with extensions": ([send(CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\n\r\n")], Whole()),
    "chunks with trailers": ([send(CHUNKED + HELLO + b"0\r\nA: b\r\nC: d\r\n\r\n")], Whole()),
    "chunks with 16 KiB of trailers": (
        [send(CHUNKED + HELLO + b"0\r\n" + TRAILERS + b"\r\n")],
        Whole(),
    ),
    "no chunk": ([send(CHUNKED + LAST)], Whole(body=b"")),
    "until the end": ([send(HEAD + b"\r\nhello"), *FIN], Whole()),
    "until a half-close": ([send(HEAD + b"\r\nhello"), half_close()], Whole()),
    "HTTP/1.0, until the end": ([send(b"HTTP/1.0 200 OK\r\n\r\nhello"), *FIN], Whole()),
    "HTTP/1.0, with a length": (
        with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.0 200 OK\r\n"),
        Whole(),
    ),
    "no reason phrase": ([send(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello")], Whole()),
    "not even its space": ([send(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello")], Whole()),
    "an unknown status": (
        with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 799 ?\r\n"),
        Whole(799),
    ),
    "a line of 10 KB": (with_lines(b"A: " + b"b" * 10_240 + b"\r\nContent-Length: 5\r\n"), Whole()),
    "200 lines": (with_lines(b"A: b\r\n" * 199 + b"Content-Length: 5\r\n"), Whole()),
    "a head of 60 KB": (
        with_lines((b"A: " + b"b" * 995 + b"\r\n") * 60 + b"Content-Length: 5\r\n"),
        Whole(),
    ),
    "an interim answer": (
        [send(b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + LENGTH + b"hello")],
        Whole(),
    ),
    "100 that nobody asked for": ([send(b"HTTP/1.1 100 \r\n\r\n" + LENGTH + b"hello")], Whole()),
    "three interim answers": ([send(b"HTTP/1.1 102 P\r\n\r\n" * 3 + LENGTH + b"hello")], Whole()),
    "204": ([send(b"HTTP/1.1 204 No Content\r\n\r\n")], Whole(204, b"")),
    "304 with a length": (
        with_lines(b"Content-Length: 5\r\n", b"", b"HTTP/1.1 304 Not Modified\r\n"),
        Whole(304, b""),
    ),
    # Excess: the response without it (S11, H12).
    "an answer too much": ([send(LENGTH + b"hello" + POISON)], Whole()),
    "a late answer too much": ([send(LENGTH + b"hello"), send(POISON)], Whole()),
    "a byte too much": ([send(LENGTH + b"hello!")], Whole()),
    "an answer behind the last chunk": ([send(CHUNKED + HELLO + LAST + POISON)], Whole()),
    "204 with a body": (
        [send(b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\nPOISON")],
        Whole(204, b""),
    ),
    "304 with a body": ([send(b"HTTP/1.1 304 Not Modified\r\n\r\nPOISON")], Whole(304, b"")),
    # Nothing, or no response at all (F2).
    "FIN at once": (FIN, Refused()),
    "reset at once": (RST, Refused()),
    "half a status line, FIN": ([send(b"HTTP/1.1 2"), *FIN], Refused()),
    "half a head, FIN": ([send(HEAD + b"Content-Le"), *FIN], Refused()),
    "half a head, reset": ([send(HEAD + b"Content-Le"), *RST], Refused()),
    "an interim answer, FIN": ([send(b"HTTP/1.1 103 Hints\r\n\r\n"), *FIN], Refused()),
    "an interim answer, reset": ([send(b"HTTP/1.1 100 \r\n\r\n"), *RST], Refused()),
    "junk": ([send(b"hello\r\n\r\n")], Refused()),
    "an SSH banner": ([send(b"SSH-2.0-OpenSSH_9.2\r\n"), *FIN], Refused()),
    "a TLS alert": ([send(b"\x15\x03\x01\x00\x02\x02\x46"), *FIN], Refused()),
    "junk without end": ([send(b"\x00" * 100_000)], Refused()),
    "HTML without a head": ([send(b"<html>hello</html>\r\n\r\n"), *FIN], Refused()),
    "an empty line in front": ([send(b"\r\n" + LENGTH + b"hello")], Refused()),
    # Status lines (S11).
    "status 099": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 099 X\r\n"), Refused()),
    "status 20": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 20 X\r\n"), Refused()),
    "status 2000": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 2000 X\r\n"), Refused()),
    "status abc": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 abc X\r\n"), Refused()),
    "HTTP/2.0": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/2.0 200 OK\r\n"), Refused()),
    "HTTP/1.2": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.2 200 OK\r\n"), Refused()),
    "http/1.1": (with_lines(b"Content-Length: 5\r\n", first=b"http/1.1 200 OK\r\n"), Refused()),
    "two spaces": (with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1  200 OK\r\n"), Refused()),
    "CTL in the reason": (
        with_lines(b"Content-Length: 5\r\n", first=b"HTTP/1.1 200 O\x01K\r\n"),
        Refused(),
    ),
    "101 unasked": (
        with_lines(b"Connection: upgrade\r\nUpgrade: x\r\n", b"", b"HTTP/1.1 101 Switching\r\n"),
        Refused(),
    ),
    # Framing (S11).
    "length and chunked": (
        with_lines(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HELLO + LAST),
        Refused(),
    ),
    "unequal lengths": (with_lines(b"Content-Length: 5\r\nContent-Length: 6\r\n"), Refused()),
    "a list of unequal lengths": (with_lines(b"Content-Length: 5, 6\r\n"), Refused()),
    "a signed length": (with_lines(b"Content-Length: +5\r\n"), Refused()),
    "an empty length": (with_lines(b"Content-Length:\r\n"), Refused()),
    "a length of 2^63": (with_lines(b"Content-Length: 9223372036854775808\r\n"), Refused()),
    "a length of 2^64+5": (with_lines(b"Content-Length: 18446744073709551621\r\n"), Refused()),
    "a space before a framing colon": (with_lines(b"Content-Length : 5\r\n"), Refused()),
    "two codings": (with_lines(b"Transfer-Encoding: chunked\r\n" * 2, HELLO + LAST), Refused()),
    "xchunked": (with_lines(b"Transfer-Encoding: xchunked\r\n", HELLO + LAST), Refused()),
    "chunked, gzip": (with_lines(b"Transfer-Encoding: chunked, gzip\r\n", HELLO + LAST), Refused()),
    "gzip, chunked": (with_lines(b"Transfer-Encoding: gzip, chunked\r\n", HELLO + LAST), Refused()),
    "an empty coding": (with_lines(b"Transfer-Encoding:\r\n", HELLO + LAST), Refused()),
    "chunked on HTTP/1.0": (
        with_lines(b"Transfer-Encoding: chunked\r\n", HELLO + LAST, b"HTTP/1.0 200 OK\r\n"),
        Refused(),
    ),
    "a bad chunk with the head": ([send(CHUNKED + HELLO + b"xyz\r\n")], Refused()),
    # Field lines (S11).
    "NUL in a value": (with_lines(b"A: b\x00c\r\nContent-Length: 5\r\n"), Refused()),
    "CTL in a value": (with_lines(b"A: b\x02c\r\nContent-Length: 5\r\n"), Refused()),
    "DEL in a value": (with_lines(b"A: b\x7fc\r\nContent-Length: 5\r\n"), Refused()),
    "CR in a value": (with_lines(b"A: b\rc\r\nContent-Length: 5\r\n"), Refused()),
    "bare LF": (with_lines(b"A: b\nContent-Length: 5\r\n"), Refused()),
    # Without an end: it is refused when it comes, not when nothing more comes.
    "bare LF all over": ([send(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello")], Refused()),
    "bare LF in what has come": ([send(HEAD + b"A: b\nContent-Length: 5\r\n")], Refused()),
    "what cannot be HTTP": ([send(b"SSH-2.0")], Refused()),
    "HTTP/2 that does not end": ([send(b"HTTP/2 200")], Refused()),
    "CR and LF apart": (
        [send(b"HTTP/1.1 200 OK\r \nA: b\r\nContent-Length: 5\r\n\r\nhello")],
        Refused(),
    ),
    "CR in the reason, LF in a value": (
        [send(b"HTTP/1.1 200 O\rK\r\nA: b\nc\r\nContent-Length: 5\r\n\r\nhello")],
        Refused(),
    ),
    "no colon": (with_lines(b"abc\r\nContent-Length: 5\r\n"), Refused()),
    "an empty name": (with_lines(b": b\r\nContent-Length: 5\r\n"), Refused()),
    "a name that is no token": (with_lines(b"A(b: c\r\nContent-Length: 5\r\n"), Refused()),
    "a space before a colon": (with_lines(b"A : b\r\nContent-Length: 5\r\n"), Refused()),
    "a folded first line": (with_lines(b" A: b\r\nContent-Length: 5\r\n"), Refused()),
    "a head of 70 KB": (with_lines((b"A: " + b"b" * 995 + b"\r\n") * 70), Refused()),
    "a head without end": ([send(HEAD + b"A: " + b"b" * 200_000)], Refused()),
    "201 lines": (with_lines(b"A: b\r\n" * 200 + b"Content-Length: 5\r\n"), Refused()),
    # Broken off after the head (F1).
    "a short body, FIN": ([send(LENGTH + b"hell"), *FIN], Cut()),
    "a short body, reset": ([send(LENGTH + b"hell"), *RST], Cut()),
    "no body, FIN": ([send(LENGTH), *FIN], Cut()),
    "a cut chunk, FIN": ([send(CHUNKED + b"5\r\nhel"), *FIN], Cut()),
    "a cut chunk, reset": ([send(CHUNKED + b"5\r\nhel"), *RST], Cut()),
    "a cut chunk size": ([send(CHUNKED + HELLO + b"5"), *FIN], Cut()),
    "no last chunk": ([send(CHUNKED + HELLO), *FIN], Cut()),
    "no chunk at all": ([send(CHUNKED), *FIN], Cut()),
    "a last chunk without its end": ([send(CHUNKED + HELLO + b"0\r\n"), *FIN], Cut()),
    "a cut trailer": ([send(CHUNKED + HELLO + b"0\r\nA: b\r\n"), *FIN], Cut()),
    "a bad chunk size": ([send(CHUNKED + HELLO), *LATER, send(b"xyz\r\n")], Cut()),
    "a signed chunk size": (
        [send(CHUNKED + HELLO), *LATER, send(b"+5\r\nhello\r\n0\r\n\r\n")],
        Cut(),
    ),
    "a huge chunk size": (
        [send(CHUNKED + HELLO), *LATER, send(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n")],
        Cut(),
    ),
    "a chunk that is too long": (
        [send(CHUNKED + HELLO), *LATER, send(b"5\r\nhello!\r\n" + LAST)],
        Cut(),
    ),
    "a chunk ended by LF": ([send(CHUNKED + HELLO), *LATER, send(b"5\r\nhello\n" + LAST)], Cut()),
    "a chunk size ended by LF": (
        [send(CHUNKED + HELLO), *LATER, send(b"5\nhello\r\n" + LAST)],
        Cut(),
    ),
    "a bad trailer": ([send(CHUNKED + HELLO), *LATER, send(b"0\r\nabc\r\n\r\n")], Cut()),
    "trailers over 16 KiB": (
        [send(CHUNKED + HELLO), *LATER, send(b"0\r\n" + TRAILERS + b"A:\r\n\r\n")],
        Cut(),
    ),
    "reset in place of the end": ([send(HEAD + b"\r\nhello"), *RST], Cut()),
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("name", list(MATRIX))
async def test_what_a_client_sees(name: str, version: str) -> None:
    """F10: see the table."""
    steps, expected = MATRIX[name]
    get = f"GET / HTTP/{version}\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n".encode()
    go = asyncio.Event()
    script = [request(), *(wait(go) if step is _later else step for step in steps), *CLEAN]
    async with through(script, CLEAN, route=POLICY) as (client, proxy, _):
        if isinstance(expected, Cut):
            await client.send(get)
            if _later in steps:
                await client.more()
                go.set()
            with pytest.raises(Truncated) as caught:
                await client.response()
            _check_cut(caught.value, version)
        else:
            answer = await client.exchange(get)
            assert answer.head.cors() == {"access-control-allow-origin": "https://app.example.com"}
            assert answer.status == expected.status
            if isinstance(expected, Whole):
                assert answer.body == expected.body
            else:
                assert answer.problem()["status"] == expected.status
        if client.is_open:
            assert client.unread == b""
        async with await proxy.client() as other:
            assert (await other.exchange(get)).body == b"clean"


def _check_cut(cut: Truncated, version: str) -> None:
    """F1, H18: no end mark; where only the connection's end is one, it must be a reset."""
    assert cut.head is not None
    assert b"\r\n0\r\n" not in cut.body
    delimited = cut.head.value("content-length") or cut.head.value("transfer-encoding")
    if version == "1.0":
        assert cut.head.value("transfer-encoding") is None
    if delimited is None:
        assert cut.end is End.RESET


async def test_the_matrix_is_large_enough() -> None:
    """F10: at least 45 scripts."""
    assert len(MATRIX) >= 45


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_folded_line_is_unfolded_or_refused(version: str) -> None:
    """S11: obs-fold never reaches a client as it is."""
    folded = HEAD + b"A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello"
    async with through([request(), send(folded)]) as (client, _, _):
        answer = await client.exchange(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        assert answer.status == 502 or answer.head.value("a") == b"b c"
