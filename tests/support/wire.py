"""One end of a raw connection and what went over it. Knows bytes and endings, no HTTP."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Self, TypeVar

Address = tuple[str, int] | str  # host and port, or the path of a unix socket

PATIENCE = 5.0  # seconds: how long a test waits for a peer before it says what it waited for

_T = TypeVar("_T")
_READ = 256 * 1024
_SHOWN = 400


class End(Enum):
    """How the peer ended what it sends."""

    FIN = "FIN"
    RESET = "reset"


class Ended(Exception):  # noqa: N818 - an ending is often just what a test wants to see
    """The peer ended while more was awaited: `end` is how it ended, `rest` is what had come."""

    def __init__(self, end: End, rest: bytes) -> None:
        super().__init__(f"peer ended with {end.value} after {rest[-_SHOWN:]!r}")
        self.end = end
        self.rest = rest


async def patiently(awaited: Awaitable[_T], what: str, seconds: float = PATIENCE) -> _T:
    """Return what `awaited` gives, or fail after `seconds` saying `what` did not come."""
    try:
        async with asyncio.timeout(seconds):
            return await awaited
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s in vain for {what}") from None


async def eventually(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until `holds()`, looking every millisecond; fail after `seconds` saying `what`."""

    async def look() -> None:
        while not holds():  # noqa: ASYNC110 - a kernel's state has no event
            await asyncio.sleep(0.001)

    await patiently(look(), what, seconds)


class Wire:
    """A connected socket that remembers, in order, what came in (`>`) and what went out (`<`).

    `peer_ended` is set when the peer's FIN or reset was seen; `end` is which it was.
    `patience` is how many seconds it waits for bytes that it needs (None: for ever).
    """

    patience: float | None = PATIENCE

    def __init__(self, sock: socket.socket, came: str = ">", went: str = "<") -> None:
        sock.settimeout(0)
        if sock.family == socket.AF_INET:
            # What is sent is on the wire at once, also behind what the peer has not acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.received = bytearray()
        self.sent = 0
        self.end: End | None = None
        self.peer_ended = asyncio.Event()
        self._unread = bytearray()
        self._came, self._went = came, went
        self._transcript: list[tuple[str, bytes]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        lines = [f"{way} {data[:_SHOWN]!r}" for way, data in self._transcript]
        return "\n".join([*lines, f"{self._came} {self.end.value}"] if self.end else lines)

    @property
    def unread(self) -> bytes:
        """What has come and was not asked for."""
        return bytes(self._unread)

    @property
    def is_open(self) -> bool:
        """Whether neither we closed the socket nor the peer ended."""
        return self.end is None and self.sock.fileno() >= 0

    def _note(self, way: str, data: bytes) -> None:
        if self._transcript and self._transcript[-1][0] == way:
            data = self._transcript.pop()[1] + data[:_SHOWN]
        self._transcript.append((way, data[: 2 * _SHOWN]))

    async def _receive(self) -> bytes:
        try:
            data = await asyncio.get_running_loop().sock_recv(self.sock, _READ)
        except (ConnectionResetError, BrokenPipeError):
            self._note_end(End.RESET)
            return b""
        if not data:
            self._note_end(End.FIN)
        return data

    def _note_end(self, end: End) -> None:
        self.end = end
        self.peer_ended.set()

    async def more(self) -> bool:
        """Wait for the next bytes; False when the peer has ended."""
        if self.end:
            return False
        data = await self._receive()
        self._note(self._came, data)
        self.received += data
        self._unread += data
        return bool(data)

    async def until(self, mark: bytes) -> bytes:
        """Return what comes up to and with `mark`; raises Ended if it does not come."""
        while (found := self._unread.find(mark)) < 0:
            await self._need_more()
        return self._take(found + len(mark))

    async def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes; raises Ended if they do not come."""
        while len(self._unread) < size:
            await self._need_more()
        return self._take(size)

    async def until_end(self) -> bytes:
        """Return everything up to the peer's end, whichever it is (see `end`)."""
        while await self.more():
            pass
        return self._take(len(self._unread))

    async def count(self, size: int) -> int:
        """Read up to `size` bytes without keeping them; return how many came before the end."""
        taken = len(self._take(min(size, len(self._unread))))
        while taken < size and self.end is None:
            data = await self._receive()
            taken += len(data)
            if taken > size:
                self._unread += data[len(data) - (taken - size) :]
                taken = size
        return taken

    async def _need_more(self) -> None:
        patience = self.patience
        waited = self.more() if patience is None else patiently(self.more(), str(self), patience)
        if not await waited:
            assert self.end is not None
            raise Ended(self.end, self._take(len(self._unread)))

    def _take(self, size: int) -> bytes:
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def send(self, data: bytes) -> None:
        """Send all of `data`; what a peer that left does not take is not an error here."""
        self._note(self._went, data)
        view = memoryview(data)
        while view:
            if not (sent := await self._send_some(view)):
                return
            view = view[sent:]

    async def pour(self, size: int, piece: bytes) -> None:
        """Send `size` bytes made of `piece` over and over; `sent` counts them as they go."""
        gone = 0
        view = memoryview(piece)
        while gone < size:
            start = gone % len(piece)
            sent = await self._send_some(view[start : start + size - gone])
            if not sent:
                return
            gone += sent

    async def _send_some(self, view: memoryview) -> int:
        while True:
            try:
                sent = self.sock.send(view)
            except BlockingIOError:
                await self._writable()
            except (ConnectionResetError, BrokenPipeError):
                self._note_end(End.RESET)
                return 0
            else:
                self.sent += sent
                return sent

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self.sock, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self.sock)

    def finish(self) -> None:
        """End our direction with a FIN and keep reading."""
        self._note(self._went, b"(FIN)")
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End both directions at once with a reset (RST, by SO_LINGER 0)."""
        if self.sock.family != socket.AF_UNIX:
            linger = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._note(self._went, b"(reset)")
        self.sock.close()

    def close(self) -> None:
        """Close the socket (the kernel makes it a reset if unread bytes remain)."""
        self.sock.close()


async def connect(address: Address) -> socket.socket:
    """Return a non-blocking socket connected to `address`."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(path: str | None = None) -> socket.socket:
    """Return a listening socket: on a free loopback port, or on the unix path given."""
    sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(0)
    sock.bind(path or ("127.0.0.1", 0))
    sock.listen(1024)
    return sock
