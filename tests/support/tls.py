"""TLS in tests: a client that speaks it, and one that ends it in front of a plain server."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.messages import Head, parse_head
from tests.support.wire import Address, patiently

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TlsClient:
    """A client connection over TLS; use `async with tls_client(…) as client`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def certificate(self) -> dict[str, Any]:
        """The certificate that the server showed."""
        found = self.writer.get_extra_info("peercert")
        assert isinstance(found, dict)
        return found

    async def exchange(self, data: bytes) -> tuple[Head, bytes]:
        """Send `data`, read one response that has a Content-Length."""
        self.writer.write(data)
        raw = await patiently(self.reader.readuntil(b"\r\n\r\n"), "the head of an answer")
        head = parse_head(raw)
        size = int(head.value("content-length") or 0)
        return head, await patiently(self.reader.readexactly(size), "the body of an answer")


@asynccontextmanager
async def tls_client(
    address: Address,
    context: ssl.SSLContext,
    name: str = "localhost",
) -> AsyncIterator[TlsClient]:
    """Connect to `address` over TLS, expecting a certificate for `name`."""
    assert isinstance(address, tuple)
    connecting = asyncio.open_connection(*address, ssl=context, server_hostname=name)
    client = TlsClient(*await patiently(connecting, "a TLS handshake"))
    try:
        yield client
    finally:
        client.writer.transport.abort()


@asynccontextmanager
async def stream_server(
    handler: Handler, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve by `handler` on a free loopback port, which is yielded; with a context over TLS."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the peer left: what that means is the test's matter
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()
