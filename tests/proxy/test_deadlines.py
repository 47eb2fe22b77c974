"""Deadlines by a coarse clock: never early, at most two ticks late (forwarding.md O1). Pure."""

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.proxy.deadlines import NEVER, TICK, Clock

SLACK = 1e-9  # what sums of floats may lose


class Timer(NamedTuple):
    """What `call_later` was asked for."""

    due: float
    call: Callable[[], None]
    cancelled: list[bool]

    def cancel(self) -> None:
        """Forget it."""
        self.cancelled.append(True)


class Loop:
    """A loop whose time the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Note a timer."""
        timer = Timer(self.now + delay, call, [])
        self.timers.append(timer)
        return timer

    def go_to(self, when: float) -> None:
        """Let time pass, and run each timer when it is due."""
        while due := [one for one in self.timers if one.due <= when and not one.cancelled]:
            timer = min(due, key=lambda one: one.due)
            self.timers.remove(timer)
            self.now = max(self.now, timer.due)
            timer.call()
        self.now = when


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    """Return a loop by script, which is the running one."""
    with pytest.MonkeyPatch.context() as patch:
        scripted = Loop()
        patch.setattr(asyncio, "get_running_loop", lambda: scripted)
        yield scripted


@given(since_tick=st.floats(0.0, TICK, exclude_max=True), seconds=st.floats(0.001, 10.0))
def test_a_deadline_is_never_early_and_at_most_two_ticks_late(
    loop: Loop, since_tick: float, seconds: float
) -> None:
    """O1: whenever between two ticks it begins; it has passed when a sweep finds it below `now`."""
    passed: list[float] = []
    deadline = NEVER

    def sweep(now: float) -> None:
        if deadline < now:
            passed.append(loop.now)

    clock = Clock(sweep)
    clock.start()
    loop.go_to(loop.now + since_tick)
    began = loop.now
    deadline = clock.after(seconds)
    loop.go_to(began + seconds + 3 * TICK)
    clock.stop()
    assert seconds - SLACK <= passed[0] - began <= seconds + 2 * TICK + SLACK


def test_no_limit_is_never_reached(loop: Loop) -> None:
    """L4: 0 is not a limit."""
    clock = Clock(lambda _: None)
    assert clock.after(0.0) == NEVER > loop.now


def test_each_tick_takes_the_time_and_sweeps(loop: Loop) -> None:
    """O1: from the start on, once a tick, and no more after the end."""
    swept: list[float] = []
    clock = Clock(swept.append)
    assert clock.now == loop.now
    began = loop.now
    clock.start()
    loop.go_to(began + 3.5 * TICK)
    assert swept == pytest.approx([began + number * TICK for number in range(4)])
    assert clock.now == swept[-1]
    clock.stop()
    loop.go_to(began + 9 * TICK)
    assert len(swept) == 4
    assert all(timer.cancelled for timer in loop.timers)
