"""Parses the field lines of message heads with aiohttp's C parsers.

`http.request_head` and `http.response_head` import no aiohttp: a connection gives them the function
that it gets here. The parsers are fed with heads only, each behind a start line of our own.
"""

import asyncio
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser

from corsproxy.policy.fields import Field
from corsproxy.proxy.http.framing import ParseFields

# In bytes and lines. The limits that count are applied to the head as a whole (S7, S11): the
# parser's own must never be the lower ones.
_LARGEST_LINE: Final = 2**20
_MOST_FIELDS: Final = 2**16
# In bytes: of a buffer for bodies, which these parsers never get.
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
    # Without a protocol, which the parser would call for bodies only: a connection given to it
    # would lead back to itself, and wait for the garbage collector once it is closed (O6).
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
            raise ValueError(f"{len(messages)} heads in place of one")
        return messages[0][0].raw_headers

    return parse_fields
