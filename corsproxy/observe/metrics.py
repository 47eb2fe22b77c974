"""Counts what requests become, in numbers of our own. Knows outcomes, no sockets and no output format.

Counting through prometheus-client would cost 6 to 12 µs a request; here it is a few additions to
what one route has, and `exposition` renders a copy when somebody asks.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from corsproxy import __version__
from corsproxy.observe.snapshot import BOUNDS, Series, Snapshot
from corsproxy.policy.cors.decision import Decision

# The label of requests that no route took.
NO_ROUTE: Final = "-"

# The methods of RFC 9110 9 and RFC 5789; every other token counts as `other`, for labels are bounded.
METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"},
)
_OTHER: Final = b"other"
# 499 is ours, as it is nginx's: the client left.
_CODES: Final = frozenset({*(status.value for status in HTTPStatus), 499})
_SWITCHED: Final = 101


class RouteCounters:
    """What the requests of one route have become so far. Made once a route, never copied."""

    __slots__ = (
        "answers",
        "decisions",
        "durations",
        "faults",
        "route",
        "seconds",
        "sent_cors",
        "upstream_durations",
        "upstream_seconds",
    )

    def __init__(self, route: str) -> None:
        self.route = route
        self.answers: dict[tuple[bytes, int], int] = {}
        self.decisions: dict[tuple[bool, str, str], int] = {}
        self.faults: dict[str, int] = {}
        self.sent_cors = 0
        self.durations = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.upstream_durations = [0] * (len(BOUNDS) + 1)
        self.upstream_seconds = 0.0

    def answered(self, method: bytes, status: int) -> None:
        """Count a request by its method and the status of its answer, within bounded labels."""
        outcome = (
            method if method in METHODS else _OTHER,
            status if status in _CODES else status // 100,
        )
        try:
            self.answers[outcome] += 1
        except KeyError:
            self.answers[outcome] = 1

    def lasted(self, seconds: float, upstream_seconds: float) -> None:
        """Count how long a request took, and its upstream (0 where none was asked)."""
        self.durations[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        if upstream_seconds:
            self.upstream_durations[bisect_left(BOUNDS, upstream_seconds)] += 1
            self.upstream_seconds += upstream_seconds

    def decided(self, decision: Decision, *, preflight: bool) -> None:
        """Count what a policy said of a request."""
        outcome = (preflight, decision.verdict, decision.reason)
        try:
            self.decisions[outcome] += 1
        except KeyError:
            self.decisions[outcome] = 1

    def failed(self, fault: str) -> None:
        """Count a fault by its stable word."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def series(self) -> Iterator[tuple[str, Series]]:
        """Return the name, labels and figures of everything that was counted."""
        route = self.route
        for (method, code), count in self.answers.items():
            shown = str(code) if code >= 100 else f"{code}xx"
            yield "corsproxy_requests_total", ((route, method.decode(), shown), (count,))
        for (preflight, verdict, reason), count in self.decisions.items():
            kind = "preflight" if preflight else "actual"
            labels = (route, kind, str(verdict), str(reason))
            yield "corsproxy_cors_decisions_total", (labels, (count,))
        for fault, count in self.faults.items():
            yield "corsproxy_faults_total", ((route, fault), (count,))
        if self.sent_cors:
            yield "corsproxy_upstream_sent_cors_total", ((route,), (self.sent_cors,))
        if any(self.durations):
            figures = (*self.durations, self.seconds)
            yield "corsproxy_request_duration_seconds", ((route,), figures)
        if any(self.upstream_durations):
            figures = (*self.upstream_durations, self.upstream_seconds)
            yield "corsproxy_upstream_duration_seconds", ((route,), figures)


def is_tunnel(status: int) -> bool:
    """Tell whether a request became a tunnel, whose length says nothing of speed (H17)."""
    return status == _SWITCHED


class Metrics:
    """The counters of one worker: one `RouteCounters` a route, and how reloads went."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteCounters] = {}
        self._reload_succeeded = True
        self._loaded_at = time.time()

    def of(self, route: str) -> RouteCounters:
        """Return the counters of the route of this name; a route that a reload took out keeps its."""
        counters = self._routes.get(route)
        if counters is None:
            counters = self._routes[route] = RouteCounters(route)
        return counters

    def reloaded(self, ok: bool) -> None:  # noqa: FBT001 - told by position, as an event
        """Note whether a new configuration was taken into force just now."""
        self._reload_succeeded = ok
        if ok:
            self._loaded_at = time.time()

    def snapshot(self, live: Iterable[tuple[str, Series]] = ()) -> Snapshot:
        """Return a copy of all, with `live`: what others know, such as how many connections there are."""
        copy: Snapshot = {}
        for counters in self._routes.values():
            for name, series in counters.series():
                copy.setdefault(name, []).append(series)
        for name, series in (*live, *self._own()):
            copy.setdefault(name, []).append(series)
        return copy

    def _own(self) -> Iterator[tuple[str, Series]]:
        yield "corsproxy_config_last_reload_successful", ((), (int(self._reload_succeeded),))
        yield "corsproxy_config_last_reload_success_timestamp_seconds", ((), (self._loaded_at,))
        yield "corsproxy_build_info", ((__version__,), (1,))
