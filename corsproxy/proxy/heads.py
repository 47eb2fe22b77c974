"""Makes the parser for request heads, and checks the start of one that has not arrived whole."""

import asyncio

from aiohttp.http_parser import HttpRequestParser

from corsproxy.policy.compiled import Limits
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault


def new_request_parser(
    protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
) -> HttpRequestParser:
    """Return a parser for the heads of one connection. The limits are checked on our own bytes."""
    return HttpRequestParser(
        protocol,  # type: ignore[arg-type] # called only for bodies, which it is not given
        loop,
        2**16,
        max_line_size=2**20,
        max_field_size=2**20,
        max_headers=2**16,
        response_with_body=False,
        auto_decompress=False,
    )


def check_start(data: bytes, limits: Limits) -> None:
    """Raise Fault if `data`, the start of a head, can no longer become a valid one (S3, S4, S7)."""
    line_end = data.find(b"\r\n")
    if max(line_end, 0) > limits.max_request_line or (
        line_end < 0 and len(data) > limits.max_request_line
    ):
        raise Fault(faults.TOO_LONG_TARGET)
    if len(data) > limits.max_request_line + limits.max_header_bytes:
        raise Fault(faults.TOO_LARGE_HEAD)
    # A bare LF, or a request line that begins with white space: no more bytes can mend it.
    if data.count(b"\n") > data.count(b"\r\n") or data[:1] in {b"\r", b"\n", b" "}:
        raise Fault(faults.BAD_REQUEST_LINE)
