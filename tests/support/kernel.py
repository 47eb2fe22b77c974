"""How many bytes of a transfer are in the kernel's buffers, and so how many in the proxy."""

import array
import asyncio
import fcntl
import os
import socket
import termios
from collections.abc import Callable
from pathlib import Path

from tests.support.wire import Wire

_SIOCOUTQ = termios.TIOCOUTQ
_CALM_LOOKS = 20


def _queued(descriptor: int, request: int) -> int:
    size = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, request, size)
    except OSError:
        return 0  # a listening socket
    return size[0]


def in_kernel() -> int:
    """Return the bytes in all receive and send queues of this process's sockets."""
    total = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
        except FileNotFoundError:
            continue
        descriptor = int(entry.name)
        total += _queued(descriptor, termios.FIONREAD) + _queued(descriptor, _SIOCOUTQ)
    return total


async def held_between(sender: Wire, receiver: Wire, sent: Callable[[], int]) -> int:
    """Wait until the stalled transfer no longer moves; return the bytes neither kernel nor peer has.

    It no longer moves when nothing was sent over twenty looks, five milliseconds apart.
    """
    calm, before = 0, -1
    while calm < _CALM_LOOKS:
        await asyncio.sleep(0.005)
        calm = calm + 1 if sent() == before else 0
        before = sent()
    assert sender.end is None, f"the sender was cut off: {sender}"
    return before - in_kernel() - len(receiver.received)


def resident_bytes() -> int:
    """Return the memory that this process has resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def shrink_buffers(wire: Wire, size: int = 64 * 1024) -> None:
    """Give the wire's own socket small kernel buffers, so that a stall comes soon."""
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
