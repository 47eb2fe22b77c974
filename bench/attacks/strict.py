"""An upstream that parses requests strictly and responds before their bodies have arrived.

Every first line that an honest client sent has a tag that was announced; any other one, or a head
that appears inside a body, is another client's request that the proxy mixed into this one.
"""

import asyncio
import contextlib
import re
from typing import Final

from bench.attacks.upstreams import Reader, Writer, path_of

# Every request of a victim contains this: no other body may contain it.
SECRET: Final = b"session-of-a-victim"
# Every honest request begins with this: anything else is the rest of one that was split.
_FIRST_LINE: Final = re.compile(rb"(?:GET|POST) /(?:open|closed)/\S+ HTTP/1\.1\r\n")
# The size of the response that ignores its request's body.
LARGE: Final = 8 * 1024 * 1024


class Strict:
    """The upstream's record of one attack.

    `/early/STATUS/N` gets its response as soon as N bytes of its body have arrived, and the end of the
    response when `finish` is set. `/ignored` gets a large response, and its body is read afterwards.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.swallowed = 0
        self.torn = 0
        self.finish = asyncio.Event()

    async def converse(self, reader: Reader, writer: Writer) -> None:
        """Read one request after the other."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if not _FIRST_LINE.match(head):
                self.torn += 1
                return
            self.heads.append(head)
            path = path_of(head)
            if path.startswith(b"/open/early/"):
                _, _, _, status, threshold = path.split(b"/")
                await self._respond_early(Body(head, reader), writer, status, int(threshold))
            elif path == b"/open/ignored":
                await self._ignore(Body(head, reader), writer)
            else:
                self.note(await Body(head, reader).rest())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    async def _respond_early(
        self, body: "Body", writer: Writer, status: bytes, threshold: int
    ) -> None:
        while body.size < threshold and await body.piece():
            pass
        writer.write(b"HTTP/1.1 %b Early\r\nContent-Length: 10\r\n\r\nhello" % status)
        await self.finish.wait()
        writer.write(b"world")
        self.note(await body.rest())

    async def _ignore(self, body: "Body", writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // 65536):
            writer.write(bytes(65536))
            await writer.drain()
        self.note(await body.rest())

    def note(self, body: bytes) -> None:
        """Count a body that contains what only another request can contain."""
        self.swallowed += SECRET in body or b"HTTP/1.1\r\n" in body


class Body:
    """The body after a head; keeps its last few KB, including chunk lines."""

    def __init__(self, head: bytes, reader: Reader) -> None:
        lower = head.lower()
        self._reader = reader
        self._chunked = b"\r\ntransfer-encoding: chunked" in lower
        length = lower.partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0]
        self._left = int(length or 0)
        self._tail = b""
        self._is_over = not self._chunked and not self._left
        self.size = 0

    async def piece(self) -> bytes:
        """Return the next piece of payload, b"" at the end of the body."""
        if self._is_over:
            return b""
        if self._chunked and not self._left and not await self._next_chunk():
            return b""
        data = await self._reader.read(min(self._left, 65536))
        if not data:
            raise EOFError
        self._left -= len(data)
        self.size += len(data)
        self._tail = (self._tail + data)[-4096:]
        if self._chunked and not self._left:
            self._tail += await self._reader.readexactly(2)
        self._is_over = not self._chunked and not self._left
        return data

    async def _next_chunk(self) -> bool:
        line = await self._reader.readuntil(b"\r\n")
        self._tail += line
        try:
            self._left = int(line, 16)
        except ValueError:
            # Instead of a chunk size there is the first line of a request.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    self._tail += await self._reader.read(4096)
            self._is_over = True
            return False
        if not self._left:
            await self._reader.readuntil(b"\r\n")
            self._is_over = True
        return bool(self._left)

    async def rest(self) -> bytes:
        """Read to the end of the body; return its last few KB, with any bytes that do not belong to it."""
        with contextlib.suppress(EOFError):
            while await self.piece():
                pass
        return self._tail
