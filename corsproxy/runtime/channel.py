"""How a supervisor asks its workers: a question a line, each with one answer, in order.

Knows the form of what is said, JSON over a pair of sockets, not its meaning. Nothing touches the disk.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

Message = dict[str, Any]
Answerer = Callable[[Message], Awaitable[Message]]

# A configuration is at most 1 MiB, and a snapshot grows with routes and upstreams.
_LONGEST: Final = 64 * 1024 * 1024


class ChannelClosed(Exception):  # noqa: N818 - an ending, not an error of ours
    """The other side has ended."""


class Channel:
    """The supervisor's end. Make it with `await Channel.on(sock)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        # A question whose answer nobody wants any more still gets one: its future is done by then.
        self._asked: deque[asyncio.Future[Message]] = deque()
        self._reading = asyncio.ensure_future(self._read(reader))

    @classmethod
    async def on(cls, sock: socket.socket) -> "Channel":
        """Return the asker on one socket of a pair."""
        return cls(*await asyncio.open_connection(sock=sock, limit=_LONGEST))

    async def ask(self, question: str, **details: object) -> Message:
        """Return the answer to `question`. Raises Gone."""
        return await self._send(question, details)

    def tell(self, question: str, **details: object) -> None:
        """Say something whose answer does not matter, and not even whether anybody hears it."""
        # An exception that nobody asks for is no news either.
        self._send(question, details).add_done_callback(
            lambda answered: answered.cancelled() or answered.exception(),
        )

    def _send(self, question: str, details: dict[str, object]) -> asyncio.Future[Message]:
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        if self._reading.done() or self._writer.is_closing():
            answered.set_exception(ChannelClosed())
        else:
            self._asked.append(answered)
            self._writer.write(json.dumps({"question": question, **details}).encode() + b"\n")
        return answered

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                answered = self._asked.popleft()
                if not answered.done():
                    answered.set_result(json.loads(line))
        except ConnectionError:
            pass  # it has ended, like one that closed its end in good order
        finally:
            while self._asked:
                answered = self._asked.popleft()
                if not answered.done():
                    answered.set_exception(ChannelClosed())

    async def close(self) -> None:
        """Close this end; who waits for an answer learns that there is none."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._writer.close()


async def answer_all(sock: socket.socket, answer: Answerer) -> None:
    """Answer what is asked on one socket of a pair, until the other side has ended."""
    reader, writer = await asyncio.open_connection(sock=sock, limit=_LONGEST)
    try:
        while line := await reader.readline():
            writer.write(json.dumps(await answer(json.loads(line))).encode() + b"\n")
            await writer.drain()
    except ConnectionError:
        pass  # the supervisor is gone: the caller ends, too
    finally:
        writer.close()
