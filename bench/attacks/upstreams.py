"""Upstreams for attacks: one records requests, others respond as a function decides."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Conversation = Callable[[Reader, Writer], Awaitable[None]]
# Responds to a request head; returns whether to keep the connection open.
Respond = Callable[[bytes, Reader, Writer], Awaitable[bool]]

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@asynccontextmanager
async def serving(converse: Conversation) -> AsyncIterator[int]:
    """Serve each connection with `converse`; yield the port. Aborts all connections on leaving."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a connection's callback is a task
        talks.add(task)
        task.add_done_callback(talks.discard)
        try:
            # Cancelled only below, on purpose.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await converse(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def responding(respond: Respond) -> Conversation:
    """Return a connection handler that passes every head to `respond`."""

    async def converse(reader: Reader, writer: Writer) -> None:
        while await respond(await reader.readuntil(b"\r\n\r\n"), reader, writer):
            await writer.drain()

    return converse


class Recorder:
    """An upstream that records every head and responds with 200."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def respond(self, head: bytes, reader: Reader, writer: Writer) -> bool:  # noqa: ARG002
        """Record a head."""
        self.heads.append(head)
        writer.write(OK % 2 + b"ok")
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        """Serve; yield the port."""
        async with serving(responding(self.respond)) as port:
            yield port

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the field `name`, compared without case only, in all heads."""
        lines = [line for head in self.heads for line in head.split(b"\r\n")]
        pairs = [line.partition(b":") for line in lines]
        return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]


def path_of(head: bytes) -> bytes:
    """Return the target of a request's first line."""
    return head.split(b" ", 2)[1]
