"""Runs one coarse clock for all deadlines of a worker.

A timer per request would cost more than all its other bookkeeping. Instead, everything that waits
has a `deadline`, and one sweep per tick handles those that have passed. A deadline is never early
and at most two ticks late.
"""

import asyncio
from collections.abc import Callable
from typing import Final

TICK: Final = 0.1
NEVER: Final = float("inf")


class Clock:
    """The loop's time at the last tick; calls `sweep` with it after each tick. In seconds."""

    __slots__ = ("_handle", "_loop", "_sweep", "now")

    def __init__(self, sweep: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweep = sweep
        self._handle: asyncio.TimerHandle | None = None
        self.now = self._loop.time()

    def start(self) -> None:
        """Start ticking."""
        self._tick()

    def stop(self) -> None:
        """Stop ticking."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def after(self, seconds: float) -> float:
        """Return the deadline `seconds` from now; NEVER for 0, which means no limit."""
        return self.now + seconds + TICK if seconds else NEVER

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        self.now = self._loop.time()
        self._sweep(self.now)
