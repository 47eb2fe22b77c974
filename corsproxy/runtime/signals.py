"""Signals as events of the loop. Knows that they came, not what becomes of it.

The handlers are ordinary ones, not the loop's: those would be gone when the loop closes, and a
signal in the last milliseconds would turn exit code 0 into death by signal (forwarding.md P1).
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any, Final

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def call_on(number: signal.Signals, callback: Callable[[], object]) -> None:
    """Have the running loop call `callback` whenever the signal comes. On the main thread only."""
    loop = asyncio.get_running_loop()

    def take(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)

    signal.signal(number, take)


def ignore_signals(*numbers: signal.Signals) -> None:
    """Take no notice of these signals any more."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """Takes SIGTERM and SIGINT from its making on."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in _STOPPING:
            call_on(number, partial(self._came.put_nowait, number))

    async def next(self) -> signal.Signals:
        """Wait for the next signal that nobody has been told of."""
        return await self._came.get()

    async def cut_short(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, but not beyond the next signal."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self.next())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if working.done():
            await working  # for its exception
            return
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
