"""Clients on raw sockets: well-behaved ones, silent ones, and ones that never read."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

LOOPBACK: Final = "127.0.0.1"
HOST: Final = b"attack.test"
# After this many failed connection attempts, no further ones are made.
_REFUSED: Final = 4


class Response(NamedTuple):
    """A response with a Content-Length or without a body."""

    status: int
    head: bytes
    body: bytes


def request(method: bytes, target: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
    """Return the head of a request, including its empty line."""
    first = b"%b %b HTTP/1.1" % (method, target)
    return b"\r\n".join([first, b"Host: " + host, *lines, b"", b""])


def get(target: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
    """Return a GET."""
    return request(b"GET", target, *lines, host=host)


def length_of(head: bytes) -> int:
    """Return the Content-Length in `head`, 0 if it has none."""
    found = head.lower().partition(b"\r\ncontent-length:")[2]
    return int(found.partition(b"\r")[0] or 0)


async def read_response(reader: asyncio.StreamReader) -> Response:
    """Read one response. Raises EOFError if the connection closes before its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        body = await reader.readuntil(b"0\r\n\r\n")
    else:
        body = await reader.readexactly(length_of(head))
    return Response(int(head[9:12]), head, body)


async def fetch(
    port: int,
    data: bytes,
    *,
    tls: ssl.SSLContext | None = None,
    patience: float = 5.0,
) -> Response:
    """Send `data` on a fresh connection and return the first response; wait `patience` seconds for it.

    Raises OSError, EOFError or TimeoutError if there is none.
    """
    async with asyncio.timeout(patience):
        # A separate limit for the handshake would only interfere with this one.
        more = {} if tls is None else {"ssl": tls, "ssl_handshake_timeout": patience * 2}
        reader, writer = await asyncio.open_connection(LOOPBACK, port, **more)  # type: ignore[arg-type] # by name
        try:
            writer.write(data)
            return await read_response(reader)
        finally:
            writer.transport.abort()


async def status(
    port: int,
    data: bytes,
    *,
    tls: ssl.SSLContext | None = None,
    patience: float = 5.0,
) -> int:
    """Return the status of the response to `data` on a fresh connection, 0 if there is none."""
    try:
        return (await fetch(port, data, tls=tls, patience=patience)).status
    except (OSError, EOFError, TimeoutError):
        return 0


async def raw(stack: ExitStack, port: int, *, buffer: int = 0) -> socket.socket:
    """Return a connected socket that is never read from; `buffer` is its receive buffer in bytes."""
    sock = stack.enter_context(socket.socket())
    sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await asyncio.get_running_loop().sock_connect(sock, (LOOPBACK, port))
    return sock


async def silent(stack: ExitStack, port: int, count: int) -> None:
    """Open `count` connections that never send anything, slowly enough for a listener's backlog."""
    refused = 0
    for _ in range(count):
        try:
            async with asyncio.timeout(1):
                await raw(stack, port)
        except (OSError, TimeoutError):
            refused += 1
            if refused == _REFUSED:
                return
        await asyncio.sleep(0.001)


@contextmanager
def blocking(port: int, *, buffer: int = 0, patience: float = 5.0) -> Iterator[socket.socket]:
    """Return a connected socket for a thread; each of its calls waits at most `patience` seconds."""
    with socket.socket() as sock:
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(patience)
        sock.connect((LOOPBACK, port))
        yield sock
