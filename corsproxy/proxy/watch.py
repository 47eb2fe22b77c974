"""Detects clients that leave while reading from their connection is paused.

A paused connection reads neither a FIN nor a reset, so its client could leave unnoticed while its
upstream works in vain (forwarding.md F6). One poll per tick queries the kernel about all of them; a
pause that is over by then costs only a place in a set.
"""

import select
from typing import Final, Protocol

# `poll` always reports resets.
_FIN: Final = select.POLLRDHUP
_NOTHING_ELSE: Final = 0


class Watched(Protocol):
    """A connection whose reading is paused."""

    def descriptor(self) -> int:
        """Return the descriptor of the socket, -1 if that is closed."""

    @property
    def leaves_by_fin(self) -> bool:
        """Whether an unread FIN means that the peer has left."""

    def peer_left(self, *, by_reset: bool) -> None:
        """Handle a peer that sent a reset or, if not `by_reset`, a FIN."""


class Watch:
    """The paused connections of a worker."""

    def __init__(self) -> None:
        self._paused: set[Watched] = set()
        self._by_descriptor: dict[int, Watched] = {}
        self._descriptors: dict[Watched, int] = {}
        self._poll = select.poll()

    def add(self, connection: Watched) -> None:
        """Watch `connection` from the next `look` on."""
        self._paused.add(connection)

    def discard(self, connection: Watched) -> None:
        """Stop watching `connection`, if it is watched; call this before its socket is closed."""
        self._paused.discard(connection)
        descriptor = self._descriptors.pop(connection, None)
        if descriptor is not None and self._by_descriptor.get(descriptor) is connection:
            del self._by_descriptor[descriptor]
            self._poll.unregister(descriptor)

    def _register(self, connection: Watched) -> None:
        """Poll `connection` from now on.

        Over TLS the socket may be closed before its connection is notified. Then there is nothing left
        to detect, and the descriptor may already belong to another connection.
        """
        descriptor = connection.descriptor()
        if descriptor < 0:
            return
        closed = self._by_descriptor.pop(descriptor, None)
        if closed is not None:
            del self._descriptors[closed]
        self._by_descriptor[descriptor] = connection
        self._descriptors[connection] = descriptor
        self._poll.register(descriptor, _FIN if connection.leaves_by_fin else _NOTHING_ELSE)

    def look(self) -> None:
        """Watch the connections that were paused since the last look; report peers that left, each once."""
        paused, self._paused = self._paused, set()
        for connection in paused:
            self._register(connection)
        if not self._descriptors:
            return
        for descriptor, events in self._poll.poll(0):
            connection = self._by_descriptor[descriptor]
            self.discard(connection)
            connection.peer_left(by_reset=events != _FIN)
