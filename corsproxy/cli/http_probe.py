"""Sends one HTTP/1.1 request and reads the head of the response.

It parses as leniently as browsers do, because any server may respond. It follows no redirect and
stores no cookie.
"""

import asyncio
import re
import ssl
from contextlib import closing
from typing import Final

from corsproxy.explain.probe import LiveRequest, LiveResponse
from corsproxy.policy.urls import Url, read_url

RESPONSE_TIMEOUT: Final = 10.0  # seconds, including the connection
_LARGEST_HEAD: Final = 64 * 1024
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")


class NoResponse(Exception):  # noqa: N818 - a message to the user
    """There was no valid response; the text states the reason and what to do."""


async def fetch_head(request: LiveRequest, seconds: float = RESPONSE_TIMEOUT) -> LiveResponse:
    """Send `request` and return the status and fields of the response; its body is not read.

    Redirects are not followed, interim responses are skipped. Raises NoResponse if there is no
    response within `seconds`, or it is not HTTP.
    """
    url = read_url(request.url)
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(request, url)
    except TimeoutError:
        raise NoResponse(
            f"{url} did not respond within {seconds:g} s: is the server running, and the port right?"
        ) from None
    except ssl.SSLError as error:
        raise NoResponse(
            f"{url}: TLS failed ({error.reason or error}): is the port right? If the server's "
            "CA is your own, set SSL_CERT_FILE to its certificate"
        ) from None
    except OSError as error:
        raise NoResponse(
            f"{url} cannot be reached ({_why(error)}): is the server running?"
        ) from None


def _why(error: OSError) -> str:
    """Return the system's message; some OSErrors that asyncio raises have another one, or none."""
    refused = isinstance(error, ConnectionRefusedError)
    return "connection refused" if refused else error.strerror or str(error)


async def _exchange(request: LiveRequest, url: Url) -> LiveResponse:
    tls = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=tls)
    with closing(writer):
        writer.write(_serialize(request, url))
        await writer.drain()
        return await _read_response(reader, url)


def _serialize(request: LiveRequest, url: Url) -> bytes:
    fields = ((b"Host", url.authority.encode("ascii")), *request.fields)
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method, url.target.encode("ascii"), lines)


async def _read_response(reader: asyncio.StreamReader, url: Url) -> LiveResponse:
    """Return the first final response; all heads together are limited to 64 KiB."""
    data = b""
    start = 0
    while True:
        end = _HEAD_END.search(data, start)
        if end is not None:
            response = _parse(data[start : end.start()], url)
            if response.status >= 200 or response.status == 101:
                return response
            start = end.end()
            continue
        if len(data) > _LARGEST_HEAD:
            raise NoResponse(
                f"{url} responded with more than 64 KiB of headers, which no browser accepts"
            )
        more = await reader.read(16 * 1024)
        if not more:
            raise NoResponse(
                f"{url} closed the connection before the response was complete: does this port serve "
                "HTTP/1.1, or only TLS?"
            )
        data += more


def _parse(head: bytes, url: Url) -> LiveResponse:
    first, *lines = re.split(rb"\r?\n", head)
    status = _STATUS_LINE.fullmatch(first)
    if status is None:
        raise NoResponse(
            f"{url} did not respond in HTTP/1.1 but with {first[:80]!r}: is the port right?"
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
