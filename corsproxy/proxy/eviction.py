"""Chooses which idle connections are closed when more clients come than can be served.

A connection that waits for a request costs its client nothing when it is closed: the next request
opens another one. So at the limit those that have waited longest are closed first, whether they have
sent nothing or the start of a head; the newcomer is rejected only if none is idle (forwarding.md
O2).
"""

from collections import OrderedDict
from typing import Protocol

from corsproxy.proxy.fd_limits import ConnectionLimits


class Evictable(Protocol):
    """A connection that can be closed for the sake of another one."""

    def give_way(self) -> bool:
        """Close if it only waits for a request; return whether it did."""

    def cut_off(self) -> None:
        """End at once, and unregister."""


class Eviction:
    """The connections that wait for a request, and those that were closed for the sake of others.

    `waiting` has those in front that became idle, or began their head, longest ago. The connections
    themselves keep it, because it changes with every request.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[Evictable, None] = OrderedDict()
        self._leaving: OrderedDict[Evictable, None] = OrderedDict()

    def make_room(self, count: int, room: ConnectionLimits) -> bool:
        """Return whether `count` connections can be served; close idle ones as far as needed.

        What is closed may take a while: its last response may still be on its way. Beyond what can
        be held it is cut off. Each connection is looked at once, so it costs the same in any crowd.
        """
        while count - len(self._leaving) > room.served and self.waiting:
            connection, _ = self.waiting.popitem(last=False)
            if connection.give_way():
                self._leaving[connection] = None
        suffices = count - len(self._leaving) <= room.served
        while count > room.served + room.held and self._leaving:
            connection, _ = self._leaving.popitem(last=False)
            connection.cut_off()
            count -= 1
        return suffices

    def leave(self, connection: Evictable) -> None:
        """Count a connection as closed that only waits for its client to end it, too."""
        self.waiting.pop(connection, None)
        self._leaving[connection] = None

    def forget(self, connection: Evictable) -> None:
        """Forget a connection that has ended."""
        self.waiting.pop(connection, None)
        self._leaving.pop(connection, None)
