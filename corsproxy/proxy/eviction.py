"""Who gives way when more clients come than are served. Knows connections, no requests.

A connection that waits for a request costs its client nothing when it is closed: the next request
opens another one. So at the limit those that have waited longest are closed first, whether they have
sent nothing or the start of a head, and only where nobody waits is the newcomer turned away
(forwarding.md O2).
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

from corsproxy.proxy.fd_limits import ConnectionLimits

if TYPE_CHECKING:
    from corsproxy.proxy.client import ClientConnection


class Eviction:
    """The connections that wait for a request, and those that were closed for the sake of others.

    `waiting` has those in front that became idle, or began their head, longest ago. It is kept by the connections themselves: it is on the way of every request.
    """

    def __init__(self) -> None:
        self.waiting: OrderedDict[ClientConnection, None] = OrderedDict()
        self._leaving: OrderedDict[ClientConnection, None] = OrderedDict()

    def make_room(self, count: int, room: ConnectionLimits) -> bool:
        """Tell whether `count` connections can be served; close those that wait, as far as needed.

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

    def leave(self, connection: "ClientConnection") -> None:
        """Count a connection as closed that only waits for its client to end it, too."""
        self.waiting.pop(connection, None)
        self._leaving[connection] = None

    def forget(self, connection: "ClientConnection") -> None:
        """Forget a connection that has ended."""
        self.waiting.pop(connection, None)
        self._leaving.pop(connection, None)
