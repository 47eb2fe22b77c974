"""Parses the field lines of message heads with aiohttp's C parsers.

`http.request_head` and `http.response_head` do not import aiohttp: connections pass them a function
made here. The parsers are fed heads only, each with a start line of our own.
"""

import asyncio
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser

from corsproxy.policy.fields import Field
from corsproxy.proxy.http.framing import ParseFields

# In bytes and lines. The effective limits apply to the head as a whole (S7, S11); those of the parser
# must always be higher.
_LARGEST_LINE: Final = 2**20
_MOST_FIELDS: Final = 2**16
# In bytes: the size of a buffer for bodies, which these parsers never receive.
_BODY_BUFFER: Final = 2**16


def request_field_parser(loop: asyncio.AbstractEventLoop) -> ParseFields:
    """Return the function that parses the heads of requests of one client connection."""
    return _parsing_by(HttpRequestParser, loop)


def response_field_parser(loop: asyncio.AbstractEventLoop) -> ParseFields:
    """Return the function that parses the heads of responses of one upstream connection."""
    return _parsing_by(HttpResponseParser, loop)


def _parsing_by(
    kind: type[HttpRequestParser | HttpResponseParser], loop: asyncio.AbstractEventLoop
) -> ParseFields:
    # Without a protocol, which the parser calls for bodies only: a connection passed to it would be
    # part of a reference cycle, which only the garbage collector frees (O6).
    feed = kind(
        None,
        loop,
        _BODY_BUFFER,
        max_line_size=_LARGEST_LINE,
        max_field_size=_LARGEST_LINE,
        max_headers=_MOST_FIELDS,
        response_with_body=False,
        auto_decompress=False,
    ).feed_data

    def parse_fields(head: bytes) -> tuple[Field, ...]:
        try:
            messages, _, _ = feed(head)
        except HttpProcessingError as error:
            raise ValueError("a malformed field line") from error
        if len(messages) != 1:
            raise ValueError(f"{len(messages)} heads instead of one")
        return messages[0][0].raw_headers

    return parse_fields
