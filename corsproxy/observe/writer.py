"""Writes lines to a file descriptor in a thread, so that the caller never blocks.

The thread writes five times a second; a slow or full pipe does not block the event loop. If too much
text is waiting, lines are dropped, and a later line reports how many.
"""

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 0.2
# In characters; above this, lines are dropped.
MAX_WAITING: Final = 4 * 1024 * 1024
# In bytes: several processes may write to one pipe, and a longer write could be split (POSIX write).
_ATOMIC: Final = select.PIPE_BUF
_PIECE: Final = 256 * 1024


class LineWriter:
    """Queues lines, each with its line end, for the descriptor `target`; `close` writes the rest.

    `lost_line` returns the line that reports how many were dropped.
    """

    def __init__(self, target: int, lost_line: Callable[[int], str]) -> None:
        self._target = target
        self._lost_line = lost_line
        self._piece = _ATOMIC if stat.S_ISFIFO(os.fstat(target).st_mode) else _PIECE
        self._waiting: deque[str] = deque()
        # Each counter is written by one thread only, so no lock is needed.
        self._queued = 0
        self._taken = 0
        self._dropped = 0
        self._unwritten = 0
        self._reported = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue `line`; drop and count it if too much is waiting."""
        size = len(line)
        if self._queued - self._taken + size > MAX_WAITING:
            self._dropped += 1
            return
        self._queued += size
        self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def lost(self) -> int:
        """The number of lines that were dropped or could not be written."""
        return self._dropped + self._unwritten

    def close(self, seconds: float = 1.0) -> None:
        """Write the rest, for at most `seconds`, so that a full pipe does not block the exit."""
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(INTERVAL)
            self._wake.clear()
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        while self._waiting:
            lines = self._next_lines()
            if not self._write(b"".join(lines)):
                self._unwritten += len(lines)
                return
        lost = self.lost - self._reported
        if lost and self._write(self._lost_line(lost).encode()):
            self._reported += lost

    def _next_lines(self) -> list[bytes]:
        """Return the next lines: as many as fit into one write, but at least one."""
        lines: list[bytes] = []
        size = 0
        while (self._waiting and size + len(self._waiting[0]) <= self._piece) or not lines:
            line = self._waiting.popleft()
            self._taken += len(line)
            lines.append(line.encode("utf-8", "replace"))
            size += len(lines[-1])
        return lines

    def _write(self, data: bytes) -> bool:
        """Write all of `data`, however long that takes; return False if the reader has closed."""
        while data:
            try:
                data = data[os.write(self._target, data) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._target, select.POLLOUT)
                poll.poll(INTERVAL * 1000)
            except OSError:
                return False
        return True
