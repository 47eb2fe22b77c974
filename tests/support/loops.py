"""The event loops that tests run on: asyncio's and uvloop's, each remembering its timers."""

import asyncio
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

import uvloop

_Ts = TypeVarTuple("_Ts")


class _Timers:
    """Which timers a loop was asked for and still has: neither cancelled nor due."""

    def __init__(self) -> None:
        self._handles: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()

    def add(self, handle: asyncio.TimerHandle) -> asyncio.TimerHandle:
        self._handles.add(handle)
        return handle

    def pending(self, now: float) -> list[asyncio.TimerHandle]:
        return [one for one in self._handles if not one.cancelled() and one.when() > now]


class AsyncioLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on epoll, which knows its pending timers."""

    def __init__(self) -> None:
        self.timers = _Timers()
        super().__init__()

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule as asyncio does (call_later comes here too) and remember the timer."""
        return self.timers.add(super().call_at(when, callback, *args, context=context))


class UvLoop(uvloop.Loop):
    """uvloop's loop, which knows its pending timers."""

    def __init__(self) -> None:
        self.timers = _Timers()
        super().__init__()

    def call_later(
        self,
        delay: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule as uvloop does and remember the timer."""
        return self.timers.add(super().call_later(delay, callback, *args, context=context))

    def call_at(
        self,
        when: float,
        callback: Callable[[*_Ts], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule as uvloop does and remember the timer."""
        return self.timers.add(super().call_at(when, callback, *args, context=context))


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": AsyncioLoop,
    "uvloop": UvLoop,
}


def pending_timers(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """Return the timers that `loop` still has to fire."""
    assert isinstance(loop, AsyncioLoop | UvLoop), f"not a loop of tests.support.loops: {loop}"
    return loop.timers.pending(loop.time())
