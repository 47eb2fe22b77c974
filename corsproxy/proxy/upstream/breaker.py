"""When an upstream that fails is left alone (forwarding.md O7). Knows failures and times, no sockets.

closed --N failures in a row--> open --its time--> half-open: one request is let through. If that is
answered the circuit closes, if it fails it opens again; a trial that came to nothing, because its
client left, gives way to the next after the same time.
"""

from enum import StrEnum


class State(StrEnum):
    """What becomes of requests: all are sent, none is, or one to try."""

    closed = "closed"
    open = "open"
    half_open = "half-open"


class Breaker:
    """The circuit to one upstream. Times are in seconds on any clock that only goes forward."""

    __slots__ = ("_failed", "_failures", "_next_trial", "_open_for", "state")

    def __init__(self, failures: int, open_for: float) -> None:
        self._failures = failures
        self._open_for = open_for
        self._failed = 0
        self._next_trial = 0.0
        self.state = State.closed

    def admits(self, now: float) -> bool:
        """Tell whether a request may be sent; the one that is the trial has to be sent, then."""
        if self.state is State.closed:
            return True
        if now < self._next_trial:
            return False
        self.state = State.half_open
        self._next_trial = now + self._open_for
        return True

    def succeeded(self) -> None:
        """Learn that an answer began: whatever its status, the upstream is alive."""
        self._failed = 0
        self.state = State.closed

    def failed(self, now: float) -> None:
        """Learn that a connection could not be made, or that an answer did not begin in time."""
        self._failed += 1
        if self.state is State.half_open or (
            self.state is State.closed and self._failed >= self._failures
        ):
            self.state = State.open
            self._next_trial = now + self._open_for
