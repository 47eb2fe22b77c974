"""Looks at a socket for what has arrived and the event loop has not read yet."""

import select
from enum import Enum
from socket import socket
from typing import Final


class Unread(Enum):
    """What a socket holds for its reader."""

    nothing = "nothing"
    data = "data"
    end = "end"  # a FIN or a reset, with or without bytes before it


# Members of an enum are slow to look up by attribute; these are read with every request.
NOTHING: Final = Unread.nothing
DATA: Final = Unread.data


class Probe:
    """Asks the kernel about one socket, between two events of the loop (S12)."""

    __slots__ = ("_poll",)

    def __init__(self, sock: socket) -> None:
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN | select.POLLRDHUP)

    def look(self) -> Unread:
        """Return what has arrived and was not read yet."""
        seen = self._poll.poll(0)
        if not seen:
            return NOTHING
        return DATA if seen[0][1] == select.POLLIN else Unread.end
