"""Chooses which idle connections to close when more clients connect than can be served.

Closing an idle connection costs its client only a new connection for the next request. So at the
limit those that have waited longest are closed first, whether they have sent nothing or the start of
a head; the new connection is rejected only if none is idle (forwarding.md O2).
"""

from collections import OrderedDict
from typing import Protocol

from corsproxy.proxy.fd_limits import ConnectionLimits


class Evictable(Protocol):
    """A connection that can be closed to make room for another one."""

    def give_way(self) -> bool:
        """Close if it only waits for a request; return whether it did."""

    def cut_off(self) -> None:
        """Abort and unregister."""


class Eviction:
    """The connections that wait for a request, and those that are closing to make room.

    `waiting` is ordered by when they became idle or began their head, the earliest first. The
    connections update it themselves, because it changes with every request.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[Evictable, None] = OrderedDict()
        self._leaving: OrderedDict[Evictable, None] = OrderedDict()

    def make_room(self, count: int, limits: ConnectionLimits) -> bool:
        """Return whether `count` connections can be served, closing idle ones if necessary.

        Closing may take a while: the last response may still be on its way. Above `limits.held` it is
        aborted. Each connection is tried once, so the cost per connection is constant.
        """
        while count - len(self._leaving) > limits.served and self.waiting:
            connection, _ = self.waiting.popitem(last=False)
            if connection.give_way():
                self._leaving[connection] = None
        suffices = count - len(self._leaving) <= limits.served
        while count > limits.served + limits.held and self._leaving:
            connection, _ = self._leaving.popitem(last=False)
            connection.cut_off()
            count -= 1
        return suffices

    def leave(self, connection: Evictable) -> None:
        """Count a connection that lingers as closing: it only waits for its client's FIN."""
        self.waiting.pop(connection, None)
        self._leaving[connection] = None

    def forget(self, connection: Evictable) -> None:
        """Remove a connection that has ended."""
        self.waiting.pop(connection, None)
        self._leaving.pop(connection, None)
