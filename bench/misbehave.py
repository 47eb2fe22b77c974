"""An upstream that responds well or badly, as the path specifies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
LocalResponse = Callable[[Reader, Writer], Awaitable[bool]]

LARGE = 1024 * 1024
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


async def _fine(_: Reader, writer: Writer) -> bool:
    writer.write(_OK % 302 + b"x" * 302)
    return True


async def _large(_: Reader, writer: Writer) -> bool:
    writer.write(_OK % LARGE)
    for _piece in range(16):
        writer.write(bytes(LARGE // 16))
        await writer.drain()
    return True


async def _chunked(_: Reader, writer: Writer) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _piece in range(5):
        writer.write(b"400\r\n" + bytes(1024) + b"\r\n")
        await asyncio.sleep(0.001)
    writer.write(b"0\r\n\r\n")
    return True


async def _late(_: Reader, writer: Writer) -> bool:
    await asyncio.sleep(0.3)
    return await _fine(_, writer)


async def _own_cors(_: Reader, writer: Writer) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n")
    return True


async def _cut(_: Reader, writer: Writer) -> bool:
    writer.write(_OK % 5000 + bytes(1000))
    return False


async def _junk(_: Reader, writer: Writer) -> bool:
    writer.write(b"ICE/1.0 200 what\r\n\r\n")
    return False


async def _nothing(_: Reader, writer: Writer) -> bool:
    writer.transport.abort()
    return False


async def _excess(_: Reader, writer: Writer) -> bool:
    writer.write(_OK % 2 + b"hi" + _OK % 6 + b"poison")
    return True


async def _tunnel(reader: Reader, writer: Writer) -> bool:
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    return False


ANSWERS: dict[bytes, LocalResponse] = {
    b"/fine": _fine,
    b"/large": _large,
    b"/chunked": _chunked,
    b"/late": _late,
    b"/own-cors": _own_cors,
    b"/cut": _cut,
    b"/junk": _junk,
    b"/nothing": _nothing,
    b"/excess": _excess,
    b"/tunnel": _tunnel,
}


async def _skip_body(reader: Reader, head: bytes) -> None:
    lower = head.lower()
    if b"\r\ntransfer-encoding:" in lower:
        await reader.readuntil(b"0\r\n\r\n")
    elif b"\r\ncontent-length: " in lower:
        length = lower.partition(b"\r\ncontent-length: ")[2].partition(b"\r")[0]
        await reader.readexactly(int(length))


async def converse(reader: Reader, writer: Writer) -> None:
    """Respond to the requests of one connection until it ends or one of them requires its end."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await _skip_body(reader, head)
            if not await ANSWERS.get(head.split(b" ")[1], _fine)(reader, writer):
                break
    writer.close()


@asynccontextmanager
async def upstream() -> AsyncIterator[int]:
    """Serve on a free loopback port; yield the port."""
    server = await asyncio.start_server(converse, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
