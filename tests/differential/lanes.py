"""A recording upstream, and a client that says its piece and listens.

A lane is one way through one proxy with an upstream of its own, used by one case at a time: what
the upstream sees belongs to that case, however it was smuggled there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

from tests.differential.reading import Malformed, Seen, take_request
from tests.support.wire import Address

# Seconds that a proxy may be silent before the case is over; only unfinished requests come to that.
SILENCE = 2.0


class Reply(NamedTuple):
    """What the upstream sends for a request; `ends` says whether it ends the connection then."""

    data: bytes
    ends: bool = False


_OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"


def plain_reply(seen: Seen) -> Reply:
    """Return an ordinary response, after which the proxy is to close."""
    return Reply(_OK if seen.method == b"HEAD" else _OK + b"hi")


class Recorder:
    """What one lane's upstream saw: whole requests in order, and what was none."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.malformed: list[str] = []
        self.reply: Callable[[Seen], Reply] = plain_reply
        self.connections: set[asyncio.Transport] = set()

    def forget(self) -> None:
        """Begin anew."""
        self.seen, self.malformed = [], []

    async def is_quiet(self) -> None:
        """Wait until the proxy has ended its connections; end those it keeps beyond patience."""
        for _ in range(200):
            if not self.connections:
                return
            await asyncio.sleep(0.002)
        for transport in tuple(self.connections):
            transport.abort()


class _Recording(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._recorder.connections.add(self.transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._recorder.connections.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            while (taken := take_request(self._data)) is not None:
                self._data = self._data[taken[1] :]
                self._recorder.seen.append(taken[0])
                reply = self._recorder.reply(taken[0])
                self.transport.write(reply.data)
                if reply.ends:
                    self.transport.close()
                    return
        except Malformed as fault:
            self._recorder.malformed.append(str(fault))
            self.transport.abort()


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Recorder, str]]:
    """Run a recording upstream on a free loopback port; gives it and its host:port."""
    recorder = Recorder()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Recording(recorder), "127.0.0.1", 0, backlog=256)
    host, port = server.sockets[0].getsockname()
    try:
        yield recorder, f"{host}:{port}"
    finally:
        server.close()
        for transport in tuple(recorder.connections):
            transport.abort()
        await server.wait_closed()


async def _let_others_read() -> None:
    """Let a proxy in this loop read what was written, so that the next piece is another read."""
    for _ in range(4):
        await asyncio.sleep(0)


class Lane(NamedTuple):
    """One way through one proxy."""

    address: Address
    recorder: Recorder

    async def say(self, *pieces: bytes) -> bytes:
        """Send `pieces` on a new connection; return all that comes until the end, or silence."""
        self.recorder.forget()
        if isinstance(self.address, str):
            reader, writer = await asyncio.open_unix_connection(self.address)
        else:
            reader, writer = await asyncio.open_connection(*self.address)
        heard = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            for piece in pieces:
                if writer.transport.is_closing():
                    break  # it was refused, and the connection has ended
                writer.write(piece)
                await _let_others_read()
            async with asyncio.timeout(SILENCE) as limit:
                while more := await reader.read(65536):
                    heard += more
                    limit.reschedule(asyncio.get_running_loop().time() + SILENCE)
        writer.transport.abort()
        await self.recorder.is_quiet()
        return heard
