"""Limits and counts the unsent bytes of a transport, for TLS in both of its layers.

A TLS transport counts only the bytes in its own layer. Nearly all unsent bytes are in the transport
below, which has the socket, and neither loop makes that one public.
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
# How often to check how many unsent bytes are left, in seconds.
_LOOK: Final = 0.05


def wire_below(transport: asyncio.BaseTransport) -> asyncio.Transport | None:
    """Return the transport that carries the bytes of a TLS `transport`, None for any other.

    Raises RuntimeError if it cannot be found: its bytes could not be counted.
    """
    asyncios = getattr(transport, "_ssl_protocol", None)
    if asyncios is not None:
        return cast("asyncio.Transport", asyncios._transport)  # noqa: SLF001 - it is not public anywhere
    uvloops = transport.get_extra_info("uvloop.sslproto")
    if uvloops is None:
        return None
    for one in gc.get_referents(uvloops):  # Cython hides its attributes
        if hasattr(one, "can_write_eof") and one.can_write_eof():
            return cast("asyncio.Transport", one)
    raise RuntimeError("cannot find the transport below a TLS transport in this version of uvloop")


def bounded(
    transport: asyncio.BaseTransport, wire: asyncio.Transport | None = None
) -> asyncio.Transport:
    """Return `transport`, with its buffers and those of the `wire` below it limited as O6 demands."""
    stream = cast("asyncio.Transport", transport)
    stream.set_write_buffer_limits(high=HIGH_WATER)
    if wire is not None:
        wire.set_write_buffer_limits(high=HIGH_WATER)
        stream.set_read_buffer_limits(high=HIGH_WATER)  # type: ignore[attr-defined] # TLS has it
    elif hasattr(stream, "max_size"):
        stream.max_size = _READ_SIZE
    return stream


def unsent(transport: asyncio.Transport, wire: asyncio.Transport | None) -> int:
    """Return how many bytes wait above the kernel's buffers, for TLS in both layers."""
    waiting = transport.get_write_buffer_size()
    return waiting if wire is None else waiting + wire.get_write_buffer_size()


def unacknowledged(transport: asyncio.Transport, wire: asyncio.Transport | None) -> int:
    """Return how many bytes the peer has not acknowledged yet.

    Includes the kernel's queue: that is so long that a slow peer, although it reads all the time, may
    take minutes until the kernel accepts more.
    """
    queued = bytearray(4)
    sock = transport.get_extra_info("socket")
    if sock is not None:  # else it is closed, and `connection_lost` has not been called yet
        with contextlib.suppress(
            OSError, ValueError
        ):  # not every system counts this for every kind of socket
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, queued)
    return unsent(transport, wire) + int.from_bytes(queued, sys.byteorder)


def takes_writes(transport: asyncio.Transport, wire: asyncio.Transport | None) -> bool:
    """Return whether a write can still be sent; if it cannot, the loops would log a warning."""
    return not transport.is_closing() and (wire is None or not wire.is_closing())


class Farewell:
    """Closes a transport once all is sent; aborts it if nothing is sent for `idle` seconds (0: no limit).

    TLS limits the time of its shutdown and would include unsent data in it, so the shutdown begins
    after the last byte.
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
        """Stop checking: the connection has ended."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
