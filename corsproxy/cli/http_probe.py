"""Sends one request and reads the head of the response. Knows HTTP/1.1, not CORS.

Lenient as browsers are, because any server may respond. Follows no redirect and stores no cookie.
"""

import asyncio
import re
import ssl
from contextlib import closing
from typing import Final

from corsproxy.explain.probe import LiveRequest, LiveResponse
from corsproxy.policy.urls import Url, read_url

PATIENCE: Final = 10.0  # seconds for one response, the connection included
_LARGEST_HEAD: Final = 64 * 1024
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")


class CannotAsk(Exception):  # noqa: N818 - a message to the user
    """The request failed; the text says why and what to do."""


async def ask(request: LiveRequest, seconds: float = PATIENCE) -> LiveResponse:
    """Send `request` and return the status and fields of the response; its body is not read.

    Redirects are not followed, interim responses are skipped. Raises CannotAsk if there is no
    response within `seconds`, or it is not HTTP.
    """
    url = read_url(request.url)
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(request, url)
    except TimeoutError:
        raise CannotAsk(
            f"{url} did not answer within {seconds:g} s: is the server at work, and the port right?"
        ) from None
    except ssl.SSLError as error:
        raise CannotAsk(
            f"{url}: TLS failed ({error.reason or error}): is the port right? An authority of your "
            "own is named by SSL_CERT_FILE"
        ) from None
    except OSError as error:
        raise CannotAsk(
            f"{url} cannot be reached ({_why(error)}): is the server running?"
        ) from None


def _why(error: OSError) -> str:
    """Return the system's message: some OSErrors of asyncio have another one, or none."""
    refused = isinstance(error, ConnectionRefusedError)
    return "connection refused" if refused else error.strerror or str(error)


async def _exchange(request: LiveRequest, url: Url) -> LiveResponse:
    tls = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=tls)
    with closing(writer):
        writer.write(_serialise(request, url))
        await writer.drain()
        return await _read_reply(reader, url)


def _serialise(request: LiveRequest, url: Url) -> bytes:
    fields = ((b"Host", url.authority.encode("ascii")), *request.fields)
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, url.target.encode("ascii"), lines)


async def _read_reply(reader: asyncio.StreamReader, url: Url) -> LiveResponse:
    """Return the first final response; all heads together may have 64 KiB."""
    data = b""
    start = 0
    while True:
        end = _HEAD_END.search(data, start)
        if end is not None:
            reply = _parse(data[start : end.start()], url)
            if reply.status >= 200 or reply.status == 101:
                return reply
            start = end.end()
            continue
        if len(data) > _LARGEST_HEAD:
            raise CannotAsk(
                f"{url} answered with more than 64 KiB of headers: no browser reads that"
            )
        more = await reader.read(16 * 1024)
        if not more:
            raise CannotAsk(
                f"{url} closed the connection without a whole answer: does it speak HTTP/1.1 there, "
                "or TLS only?"
            )
        data += more


def _parse(head: bytes, url: Url) -> LiveResponse:
    first, *lines = re.split(rb"\r?\n", head)
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise CannotAsk(
            f"{url} did not answer in HTTP/1.1 but with {first[:80]!r}: is the port right?"
        )
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if line[:1] in {b" ", b"\t"} and fields:
            # A folded line belongs to the one before (RFC 9112 5.2).
            fields[-1] = (fields[-1][0], fields[-1][1] + b" " + line.strip())
        elif colon:
            fields.append((name.strip(), value.strip(b" \t")))
    return LiveResponse(int(status[1]), tuple(fields))
