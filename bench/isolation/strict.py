"""An upstream that checks every byte it reads against the expected one."""

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bench.isolation.errands import SAFE, TAG, Book, Carrier, Errand, Reply, now

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

_FIRST: Final = re.compile(rb"([A-Z]{3,6}) /([tx])/(t[0-9a-f]{15}) HTTP/1\.1\r\n")
_START: Final = re.compile(rb"(GET|HEAD|POST|PUT) /[tx]/t[0-9a-f]{15} HTTP/1\.1\r\n")
_CHUNK: Final = re.compile(rb"[0-9a-f]{1,8}\r\n")
_RESET: Final = struct.pack("ii", 1, 0)
_LIMIT: Final = 256 * 1024
_PIECE: Final = 48 * 1024
_PATIENCE: Final = 30.0


class Foreign(Exception):  # noqa: N818 - a finding, recorded before it is raised
    """Bytes arrived that belong to no request, or to another one."""


def put(writer: Writer, data: bytes) -> None:
    """Send `data`; raise ConnectionResetError if the connection is gone (uvloop would not)."""
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(data)


def reset(writer: Writer) -> None:
    """End a connection with a reset."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class _Body:
    """The body of one request, read in pieces."""

    def __init__(self, book: Book, errand: Errand, reader: Reader) -> None:
        self._book, self._errand, self._reader = book, errand, reader
        self._at = 0
        self._left = 0 if errand.is_chunked else errand.size or 0
        self.is_over = not errand.is_chunked and not self._left

    async def read(self, size: int) -> None:
        """Read `size` bytes of payload, or up to the end if that comes first, or for -1."""
        while size and not self.is_over:
            if not self._left and await self._next_chunk():
                return
            piece = min(self._left, _PIECE, size if size > 0 else _PIECE)
            data = await self._reader.readexactly(piece)
            if data != self._errand.piece(self._at, piece):
                raise self._foreign("another request's bytes in a body", data)
            self._at += piece
            self._left -= piece
            size -= piece if size > 0 else 0
            if not self._left:
                await self._end_piece()

    async def _next_chunk(self) -> bool:
        line = await self._line()
        if _CHUNK.fullmatch(line) is None:
            raise self._foreign("not a chunk size", line)
        self._left = int(line, 16)
        if not self._left:
            if (line := await self._line()) != b"\r\n":
                raise self._foreign("not the end of a chunked body", line)
            self._finish()
        return self.is_over

    async def _line(self) -> bytes:
        try:
            return await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            raise self._foreign("not a chunk size", b"endless") from None

    async def _end_piece(self) -> None:
        if not self._errand.is_chunked:
            self._finish()
        elif (end := await self._reader.readexactly(2)) != b"\r\n":
            raise self._foreign("not the end of a chunk", end)

    def _finish(self) -> None:
        self.is_over = True
        if self._at != (self._errand.size or 0):
            raise self._foreign("a body of another length", b"%d" % self._at)

    def _foreign(self, kind: str, data: bytes) -> Foreign:
        """Record bytes that do not belong here, and those after them."""
        start = next(
            (i for i, one in enumerate(data) if one != self._errand.piece(self._at + i, 1)[0]),
            0,
        )
        more = bytes(self._reader._buffer[:200])  # type: ignore[attr-defined]  # noqa: SLF001
        self._book.wrong(kind, self._errand, data[start : start + 200] + more, f"at {self._at}")
        return Foreign(kind)


class Upstream:
    """Serves connections; `chance` decides what no `Reply` specifies."""

    def __init__(self, book: Book, chance: random.Random) -> None:
        self._book = book
        self._chance = chance
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a server's callback is one
        self._serving.add(task)
        self._book.counts["upstream connections"] += 1
        carrier = Carrier()
        try:
            while await self._serve_one(carrier, reader, writer):
                pass
        except (OSError, EOFError, TimeoutError, Foreign):
            pass  # the peer has left, or its violation was recorded
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _serve_one(self, carrier: Carrier, reader: Reader, writer: Writer) -> bool:
        head = await self._head(reader)
        if not head:
            return False
        errand = self._errand_of(head)
        errand.seen += 1
        errand.carrier = carrier
        may_repeat = errand.method in SAFE and errand.size is None
        if errand.seen > (2 if may_repeat else 1):
            self._book.wrong("a request was sent again", errand, head)
        self._book.counts["upstream requests"] += 1
        body = _Body(self._book, errand, reader)
        async with asyncio.timeout(_PATIENCE):
            await body.read(errand.reply.read)
            if errand.upgrade and errand.reply.status == 101:
                await self._tunnel(errand, reader, writer)
                return False
            return await self._respond(errand, body, writer)

    async def _head(self, reader: Reader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            data = bytes(reader._buffer[:300])  # type: ignore[attr-defined]  # noqa: SLF001
            self._book.wrong("bytes that are not a request", None, data)
            raise Foreign from None
        except asyncio.IncompleteReadError as error:
            if error.partial and not _START.match(error.partial):
                self._book.wrong("bytes that are not a request", None, error.partial)
            return b""

    def _errand_of(self, head: bytes) -> Errand:
        first = _FIRST.match(head)
        if first is None:
            self._book.wrong("an unknown first line", None, head)
            raise Foreign
        errand = self._book.find(first[3])
        if errand is None or errand.is_broken:
            self._book.wrong("a request that no client sent", errand, head)
            raise Foreign
        if (errand.method, errand.place) != (first[1], first[2]) or not _is_framed(errand, head):
            self._book.wrong("another method or framing", errand, head)
            raise Foreign
        if {*TAG.findall(head)} != {errand.tag}:
            self._book.wrong("another request's header", errand, head)
            raise Foreign
        return errand

    # --- responses -------------------------------------------------------------------------

    async def _respond(self, errand: Errand, body: _Body, writer: Writer) -> bool:
        reply = errand.reply
        if reply.fault in ("nothing", "junk"):
            errand.replied = now()
            put(writer, b"ICE/1.0 200 what\r\n\r\n" if reply.fault == "junk" else b"")
            return False
        if reply.continues:
            put(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        for _ in range(reply.hints):
            put(writer, b"HTTP/1.1 103 Early Hints\r\nX-Tag: %b\r\n\r\n" % errand.tag)
        await self._send(errand, writer)
        if reply.fault == "cut" or reply.framing == "close":
            writer.close()
            await writer.wait_closed()
            return False
        if reply.excess == "late":
            await asyncio.sleep(self._chance.choice((0.0005, 0.002, 0.005, 0.01)))
            errand.carrier.poisoned = True  # type: ignore[union-attr] # it was set on reading
            put(writer, self._poison(errand))
        return await self._end(errand, body, writer)

    async def _send(self, errand: Errand, writer: Writer) -> None:
        reply = errand.reply
        has_body = errand.method != b"HEAD" and reply.has_body
        size = reply.size if has_body else 0
        end = size // 2 if reply.fault == "cut" else size
        at = min(reply.shown, end)
        data = _head_of(errand) + _frame(reply, errand.piece(0, at))
        errand.replied = now()
        if reply.pause:
            put(writer, data)
            await asyncio.sleep(reply.pause)
            data = b""
        for start in range(at, end, _PIECE):
            data += _frame(reply, errand.piece(start, min(_PIECE, end - start)))
            if start + _PIECE < end:
                put(writer, data)
                await writer.drain()
                data = b""
        if has_body and reply.framing == "chunked" and end == size:
            data += b"0\r\n\r\n"
        if reply.excess == "at once":
            data += self._poison(errand)
        elif reply.excess == "body":
            self._book.counts["excess body"] += 1
            data += errand.piece(0, 300)
        put(writer, data)
        await writer.drain()

    def _poison(self, errand: Errand) -> bytes:
        tag = self._book.poison(errand, self._chance)
        response = b"HTTP/1.1 200 OK\r\nX-Tag: %b\r\nContent-Length: %d\r\n\r\n%b"
        return response % (tag, len(tag), tag)

    async def _end(self, errand: Errand, body: _Body, writer: Writer) -> bool:
        reply = errand.reply
        if reply.ending == "late fin":
            await asyncio.sleep(self._chance.random() * 0.01)
        if reply.ending == "reset":
            await asyncio.sleep(0.005)
            reset(writer)
            return False
        if reply.ending != "keep":
            writer.close()
            return False
        if not body.is_over and not reply.reads_rest:
            await asyncio.sleep(self._chance.random() * 0.02)
            return False
        await body.read(-1)
        return True

    async def _tunnel(self, errand: Errand, reader: Reader, writer: Writer) -> None:
        errand.replied = now()
        put(
            writer,
            b"HTTP/1.1 101 Switching Protocols\r\nX-Tag: %b\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" % errand.tag,
        )
        at = 0
        while data := await reader.read(_PIECE):
            if data != errand.piece(at, len(data)):
                self._book.wrong("another request's bytes in a tunnel", errand, data, f"at {at}")
                return
            at += len(data)
            put(writer, data)
            await writer.drain()
            if errand.reply.ending == "reset" and at > errand.reply.size:
                reset(writer)
                return

    async def close(self) -> None:
        """End every connection."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


