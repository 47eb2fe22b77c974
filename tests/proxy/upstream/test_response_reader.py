"""Responses parsed from bytes, without a connection (forwarding.md S11, H12, H13, F1)."""

import asyncio

import pytest

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.field_parsers import response_field_parser
from corsproxy.proxy.http.bodies import LengthBody, UntilClose
from corsproxy.proxy.upstream.response_reader import ResponseReader, read_body

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def reader(method: bytes = b"GET") -> ResponseReader:
    """Return one that expects the response to a request with `method`."""
    made = ResponseReader(response_field_parser(asyncio.get_running_loop()))
    made.begin(method)
    return made


async def test_a_head_is_read_from_however_many_pieces() -> None:
    """The bytes behind it come back with it, whole."""
    data = LENGTH + b"hello"
    for size in range(1, len(data) + 1):
        reading, found, left = reader(), None, data
        while found is None:
            piece, left = left[:size], left[size:]
            found = reading.read_head(piece)
        head, rest = found
        assert (head.status, head.length) == (200, 5)
        assert rest + left == b"hello"


async def test_h13_interim_heads_precede_the_final_one() -> None:
    """H13: each comes with what follows it, and begins no body."""
    reading = reader()
    found = reading.read_head(b"HTTP/1.1 103 Early Hints\r\n\r\n" + LENGTH)
    assert found is not None
    assert (found[0].status, found[1], reading.body) == (103, LENGTH, None)
    found = reading.read_head(found[1])
    assert found is not None
    assert found[0].status == 200


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", LENGTH),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_h12_what_follows_a_response_without_a_body_is_in_excess(
    method: bytes, head: bytes
) -> None:
    """H12, RFC 9112 6.3: it is returned as not read, and nothing of it is payload."""
    reading = reader(method)
    found = reading.read_head(head + b"hello")
    assert found is not None
    assert reading.begin_body(*found) == (b"", b"hello")
    assert reading.body is None


async def test_s11_what_follows_a_complete_body_is_in_excess() -> None:
    """S11: the payload ends where Content-Length says."""
    reading = reader()
    found = reading.read_head(LENGTH + b"hello, again")
    assert found is not None
    assert reading.begin_body(*found) == (b"hello", b", again")
    assert isinstance(reading.body, LengthBody)
    assert reading.body.complete


async def test_a_body_without_a_length_lasts_until_the_connection_is_closed() -> None:
    """RFC 9112 6.3: all that comes is payload."""
    reading = reader()
    found = reading.read_head(b"HTTP/1.1 200 OK\r\n\r\n")
    assert found is not None
    assert reading.begin_body(*found) == (b"", b"")
    assert isinstance(reading.body, UntilClose)
    assert read_body(reading.body, b"hello") == b"hello"


async def test_the_next_response_begins_anew() -> None:
    """A connection's reader reads one response after the other."""
    reading = reader(b"HEAD")
    assert reading.read_head(LENGTH) is not None
    reading.begin(b"GET")
    for _ in range(2):
        found = reading.read_head(LENGTH + b"hello")
        assert found is not None
        assert reading.begin_body(*found) == (b"hello", b"")
        reading.begin(b"GET")
        assert reading.body is None


async def test_f1_a_bad_chunk_is_another_fault_once_the_response_has_begun() -> None:
    """F1, F2: with the head 502; later, what was passed on is cut off."""
    reading = reader()
    found = reading.read_head(CHUNKED + b"nonsense\r\n")
    assert found is not None
    with pytest.raises(Fault) as caught:
        reading.begin_body(*found)
    assert caught.value.kind is faults.UPSTREAM_INVALID
    reading.begin(b"GET")
    found = reading.read_head(CHUNKED + b"5\r\nhello\r\n")
    assert found is not None
    assert reading.begin_body(*found) == (b"hello", b"")
    assert reading.body is not None
    with pytest.raises(Fault) as caught:
        read_body(reading.body, b"nonsense\r\n")
    assert caught.value.kind is faults.UPSTREAM_TRUNCATED


@pytest.mark.parametrize(
    ("start", "note"),
    [
        (b"HTTP/2", "not HTTP/1"),
        (b"SSH-2.0-", "not HTTP/1"),
        (b"HTTP/1.1 200 OK\nContent-Length", "bare LF"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 64 * 1024, "64 KiB"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 64 * 1024 + b"\r\n\r\n", "64 KiB"),
    ],
)
async def test_s11_a_head_that_cannot_become_valid_is_rejected_at_once(
    start: bytes, note: str
) -> None:
    """S11: with or without its end, before it takes more memory."""
    with pytest.raises(Fault, match=note) as caught:
        reader().read_head(start)
    assert caught.value.kind is faults.UPSTREAM_INVALID
