"""Registers and counts the client connections of one worker, and enforces their deadlines."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from corsproxy.proxy.eviction import Evictable, Eviction
from corsproxy.proxy.fd_limits import ConnectionLimits
from corsproxy.proxy.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Sized


class Connection(Evictable, Protocol):
    """A client's connection, as the sweep sees it."""

    deadline: float

    def expired(self, now: float) -> None:
        """Handle the end of `deadline`."""


class WritePaused(Protocol):
    """A connection whose peer does not read what was written to it."""

    write_deadline: float

    def write_expired(self) -> None:
        """Handle the end of `write_deadline`."""


class Connections:
    """All client connections, and which of them can be evicted, are watched or do not read.

    `handshakes` are connections that have not finished their TLS handshake: they count, too (O2).
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self.open: dict[Connection, asyncio.Transport] = {}
        self.handshakes: Sized = ()
        self.eviction = Eviction()
        self.watch = Watch()
        # Connections whose client does not read what was written to it (F7).
        self.write_paused: set[WritePaused] = set()
        self._all_closed = asyncio.Event()

    @property
    def count(self) -> int:
        """The number of client connections, TLS handshakes included (O2)."""
        return len(self.open) + len(self.handshakes)

    def register(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Add `connection`, whose transport is `transport`."""
        self.open[connection] = transport

    def unregister(self, connection: Connection) -> None:
        """Remove `connection`, if it is registered."""
        self.open.pop(connection, None)
        self.eviction.forget(connection)
        if not self.open:
            self._all_closed.set()

    def make_room(self, count: int) -> bool:
        """Return whether `count` connections can be served, closing idle ones if necessary (O2)."""
        return self.eviction.make_room(count, self.limits)

    def sweep(self, now: float) -> None:
        """Handle expired deadlines, and notice clients that left while nothing was read."""
        # Lists, because a connection that ends is removed from the collection.
        for late in [one for one in self.open if one.deadline < now]:
            late.expired(now)
        for stalled in [one for one in self.write_paused if one.write_deadline < now]:
            stalled.write_expired()
        self.watch.look()

    async def wait_closed(self, seconds: float) -> bool:
        """Wait until all connections have ended; return False after `seconds`."""
        self._all_closed.clear()
        if not self.open:
            return True
        try:
            await asyncio.wait_for(self._all_closed.wait(), seconds)
        except TimeoutError:
            return False
        return True
