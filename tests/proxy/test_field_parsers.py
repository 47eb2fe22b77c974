"""Field lines parsed by aiohttp's C parsers: order, bytes, faults, many heads on one connection."""

import asyncio
import gc
import weakref
from collections.abc import Callable

import pytest

from corsproxy.proxy.field_parsers import request_field_parser, response_field_parser
from corsproxy.proxy.http.framing import ParseFields

PARSERS = pytest.mark.parametrize(
    ("new_parser", "start_line"),
    [
        pytest.param(request_field_parser, b"GET / HTTP/1.1\r\nHost: a\r\n", id="requests"),
        pytest.param(response_field_parser, b"HTTP/1.1 200 OK\r\nHost: a\r\n", id="responses"),
    ],
)
NewParser = Callable[[asyncio.AbstractEventLoop], ParseFields]


@PARSERS
@pytest.mark.parametrize(
    "framing",
    [b"", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: websocket\r\n"],
)
async def test_heads_are_parsed_one_after_the_other_whatever_body_they_announce(
    new_parser: NewParser, start_line: bytes, framing: bytes
) -> None:
    """No body is fed in, so none may be waited for."""
    parse_fields = new_parser(asyncio.get_running_loop())
    for number in (b"1", b"2", b"3"):
        fields = parse_fields(start_line + framing + b"x-Number: " + number + b"\r\n\r\n")
        assert fields[0] == (b"Host", b"a")
        assert fields[-1] == (b"x-Number", number)


@PARSERS
@pytest.mark.parametrize("line", [b"no colon", b"X(A): 1", b"X-A: a\x00b", b": 1"])
async def test_a_malformed_field_line_is_a_value_error(
    new_parser: NewParser, start_line: bytes, line: bytes
) -> None:
    """S4, S11: aiohttp's own exceptions end here."""
    parse_fields = new_parser(asyncio.get_running_loop())
    with pytest.raises(ValueError, match="field line"):
        parse_fields(start_line + line + b"\r\n\r\n")


@pytest.mark.parametrize("heads", [0, 2])
async def test_anything_but_one_head_is_a_value_error(heads: int) -> None:
    """A parser that sees another end of the head than its caller must not be relied on."""
    parse_fields = response_field_parser(asyncio.get_running_loop())
    with pytest.raises(ValueError, match=f"{heads} heads"):
        parse_fields(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n" * heads or b"HTTP/1.1 200 OK\r\n")


@PARSERS
async def test_a_parser_is_freed_without_the_garbage_collector(
    new_parser: NewParser, start_line: bytes
) -> None:
    """O6: what a closed connection held is free at once."""
    parse_fields = new_parser(asyncio.get_running_loop())
    parse_fields(start_line + b"\r\n")
    freed = weakref.ref(parse_fields)
    gc.disable()
    try:
        del parse_fields
        assert freed() is None
    finally:
        gc.enable()
