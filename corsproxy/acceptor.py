"""Accepts connections from a listening socket, where the loop's own servers would not do.

They hand over a TLS connection only after its handshake, and stop listening for a second where no
descriptor is left. Knows sockets, not what is spoken on them.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

log: Final = logging.getLogger("corsproxy")

# So many connections at a turn of the loop: others have their turn too, and who counts them has
# closed what is beyond a limit before many more come.
_AT_ONCE: Final = 4
# How long accepting rests when the system has no means for another connection, in seconds.
_REST: Final = 0.2


class Acceptor:
    """Gives each connection that comes to a listening socket to `take`, until closed.

    `relieve` is asked for a descriptor where none is left; it returns whether one is let go, now or
    at the next turn of the loop. The socket is the acceptor's from now on.
    """

    def __init__(
        self,
        sock: socket.socket,
        take: Callable[[socket.socket], None],
        relieve: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._take = take
        self._relieve = relieve
        self._pause: asyncio.TimerHandle | None = None
        self._is_short = False
        self._listen()

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if not self._relieve():
                    self._rest(error)
                return
            self._is_short = False
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            self._take(sock)

    def _rest(self, error: OSError) -> None:
        """Try again a little later: the socket stays readable, and the loop would spin."""
        if not self._is_short:
            self._is_short = True
            log.warning("no connection can be accepted: %s", (error.strerror or str(error)).lower())
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(_REST, self._listen)

    def close(self) -> None:
        """Accept no more. May be called again."""
        if self._pause is not None:
            self._pause.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
