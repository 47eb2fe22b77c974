"""What stands before the health listener's requests: how many connections, how long, what of each.

A probe must succeed whatever else is there, so a newcomer is never turned away: who has been
there longest ends instead (forwarding.md O2), whether it is silent or takes long over its response: a
probe is there for milliseconds. Knows connections and where a head ends, no paths.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, cast

from corsproxy.acceptor import Acceptor

_MOST: Final = 64
_LONGEST_HEAD: Final = 8 * 1024
# Seconds: for the head of the request, from accept; and for taking the response.
_HEAD_TIME: Final = 5.0
_RESPONSE_TIME: Final = 30.0


class Reserve:
    """Descriptors kept back for health's connections, for when everything else is used up."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[int] = []
        self.fill()

    def fill(self) -> None:
        """Keep as many as should be kept, if there are."""
        with contextlib.suppress(OSError):
            while len(self._kept) < self._count:
                self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def give(self) -> bool:
        """Let one go; return False if there is none."""
        if self._kept:
            os.close(self._kept.pop())
            return True
        return False

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Leave one to whoever needs it meanwhile."""
        self.give()
        try:
            yield
        finally:
            self.fill()

    def close(self) -> None:
        """Keep none any more."""
        self._count = 0
        while self.give():
            pass


def reserve_for_health() -> Reserve:
    """Return as many descriptors as health's connections need, or an eighth of what is allowed."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Reserve(_MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 8))


class Gate:
    """Accepts on a bound socket; each connection may ask once, through a protocol that `make` gives."""

    def __init__(
        self, sock: socket.socket, make: Callable[[], asyncio.Protocol], reserve: Reserve
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.make = make
        self._reserve = reserve
        self._there: OrderedDict[_Connection, None] = OrderedDict()
        self._tasks: set[asyncio.Task[object]] = set()
        self._acceptor = Acceptor(sock, self._take, self._relieve)

    def _take(self, sock: socket.socket) -> None:
        if len(self._there) >= _MOST:
            self._end_oldest()
        connection = _Connection(self)
        self._there[connection] = None
        accepting = self.loop.connect_accepted_socket(lambda: connection, sock)
        task = self.loop.create_task(accepting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _relieve(self) -> bool:
        """Let a descriptor go for a connection that is there; return False if there is none."""
        return self._reserve.give() or self._end_oldest()

    def _end_oldest(self) -> bool:
        """End who has been there longest, if anybody is there."""
        for connection in self._there:
            connection.end()
            return True
        return False

    def left(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._there.pop(connection, None)
        self.loop.call_soon(self._reserve.fill)

    def close(self) -> None:
        """Accept no more, and end those that have not asked yet."""
        self._acceptor.close()
        for connection in [*self._there]:
            if not connection.has_asked:
                connection.end()

    async def ended(self) -> None:
        """End all that is left, and wait until accepting has come to its end."""
        for connection in [*self._there]:
            connection.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Connection(asyncio.Protocol):
    """One connection: gathers the head of one request, and passes nothing on that comes after it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._transport: asyncio.Transport | None = None
        self._held = b""
        self._inner: asyncio.Protocol | None = None
        self._is_over = False
        self._timer = gate.loop.call_later(_HEAD_TIME, self.end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_over:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Gather the head; one that is too long ends the connection, and so does an empty line.

        Whoever reads the request would skip the line and wait for another, which is not read.
        """
        transport = self._transport
        if self._inner is not None or transport is None:
            return
        self._held += data
        if self._held[0] in b"\r\n":
            self.end()
            return
        end = self._held.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(self._held) > _LONGEST_HEAD:
                self.end()
            return
        transport.pause_reading()
        gate = self._gate
        self._timer.cancel()
        self._timer = gate.loop.call_later(_RESPONSE_TIME, self.end)
        head, self._held = self._held[:end], b""
        self._inner = inner = gate.make()
        inner.connection_made(transport)
        inner.data_received(head)

    @property
    def has_asked(self) -> bool:
        """Whether the head of its request is there."""
        return self._inner is not None

    def eof_received(self) -> bool:
        """Stay open for who has asked and waits."""
        return self.has_asked

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave no timer behind."""
        self._timer.cancel()
        self._gate.left(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def end(self) -> None:
        """End at once; the place is free from now on."""
        self._is_over = True
        self._timer.cancel()
        self._gate.left(self)
        if self._transport is not None:
            self._transport.abort()
