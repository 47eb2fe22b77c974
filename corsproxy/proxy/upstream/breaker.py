"""A circuit breaker: rejects requests to an upstream that fails repeatedly (forwarding.md O7). Pure.

closed --N failures in a row--> open --`open_for`--> half-open: one request, the trial, is admitted. If
its response begins, the circuit closes; if it fails, the circuit opens again. If neither happens,
because its client left, another trial is admitted after `open_for`.
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
        """Return whether a request may be sent. If so it must be sent, since it may be the trial."""
        # Open and half-open alike: `_next_trial` is when the next trial may be sent.
        if self.state is State.closed:
            return True
        if now < self._next_trial:
            return False
        self.state = State.half_open
        self._next_trial = now + self._open_for
        return True

    def record_success(self) -> None:
        """Record that a response began: whatever its status, the upstream works."""
        self._failed = 0
        self.state = State.closed

    def record_failure(self, now: float) -> None:
        """Record that no connection could be opened, or that no response began in time.

        If the circuit is open this has no effect: the request was sent before it opened.
        """
        self._failed += 1
        if self.state is State.half_open or (
            self.state is State.closed and self._failed >= self._failures
        ):
            self.state = State.open
            self._next_trial = now + self._open_for
