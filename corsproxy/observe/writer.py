"""Lines to a file descriptor without ever waiting for its reader. Knows lines, not what they say.

A thread of its own writes them, five times a second: a slow or full pipe never holds up serving.
What cannot be taken in time is dropped beyond a bound, and how much that was is told.
"""

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 0.2
# How many characters may wait for a reader.
MAX_WAITING: Final = 4 * 1024 * 1024
# What several processes write to one pipe stays whole up to this many bytes (POSIX write).
_ATOMIC: Final = select.PIPE_BUF
_PIECE: Final = 256 * 1024


class LineWriter:
    """Takes lines, each with its end, for the descriptor `target`. Call `close` to write what is left.

    `tell_lost` makes the line that says how many were lost.
    """

    def __init__(self, target: int, tell_lost: Callable[[int], str]) -> None:
        self._target = target
        self._tell_lost = tell_lost
        self._piece = _ATOMIC if stat.S_ISFIFO(os.fstat(target).st_mode) else _PIECE
        self._waiting: deque[str] = deque()
        # Each number is changed by one side only: no lock is needed.
        self._entered = 0
        self._left = 0
        self._refused = 0
        self._unwritten = 0
        self._told = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take `line`, or count it as lost where too much is waiting."""
        size = len(line)
        if self._entered - self._left + size > MAX_WAITING:
            self._refused += 1
            return
        self._entered += size
        self._waiting.append(line)
        if not self._wake.is_set():
            self._wake.set()

    @property
    def lost(self) -> int:
        """The number of lines that were lost so far."""
        return self._refused + self._unwritten

    def close(self, seconds: float = 1.0) -> None:
        """Write what is left, for at most `seconds`: a pipe that nobody reads holds nothing up."""
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
        lost = self.lost - self._told
        if lost and self._write(self._tell_lost(lost).encode()):
            self._told += lost

    def _next_lines(self) -> list[bytes]:
        """Return the next lines: as many as fit into one piece, but at least one."""
        lines: list[bytes] = []
        size = 0
        while (self._waiting and size + len(self._waiting[0]) <= self._piece) or not lines:
            line = self._waiting.popleft()
            self._left += len(line)
            lines.append(line.encode("utf-8", "replace"))
            size += len(lines[-1])
        return lines

    def _write(self, data: bytes) -> bool:
        """Write `data` whole, however long it takes; return False if nobody will ever read it."""
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
