"""A circuit breaker: rejects requests to an upstream that fails (forwarding.md O7). Pure.

closed --N failures in a row--> open --its time--> half-open: one request, the trial, is admitted. If
its response begins the circuit closes, if it fails the circuit opens again. A trial without either,
because its client left, is followed by another one after the same time.
"""

from enum import StrEnum


class State(StrEnum):
    """Which requests are admitted: all, none, or one as a trial."""

    closed = "closed"
    open = "open"
    half_open = "half-open"


class Breaker:
    """The circuit to one upstream. Times are in seconds of a monotonic clock."""

    __slots__ = ("_failed", "_failures", "_next_trial", "_open_for", "state")

    def __init__(self, failures: int, open_for: float) -> None:
        self._failures = failures
        self._open_for = open_for
        self._failed = 0
        self._next_trial = 0.0
        self.state = State.closed

    def admits(self, now: float) -> bool:
        """Return whether a request may be sent; it must be sent then: it may be the trial."""
        if self.state is State.closed:
            return True
        if now < self._next_trial:
            return False
        self.state = State.half_open
        self._next_trial = now + self._open_for
        return True

    def record_success(self) -> None:
        """Record that a response began: whatever its status, the upstream is alive."""
        self._failed = 0
        self.state = State.closed

    def record_failure(self, now: float) -> None:
        """Record that no connection could be made, or that no response began in time.

        In an open circuit it changes nothing: it is of a request from before.
        """
        self._failed += 1
        if self.state is State.half_open or (
            self.state is State.closed and self._failed >= self._failures
        ):
            self.state = State.open
            self._next_trial = now + self._open_for
