"""Limits the health listener's connections: how many, for how long, and one request on each.

A probe must succeed whatever else is connected, so a new connection is never rejected: the oldest
one is closed instead (forwarding.md O2), whether it is idle or slow to read its response, because a
probe takes milliseconds. A request is passed on once its head is complete; this module parses no more
of it.
"""

import asyncio
import contextlib
import os
import resource
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Protocol, cast

_MAX_CONNECTIONS: Final = 64
_LONGEST_HEAD: Final = 8 * 1024
# Seconds: for the head of the request, from accept; and for reading the response.
_HEAD_TIME: Final = 5.0
_RESPONSE_TIME: Final = 30.0


class Acceptor(Protocol):
    """Accepts connections until it is closed."""

    def close(self) -> None:
        """Stop accepting."""


# Starts to accept on the listening socket: the first argument is called with each connection, the
# second if no descriptor is left; it returns whether one is free, now or in the next turn of the loop.
StartAccepting = Callable[[Callable[[socket.socket], None], Callable[[], bool]], Acceptor]


class Reserve:
    """Descriptors reserved for health connections, for when all others are in use."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[int] = []
        self.fill()

    def fill(self) -> None:
        """Reserve as many as are missing, or fewer if the system has no more."""
        with contextlib.suppress(OSError):
            while len(self._kept) < self._count:
                self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def release(self) -> bool:
        """Close a reserved descriptor so that it is free; return False if none is reserved."""
        if self._kept:
            os.close(self._kept.pop())
            return True
        return False

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Leave one descriptor free for the duration of the context."""
        self.release()
        try:
            yield
        finally:
            self.fill()

    def close(self) -> None:
        """Close all, and reserve none from now on."""
        self._count = 0
        while self.release():
            pass


def reserve_for_health() -> Reserve:
    """Return a reserve of a descriptor per health connection, at most an eighth of those allowed."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_unlimited = soft == resource.RLIM_INFINITY
    return Reserve(_MAX_CONNECTIONS if is_unlimited else min(_MAX_CONNECTIONS, soft // 8))


class Gate:
    """Accepts connections and passes one request of each to a new protocol, returned by `make`."""

    def __init__(
        self,
        start_accepting: StartAccepting,
        make: Callable[[], asyncio.Protocol],
        reserve: Reserve,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.make = make
        self._reserve = reserve
        self._connections: OrderedDict[_Connection, None] = OrderedDict()
        self._tasks: set[asyncio.Task[object]] = set()
        self._acceptor = start_accepting(self._register, self._free_descriptor)

    def _register(self, sock: socket.socket) -> None:
        if len(self._connections) >= _MAX_CONNECTIONS:
            self._abort_oldest()
        connection = _Connection(self)
        self._connections[connection] = None
        accepting = self.loop.connect_accepted_socket(lambda: connection, sock)
        task = self.loop.create_task(accepting)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _free_descriptor(self) -> bool:
        """Free a descriptor for a connection in the backlog; return False if that is impossible."""
        return self._reserve.release() or self._abort_oldest()

    def _abort_oldest(self) -> bool:
        """Abort the oldest connection; return False if there is none."""
        for connection in self._connections:
            connection.abort()
            return True
        return False

    def unregister(self, connection: "_Connection") -> None:
        """Remove a connection. May be called again."""
        self._connections.pop(connection, None)
        self.loop.call_soon(self._reserve.fill)

    def close(self) -> None:
        """Stop accepting, and abort the connections whose request head is not complete."""
        self._acceptor.close()
        for connection in [*self._connections]:
            if not connection.has_request:
                connection.abort()

    async def wait_closed(self) -> None:
        """Abort the remaining connections, and wait for those that are still being accepted."""
        for connection in [*self._connections]:
            connection.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Connection(asyncio.Protocol):
    """Buffers the head of one request, passes it on, and discards everything after it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._inner: asyncio.Protocol | None = None
        self._is_aborted = False
        self._timer = gate.loop.call_later(_HEAD_TIME, self.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; close it if the connection was aborted while it was being made."""
        self._transport = cast("asyncio.Transport", transport)
        if self._is_aborted:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Buffer the head; abort if it is too long or begins with an empty line.

        aiohttp would skip that line and wait for another head, which is never passed on.
        """
        transport = self._transport
        if self._inner is not None or transport is None:
            return
        self._buffer += data
        if self._buffer[0] in b"\r\n":
            self.abort()
            return
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            if len(self._buffer) > _LONGEST_HEAD:
                self.abort()
            return
        transport.pause_reading()
        gate = self._gate
        self._timer.cancel()
        self._timer = gate.loop.call_later(_RESPONSE_TIME, self.abort)
        head, self._buffer = self._buffer[:end], b""
        self._inner = inner = gate.make()
        inner.connection_made(transport)
        inner.data_received(head)

    @property
    def has_request(self) -> bool:
        """Whether the head of the request is complete."""
        return self._inner is not None

    def eof_received(self) -> bool:
        """Keep the connection open for the response if there is a request."""
        return self.has_request

    def pause_writing(self) -> None:
        """Pause the inner protocol."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Resume the inner protocol."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer and unregister."""
        self._timer.cancel()
        self._gate.unregister(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def abort(self) -> None:
        """Close at once, and unregister without waiting for `connection_lost`."""
        self._is_aborted = True
        self._timer.cancel()
        self._gate.unregister(self)
        if self._transport is not None:
            self._transport.abort()