def _is_framed(errand: Errand, head: bytes) -> bool:
    """Return whether the head frames the body as its client did."""
    lower = head.lower()
    if errand.is_chunked:
        return b"\r\ntransfer-encoding: chunked\r\n" in lower and b"content-length" not in lower
    if errand.size is None:
        return b"transfer-encoding" not in lower and b"content-length" not in lower
    return b"\r\ncontent-length: %d\r\n" % errand.size in lower and b"transfer-enc" not in lower


def _head_of(errand: Errand) -> bytes:
    reply = errand.reply
    lines = [
        b"HTTP/1.1 %d Whatever" % reply.status,
        b"X-Tag: " + errand.tag,
        b"Set-Cookie: s=" + errand.tag,
    ]
    if errand.is_gzip:
        lines.append(b"Content-Encoding: gzip")
    if reply.ending == "close" or reply.framing == "close":
        lines.append(b"Connection: close")
    if reply.has_body or reply.status == 304:  # which announces a body, but has none
        if reply.framing == "length":
            lines.append(b"Content-Length: %d" % reply.size)
        elif reply.framing == "chunked":
            lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([*lines, b"", b""])


def _frame(reply: Reply, payload: bytes) -> bytes:
    if reply.framing != "chunked" or not payload:
        return payload
    return b"%x\r\n%b\r\n" % (len(payload), payload)


@asynccontextmanager
async def upstream(book: Book, chance: random.Random) -> AsyncIterator[int]:
    """Serve on a free loopback port; yield the port."""
    serving = Upstream(book, chance)
    server = await asyncio.start_server(
        serving.serve,
        "127.0.0.1",
        0,
        limit=_LIMIT,
        backlog=1024,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await serving.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)
