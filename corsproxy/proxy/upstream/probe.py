"""Checks whether a socket has data or a FIN that the event loop has not read yet."""

import select
from enum import Enum
from socket import socket
from typing import Final


class Unread(Enum):
    """What is unread in a socket."""

    nothing = "nothing"
    data = "data"
    end = "end"  # a FIN or a reset, with or without bytes before it


# Members of an enum are slow to look up by attribute; these are read with every request.
NOTHING: Final = Unread.nothing
DATA: Final = Unread.data


class Probe:
    """Polls one socket, without waiting for the loop (S12)."""

    __slots__ = ("_poll",)

    def __init__(self, sock: socket) -> None:
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN | select.POLLRDHUP)

    def look(self) -> Unread:
        """Return what has arrived but was not read yet."""
        seen = self._poll.poll(0)
        if not seen:
            return NOTHING
        return DATA if seen[0][1] == select.POLLIN else Unread.end
