"""Exchanges a supervisor's requests and a worker's responses, as lines of JSON over a socket pair.

Responses arrive in the order of the requests. Nothing is written to disk.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

Message = dict[str, Any]
# Handles a request, whose name is in "request", and returns the response.
Handler = Callable[[Message], Awaitable[Message]]

# A configuration has at most 1 MiB, and a snapshot grows with routes and upstreams.
_LONGEST_LINE: Final = 64 * 1024 * 1024


class ChannelClosed(Exception):  # noqa: N818 - expected when a process ends
    """The other end is closed: its process has ended."""


class Channel:
    """The supervisor's end. Open it with `await Channel.open(sock)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        # A cancelled request stays in the queue: its response still arrives, and must not be taken for
        # that of the next.
        self._pending: deque[asyncio.Future[Message]] = deque()
        self._reading = asyncio.ensure_future(self._read(reader))

    @classmethod
    async def open(cls, sock: socket.socket) -> "Channel":
        """Return the channel on one socket of a pair."""
        return cls(*await asyncio.open_connection(sock=sock, limit=_LONGEST_LINE))

    async def request(self, name: str, /, **arguments: object) -> Message:
        """Send a request and return its response. Raises ChannelClosed."""
        return await self._write(name, arguments)

    def send(self, name: str, /, **arguments: object) -> None:
        """Send a request and ignore its response; do nothing if the channel is closed."""
        # Retrieving the exception keeps asyncio from logging it.
        self._write(name, arguments).add_done_callback(
            lambda response: response.cancelled() or response.exception(),
        )

    def _write(self, name: str, arguments: dict[str, object]) -> asyncio.Future[Message]:
        response: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self._reading.done() or self._writer.is_closing():
            response.set_exception(ChannelClosed())
        else:
            self._pending.append(response)
            self._writer.write(json.dumps({"request": name, **arguments}).encode() + b"\n")
        return response

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                response = self._pending.popleft()
                if not response.done():
                    response.set_result(json.loads(line))
        except ConnectionError:
            pass  # the process was killed: no different from an end that was closed
        finally:
            while self._pending:
                response = self._pending.popleft()
                if not response.done():
                    response.set_exception(ChannelClosed())

    async def close(self) -> None:
        """Close this end; pending requests raise ChannelClosed."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()


async def serve_requests(sock: socket.socket, handle: Handler) -> None:
    """Respond to the requests on one socket of a pair, until the other end is closed."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=_LONGEST_LINE)
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await handle(json.loads(line))).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # the supervisor was killed: the caller ends this process
    finally:
        writer.close()
