"""Logs refused and malformed requests, and overload, at a bounded rate.

A page can be refused a thousand times a second, and a line for each would bury other messages
(cors.md 69). The access log and the metrics contain all of them.
"""

import logging
from collections.abc import Callable
from typing import Final

from corsproxy.observe.logs import FIELDS
from corsproxy.observe.record import Record
from corsproxy.policy.cors.reasons import describe
from corsproxy.policy.printable import printable_ascii

BURST: Final = 5.0
A_SECOND: Final = 0.5

_MALFORMED: Final = frozenset({400, 414, 431, 501, 505})
_LONGEST_PATH: Final = 256


class Bucket:
    """A token bucket: `burst` at once, then `rate` per second. Times are monotonic, in seconds."""

    __slots__ = ("_filled_at", "_rate", "_size", "_tokens", "suppressed")

    def __init__(self, now: float, burst: float = BURST, rate: float = A_SECOND) -> None:
        self._size = burst
        self._rate = rate
        self._tokens = burst
        self._filled_at = now
        self.suppressed = 0

    def take(self, now: float) -> bool:
        """Take a token and return True; if there is none, count the message as suppressed."""
        filled = self._tokens + (now - self._filled_at) * self._rate
        self._tokens = min(self._size, filled)
        self._filled_at = now
        if self._tokens < 1:
            self.suppressed += 1
            return False
        self._tokens -= 1
        return True

    def take_suppressed(self) -> int:
        """Return and reset the number of suppressed messages."""
        count, self.suppressed = self.suppressed, 0
        return count


class Refusals:
    """Logs refusals: a bucket for each route, one for malformed requests, one for overload.

    `clock` returns monotonic seconds. Call `is_due` before making a record, because most are not logged.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._routes: dict[str, Bucket] = {}
        self._malformed = Bucket(clock())
        self._overload = Bucket(clock(), burst=1.0, rate=0.1)

    def is_due(self, route: str) -> bool:
        """Return whether to log a refusal on `route`; count it as suppressed if not."""
        now = self._clock()
        bucket = self._routes.get(route)
        if bucket is None:
            bucket = self._routes[route] = Bucket(now)
        return bucket.take(now)

    def refused(self, record: Record) -> None:
        """Log a request that its policy refused; call this only if `is_due` returned True."""
        decision = record.decision
        if decision is None:
            raise ValueError("a request without a decision cannot have been refused by a policy")
        more = self._routes[record.route].take_suppressed()
        pos = f", {decision.pos}" if decision.pos is not None else ""
        self._log.warning(
            "route %s: %s %s refused: %s (%s%s)%s",
            record.route or "-",
            printable_ascii(record.method),
            printable_ascii(record.target.partition(b"?")[0], _LONGEST_PATH),
            describe(decision.reason, decision.subject),
            decision.reason.value,
            pos,
            _and_more(more),
            extra={
                FIELDS: {
                    "corsproxy.route": record.route,
                    "corsproxy.cors.reason": decision.reason.value,
                    "http.request.origin": printable_ascii(record.origin),
                    "http.request.id": printable_ascii(record.request_id),
                },
            },
        )

    def malformed(self, record: Record) -> None:
        """Log a malformed request, without any of its bytes (forwarding.md P3)."""
        if record.status not in _MALFORMED or not self._malformed.take(self._clock()):
            return
        self._log.warning(
            "malformed request from %s: %s%s%s",
            printable_ascii(record.client),
            record.fault,
            f" ({record.note})" if record.note else "",
            _and_more(self._malformed.take_suppressed()),
            extra={
                FIELDS: {
                    "error.type": record.fault,
                    "client.address": printable_ascii(record.client),
                }
            },
        )

    def overloaded(self, what: str, limit: int, unless: str = "") -> None:
        """Log that `what` is at its `limit`; excess is rejected `unless` that applies (forwarding.md O2 to O4)."""
        if self._overload.take(self._clock()):
            self._log.warning(
                "overloaded: %s is at its limit of %d; excess is rejected%s%s",
                what,
                limit,
                f", unless {unless}" if unless else "",
                _and_more(self._overload.take_suppressed()),
            )


def _and_more(count: int) -> str:
    return f"; {count} more since the last such message" if count else ""
