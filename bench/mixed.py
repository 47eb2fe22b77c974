"""Clients of every kind: browsers, and ones that leave early, are slow or are broken."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

from bench.scenarios import ORIGIN, STRANGER

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Deed = Callable[["Visit"], Awaitable[None]]

_FAULTS = (b"/cut", b"/junk", b"/nothing", b"/excess")
_READ = (b"/fine", b"/fine", b"/fine", b"/chunked", b"/own-cors", b"/late")


class Visit:
    """One client's connection to the port."""

    def __init__(self, reader: Reader, writer: Writer, chance: random.Random) -> None:
        self.reader = reader
        self.writer = writer
        self.chance = chance

    def head(self, method: bytes, path: bytes, *more: bytes) -> bytes:
        """Return a request head; the origin is allowed in three of four."""
        origin = ORIGIN if self.chance.random() < 0.75 else STRANGER
        lines = [
            b"%b %b HTTP/1.1" % (method, path),
            b"Host: soak",
            b"Origin: " + origin.encode(),
            *more,
        ]
        return b"\r\n".join([*lines, b"", b""])

    async def ask(self, request: bytes) -> bytes:
        """Send a request; return the head of the response after reading its body."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            await self.reader.readuntil(b"0\r\n\r\n")
        elif b"content-length: " in lower:
            length = int(lower.partition(b"content-length: ")[2].partition(b"\r")[0])
            await self.reader.readexactly(length)
        return head


async def _read(visit: Visit) -> None:
    for _ in range(visit.chance.randint(1, 20)):
        await visit.ask(visit.head(b"GET", visit.chance.choice(_READ)))


async def _preflight(visit: Visit) -> None:
    asked = b"Access-Control-Request-Method: PUT"
    for _ in range(visit.chance.randint(1, 20)):
        await visit.ask(visit.head(b"OPTIONS", b"/fine", asked))


async def _write(visit: Visit) -> None:
    for _ in range(visit.chance.randint(1, 5)):
        length = b"Content-Length: 10240"
        await visit.ask(visit.head(b"POST", b"/fine", length) + bytes(10240))
        chunked = b"Transfer-Encoding: chunked"
        body = b"1000\r\n" + bytes(4096) + b"\r\n0\r\n\r\n"
        await visit.ask(visit.head(b"POST", b"/fine", chunked) + body)


async def _fail(visit: Visit) -> None:
    await visit.ask(visit.head(b"GET", visit.chance.choice(_FAULTS)))


async def _download(visit: Visit) -> None:
    await visit.ask(visit.head(b"GET", b"/large"))


async def _leave(visit: Visit) -> None:
    visit.writer.write(visit.head(b"GET", visit.chance.choice((b"/large", b"/late"))))
    await asyncio.sleep(visit.chance.random() * 0.05)
    sock = visit.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.writer.transport.abort()


async def _dawdle(visit: Visit) -> None:
    for byte in visit.head(b"GET", b"/fine")[: visit.chance.randint(1, 60)]:
        visit.writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def _break(visit: Visit) -> None:
    head = visit.head(b"GET", b"/fine", b"Content-Length: 5", b"Content-Length: 6")
    await visit.ask(visit.chance.choice((head, b"GET /\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n")))


async def _talk(visit: Visit) -> None:
    more = (b"Connection: Upgrade", b"Upgrade: websocket")
    head = visit.head(b"GET", b"/tunnel", *more)
    visit.writer.write(head)
    if b" 101 " not in await visit.reader.readuntil(b"\r\n\r\n"):
        return
    for _ in range(20):
        visit.writer.write(bytes(512))
        await visit.reader.readexactly(512)


# What clients do, and how often.
DEEDS: dict[Deed, int] = {
    _read: 30,
    _preflight: 15,
    _write: 10,
    _fail: 10,
    _download: 3,
    _leave: 10,
    _dawdle: 5,
    _break: 5,
    _talk: 5,
}


async def visit(port: int, chance: random.Random, done: Counter[str]) -> None:
    """Connect, run one action, and leave; count it by its name and outcome."""
    deed = chance.choices(list(DEEDS), list(DEEDS.values()))[0]
    outcome = "done"
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await deed(Visit(reader, writer, chance))
            finally:
                writer.close()
    except TimeoutError:
        outcome = "too late"
    except (OSError, EOFError):
        outcome = "cut off"
    done[f"{deed.__name__.removeprefix('_')} {outcome}"] += 1
