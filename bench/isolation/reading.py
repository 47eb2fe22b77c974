"""The client's side of one connection: sends in pieces, and checks every byte that arrives."""

import asyncio
import contextlib
import random
import re
import socket
from typing import Final, Self

from bench.isolation.errands import TAG, UNREAD, Book, Errand, now
from bench.isolation.strict import put, reset

_LIMIT: Final = 256 * 1024
_PATIENCE: Final = 25.0
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [^\r\n]*\r\n")
_FIELD: Final = re.compile(rb"\r\n([!-9;-~]+):[ \t]*([^\r\n]*)(?=\r\n)")


class Gone(Exception):  # noqa: N818 - an outcome like others
    """The connection ended, or wrong bytes arrived on it, which were recorded: nothing follows."""


Fields = dict[bytes, list[bytes]]


class Line:
    """A client's connection to the proxy. `name` identifies the visit in reports."""

    def __init__(self, book: Book, chance: random.Random, port: int, name: str) -> None:
        self._book = book
        self.chance = chance
        self.name = name
        self.has_begun = asyncio.Event()  # set once the expected response has begun, or never will
        self._port = port
        self._began = now()
        self._reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def open(self, buffer: int = 0) -> Self:
        """Connect, with a receive buffer of this size if not 0."""
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
            self._reader, self.writer = await asyncio.open_connection(
                sock=sock,
                limit=buffer or _LIMIT,
            )
        except OSError:
            sock.close()
            raise Gone from None
        return self

    def close(self) -> None:
        """End the connection, with a FIN or, one time in five, a reset."""
        if self.chance.random() < 0.2:
            self.reset()
        else:
            self.writer.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        reset(self.writer)

    async def send(self, data: bytes, pieces: int = 1, pace: float = 0.0) -> None:
        """Send `data` in `pieces` pieces, cut anywhere, with `pace` seconds between them."""
        cuts = sorted(self.chance.randrange(len(data) + 1) for _ in range(pieces - 1))
        start = 0
        with contextlib.suppress(OSError):
            for cut in [*cuts, len(data)]:
                put(self.writer, data[start:cut])
                await self.writer.drain()
                start = cut
                if pace:
                    await asyncio.sleep(pace)

    # --- responses -------------------------------------------------------------------------

    async def response(self, errand: Errand, pace: float = 0.0) -> bool:
        """Read the response to `errand`; return whether another request may follow.

        `pace` is how long to wait before each piece of the body. Raises Gone.
        """
        outcome = "abandoned"
        self.has_begun.clear()
        try:
            async with asyncio.timeout(_PATIENCE):
                outcome, keeps = await self._read(errand, pace)
        except TimeoutError:
            outcome = self._silence(errand)
            raise Gone from None
        except asyncio.LimitOverrunError:
            self._book.wrong("a head without an end", errand, b"", self.name)
            raise Gone from None
        except asyncio.IncompleteReadError as error:
            outcome = self._cut(errand, error.partial)
            raise Gone from None
        except OSError:
            outcome = self._cut(errand, b"")
            raise Gone from None
        finally:
            self.has_begun.set()
            self._book.outcomes[outcome] += 1
        return keeps

    def _silence(self, errand: Errand) -> str:
        if self._book.killed_since(self._began):
            return "lost with a killed worker"
        self._book.wrong("no response", errand, errand.reply, self.name)
        return "no response"

    def _cut(self, errand: Errand, partial: bytes) -> str:
        if self._book.killed_since(self._began):
            return "lost with a killed worker"
        if errand.reply.fault or errand.reply.ending == "reset":
            return "cut, as its upstream did"
        return "cut within a response" if partial else "closed before a response"

    async def _read(self, errand: Errand, pace: float) -> tuple[str, bool]:
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, fields = self._parse(errand, head)
            if status >= 200 or status == 101:
                break
            self._book.counts[f"interim {status}"] += 1
        self.has_begun.set()
        if b"x-tag" not in fields:
            return await self._own(errand, status, fields, head)
        if status != errand.reply.status:
            self._book.wrong("another status", errand, head, self.name)
            raise Gone
        if status == 101:
            return "switched", True
        await self._read_body(errand, fields, head, pace)
        ends = b"close" in fields.get(b"connection", [])
        return "complete", not ends

    def _parse(self, errand: Errand, head: bytes) -> tuple[int, Fields]:
        line = _STATUS.match(head)
        if line is None:
            self._book.wrong("not a response", errand, head, self.name)
            raise Gone
        fields: Fields = {}
        for name, value in _FIELD.findall(head):
            fields.setdefault(name.lower(), []).append(value)
        for tag in TAG.findall(head):
            if tag != errand.tag:
                self._book.another_response(errand, tag, head, self.name)
                raise Gone
        return int(line[1]), fields

    async def _own(
        self, errand: Errand, status: int, fields: Fields, head: bytes
    ) -> tuple[str, bool]:
        """Read a response of the proxy itself; check whether there was a reason for it."""
        if fields.get(b"content-type") != [b"application/problem+json"]:
            self._book.wrong("an unknown response", errand, head, self.name)
            raise Gone
        if errand.method != b"HEAD":
            await self._reader.readexactly(int(fields[b"content-length"][0]))
        if status == 504 and not self._book.killed_since(self._began):
            if not errand.seen:
                self._book.wrong("a request that never came", errand, head, self.name)
            elif errand.replied and now() - errand.replied > UNREAD:
                self._book.wrong("a response that was not read", errand, head, self.name)
        self._book.counts[f"own {status}"] += 1
        return f"own {status}", b"close" not in fields.get(b"connection", [])

    async def _read_body(self, errand: Errand, fields: Fields, head: bytes, pace: float) -> None:
        if errand.method == b"HEAD" or not errand.reply.has_body:
            return
        if b"transfer-encoding" in fields:
            size = await self._read_chunks(errand, pace)
        elif b"content-length" in fields:
            size = int(fields[b"content-length"][0])
            await self._read_piece(errand, 0, size, pace)
        else:
            size = await self._read_to_the_end(errand, pace)
            if size < errand.reply.size and self._book.killed_since(self._began):
                raise Gone
        if size != errand.reply.size:
            self._book.wrong("a body of another length", errand, head, f"{self.name}, {size}")
            raise Gone

    async def _read_piece(self, errand: Errand, at: int, size: int, pace: float) -> None:
        end = at + size
        while at < end:
            if pace:
                await asyncio.sleep(pace)
            data = await self._reader.read(min(end - at, _LIMIT))
            if not data:
                raise asyncio.IncompleteReadError(b"?", None)
            self._check(errand, at, data)
            at += len(data)

    def _check(self, errand: Errand, at: int, data: bytes) -> None:
        if data != errand.piece(at, len(data)):
            self._book.wrong("another's bytes in a response", errand, data[:200], self.name)
            raise Gone

    async def _read_chunks(self, errand: Errand, pace: float) -> int:
        at = 0
        while True:
            line = await self._reader.readuntil(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]{1,8}\r\n", line):
                self._book.wrong("not a chunk size in a response", errand, line, self.name)
                raise Gone
            size = int(line, 16)
            await self._read_piece(errand, at, size, pace)
            at += size
            if await self._reader.readexactly(2) != b"\r\n":
                self._book.wrong("not the end of a chunk in a response", errand, line, self.name)
                raise Gone
            if not size:
                return at

    async def _read_to_the_end(self, errand: Errand, pace: float) -> int:
        at = 0
        while data := await self._reader.read(_LIMIT):
            if pace:
                await asyncio.sleep(pace)
            self._check(errand, at, data)
            at += len(data)
        return at

    async def tunnel(self, errand: Errand) -> None:
        """Send bytes through the tunnel that `errand` has become; all of them have to come back."""
        at = 0
        for _ in range(self.chance.randrange(1, 6)):
            size = self.chance.choice((1, 50, 5000, 40_000))
            put(self.writer, errand.piece(at, size))
            data = await self._reader.readexactly(size)
            self._check(errand, at, data)
            at += size
        self._book.counts["bytes through tunnels"] += at

    async def quiet(self, errand: Errand, seconds: float = 0.003) -> None:
        """Record bytes that arrive although no response is expected."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(300)
        except (TimeoutError, OSError):
            return
        if data:
            tags = [tag for tag in TAG.findall(data) if tag != errand.tag]
            if tags:
                self._book.another_response(errand, tags[0], data, self.name)
            else:
                self._book.wrong("bytes behind a response", errand, data, self.name)

    async def peek(self) -> None:
        """Wait until the first byte of a response has arrived."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._reader.read(1)
