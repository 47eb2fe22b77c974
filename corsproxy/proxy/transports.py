"""Bounds and counts what waits in a transport, and in the one below it if that speaks TLS.

A TLS transport of the loops counts only what its own layer holds; nearly all that waits is below,
in the transport that has the socket, which neither of the loops shows.
"""

import asyncio
import contextlib
import fcntl
import gc
import sys
import termios
from typing import Final, cast

# What may wait unsent above the kernel's buffers before reading from the other side is paused.
# With it, one read of uvloop's (up to 256 000 bytes) still fits into the 256 KiB of O6.
HIGH_WATER: Final = 4 * 1024
# asyncio's own transports read this many bytes at a time; uvloop's cannot be configured.
_READ_SIZE: Final = 128 * 1024
# How often to look how much of the rest has gone, in seconds.
_LOOK: Final = 0.05


def wire_below(transport: asyncio.BaseTransport) -> asyncio.Transport | None:
    """Return the transport that carries the bytes of a TLS `transport`, None for any other.

    Raises RuntimeError if the loop does not let it be found: what it holds could not be counted.
    """
    asyncios = getattr(transport, "_ssl_protocol", None)
    if asyncios is not None:
        return cast("asyncio.Transport", asyncios._transport)  # noqa: SLF001 - nothing else has it
    uvloops = transport.get_extra_info("uvloop.sslproto")
    if uvloops is None:
        return None
    for one in gc.get_referents(uvloops):  # its attributes are not Python's to read
        if hasattr(one, "can_write_eof") and one.can_write_eof():
            return cast("asyncio.Transport", one)
    raise RuntimeError("this uvloop does not show what lies below its TLS transports")


def bounded(
    transport: asyncio.BaseTransport, wire: asyncio.Transport | None = None
) -> asyncio.Transport:
    """Return `transport`, limited to the bounds of O6, with the `wire` below it if it has one."""
    stream = cast("asyncio.Transport", transport)
    stream.set_write_buffer_limits(high=HIGH_WATER)
    if wire is not None:
        wire.set_write_buffer_limits(high=HIGH_WATER)
        stream.set_read_buffer_limits(high=HIGH_WATER)  # type: ignore[attr-defined] # TLS has it
    elif hasattr(stream, "max_size"):
        stream.max_size = _READ_SIZE
    return stream


def unsent(transport: asyncio.Transport, wire: asyncio.Transport | None) -> int:
    """Return how many bytes wait above the kernel's buffers, in both layers of a TLS transport."""
    waiting = transport.get_write_buffer_size()
    return waiting if wire is None else waiting + wire.get_write_buffer_size()


def unacknowledged(transport: asyncio.Transport, wire: asyncio.Transport | None) -> int:
    """Return how many bytes the peer has not acknowledged yet.

    The kernel's queue counts too: it is so long that a slow peer, which reads all the time, may
    need minutes until the kernel takes more from us.
    """
    queued = bytearray(4)
    sock = transport.get_extra_info("socket")
    if sock is not None:  # else it is closed, and only its user has not been notified yet
        with contextlib.suppress(
            OSError, ValueError
        ):  # not every system counts for every kind of socket
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
    return unsent(transport, wire) + int.from_bytes(queued, sys.byteorder)


def takes_writes(transport: asyncio.Transport, wire: asyncio.Transport | None) -> bool:
    """Return whether what is written can still be sent; if not, the loops log every attempt."""
    return not transport.is_closing() and (wire is None or not wire.is_closing())


class Farewell:
    """Closes a transport once all is sent, or cuts it off when nothing goes out for `idle` seconds.

    TLS limits its own goodbye, and would count what is still on its way as part of it: so that
    begins behind the last byte. An `idle` of 0 means no limit.
    """

    __slots__ = ("_handle", "_idle", "_left", "_loop", "_until", "_wire", "transport")

    def __init__(
        self, transport: asyncio.Transport, wire: asyncio.Transport | None, idle: float
    ) -> None:
        self.transport = transport
        self._wire = wire
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._left = unacknowledged(transport, wire)
        self._until = self._loop.time() + idle
        self._handle: asyncio.TimerHandle | None = None
        self._look()

    def _look(self) -> None:
        self._handle = None
        transport, wire = self.transport, self._wire
        if not unsent(transport, wire):
            if not transport.is_closing():
                transport.close()
            return
        left, now = unacknowledged(transport, wire), self._loop.time()
        if left < self._left:
            self._left, self._until = left, now + self._idle
        elif self._idle and now > self._until:
            transport.abort()
            return
        self._handle = self._loop.call_later(_LOOK, self._look)

    def cancel(self) -> None:
        """Look no more: the connection is gone."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
