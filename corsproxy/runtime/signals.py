"""Delivers signals to the running loop.

The handlers belong to the process, not to the loop: the loop removes its own when it closes, and a
signal in the last milliseconds would then kill the process, which has to exit with 0 (forwarding.md
P1).
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
    """Call `callback` in the running loop each time the signal arrives. On the main thread only."""
    loop = asyncio.get_running_loop()

    def schedule(_number: int, _frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)

    signal.signal(number, schedule)


def ignore_signals(*numbers: signal.Signals) -> None:
    """Ignore these signals from now on."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """Queues the SIGTERM and SIGINT that arrive after its construction."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[signal.Signals] = asyncio.Queue()
        for number in _STOPPING:
            call_on(number, partial(self._arrived.put_nowait, number))

    async def next(self) -> signal.Signals:
        """Return the next signal; wait for one if the queue is empty."""
        return await self._arrived.get()

    async def cut_short(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, and cancel it at the next signal."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self.next())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if working.done():
            await working  # raises its exception
            return
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
