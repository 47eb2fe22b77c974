"""Notices that a client has left while nothing is read from its connection.

A paused connection reads neither a FIN nor a reset, so its client could leave unnoticed and its
upstream work on in vain (forwarding.md F6). One poll a tick asks the kernel about all of them at
once; a pause that is over by then costs nothing but a place in a set.
"""

import select
from typing import Final, Protocol

# Resets are reported without being asked for.
_FIN: Final = select.POLLRDHUP
_NOTHING_ELSE: Final = 0


class Watched(Protocol):
    """A connection from which nothing is read."""

    def descriptor(self) -> int:
        """Return the descriptor of its socket, -1 if that is closed."""

    @property
    def leaves_by_fin(self) -> bool:
        """Whether a FIN that is not read yet already means that its peer has left."""

    def peer_left(self, *, by_reset: bool) -> None:
        """End what its peer wanted: it sent a reset, or else a FIN."""


class Watch:
    """The paused connections of a worker."""

    def __init__(self) -> None:
        self._paused: set[Watched] = set()
        self._by_descriptor: dict[int, Watched] = {}
        self._descriptors: dict[Watched, int] = {}
        self._poll = select.poll()

    def add(self, connection: Watched) -> None:
        """Watch `connection` from the next look on."""
        self._paused.add(connection)

    def discard(self, connection: Watched) -> None:
        """Watch `connection` no more, if it is watched; to be called before its socket is closed."""
        self._paused.discard(connection)
        descriptor = self._descriptors.pop(connection, None)
        if descriptor is not None and self._by_descriptor.get(descriptor) is connection:
            del self._by_descriptor[descriptor]
            self._poll.unregister(descriptor)

    def _register(self, connection: Watched) -> None:
        """Poll `connection` from now on.

        Over TLS the socket may be closed before its connection is notified. Then there is nothing left
        to notice, and its descriptor may have become another connection's meanwhile.
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
        """Report peers that left, each once, and begin to watch what was paused since."""
        paused, self._paused = self._paused, set()
        for connection in paused:
            self._register(connection)
        if not self._descriptors:
            return
        for descriptor, events in self._poll.poll(0):
            connection = self._by_descriptor[descriptor]
            self.discard(connection)
            connection.peer_left(by_reset=events != _FIN)
