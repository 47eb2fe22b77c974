"""Runs one coarse clock for all deadlines of a worker.

A timer a request would cost more than the rest of its bookkeeping. Here whatever waits has a
`deadline`, and one sweep a tick ends what is past it. A deadline is never early and
at most two ticks late.
"""

import asyncio
from collections.abc import Callable
from typing import Final

TICK: Final = 0.1
NEVER: Final = float("inf")


class Clock:
    """The time of the loop as of the last tick, and the sweep that follows each tick."""

    __slots__ = ("_handle", "_loop", "_sweep", "now")

    def __init__(self, sweep: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sweep = sweep
        self._handle: asyncio.TimerHandle | None = None
        self.now = self._loop.time()

    def start(self) -> None:
        """Begin to tick."""
        self._tick()

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def after(self, seconds: float) -> float:
        """Return the deadline that is `seconds` from now; NEVER for 0, which means no limit."""
        return self.now + seconds + TICK if seconds else NEVER

    def _tick(self) -> None:
        self._handle = self._loop.call_later(TICK, self._tick)
        self.now = self._loop.time()
        self._sweep(self.now)
