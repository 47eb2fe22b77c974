"""Accepts connections from a listening socket, in place of asyncio's servers.

Those pass on a TLS connection only after its handshake, and stop accepting for a second if no
descriptor is left.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

log: Final = logging.getLogger("corsproxy")

# Connections accepted in one turn of the loop: other events get their turn, and a server that counts
# connections has closed those above its limit before many more arrive.
_PER_TURN: Final = 4
# Seconds to stop accepting if the system has no descriptor or memory for another connection.
_PAUSE: Final = 0.2


class Acceptor:
    """Passes each accepted connection to `on_accept`, until closed. Owns the listening socket.

    `free_descriptor` is called if no descriptor is left; it returns whether one is free, now or in
    the next turn of the loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_accept: Callable[[socket.socket], None],
        free_descriptor: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_accept = on_accept
        self._free_descriptor = free_descriptor
        self._paused: asyncio.TimerHandle | None = None
        self._is_failing = False
        sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._listen()

    def _listen(self) -> None:
        self._paused = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_PER_TURN):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if not self._free_descriptor():
                    self._pause(error)
                return
            self._is_failing = False
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            self._on_accept(sock)

    def _pause(self, error: OSError) -> None:
        """Stop accepting for a moment: the socket stays readable, so the loop would spin."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("no connection can be accepted: %s", (error.strerror or str(error)).lower())
        self._loop.remove_reader(self._sock)
        self._paused = self._loop.call_later(_PAUSE, self._listen)

    def close(self) -> None:
        """Stop accepting. May be called again."""
        if self._paused is not None:
            self._paused.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()
