"""Counts requests, decisions and faults by route.

Not with prometheus-client, which would cost 6 to 12 µs per request. Here a request is a few additions
to the counters of its route, and `exposition` renders a copy for a scrape.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from corsproxy.observe.snapshot import BOUNDS, Series, Snapshot
from corsproxy.policy.cors.decision import Decision
from corsproxy.version import __version__

# The label of requests that no route matched.
NO_ROUTE: Final = "-"

# The methods of RFC 9110 9 and RFC 5789; any other counts as `other`, because clients choose them and
# the number of labels must be bounded (cors.md 69).
METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"},
)
_OTHER: Final = b"other"
# 499, as in nginx: the client disconnected before a response.
_CODES: Final = frozenset({*(status.value for status in HTTPStatus), 499})
_SWITCHED: Final = 101


class RouteCounters:
    """The counters of one route; one object per route for the life of a worker."""

    __slots__ = (
        "decisions",
        "durations",
        "faults",
        "responses",
        "route",
        "seconds",
        "sent_cors",
        "upstream_durations",
        "upstream_seconds",
    )

    def __init__(self, route: str) -> None:
        self.route = route
        self.responses: dict[tuple[bytes, int], int] = {}
        self.decisions: dict[tuple[bool, str, str], int] = {}
        self.faults: dict[str, int] = {}
        self.sent_cors = 0
        self.durations = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0
        self.upstream_durations = [0] * (len(BOUNDS) + 1)
        self.upstream_seconds = 0.0

    def responded(self, method: bytes, status: int) -> None:
        """Count a request by method and status of the response, within bounded labels."""
        outcome = (
            method if method in METHODS else _OTHER,
            status if status in _CODES else status // 100,
        )
        try:
            self.responses[outcome] += 1
        except KeyError:
            self.responses[outcome] = 1

    def lasted(self, seconds: float, upstream_seconds: float) -> None:
        """Count the duration of a request, and that of its upstream (0 if it was not forwarded)."""
        self.durations[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds
        if upstream_seconds:
            self.upstream_durations[bisect_left(BOUNDS, upstream_seconds)] += 1
            self.upstream_seconds += upstream_seconds

    def decided(self, decision: Decision, *, preflight: bool) -> None:
        """Count the decision of a policy."""
        outcome = (preflight, decision.verdict, decision.reason)
        try:
            self.decisions[outcome] += 1
        except KeyError:
            self.decisions[outcome] = 1

    def failed(self, fault: str) -> None:
        """Count a fault by its stable word."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def series(self) -> Iterator[tuple[str, Series]]:
        """Yield the metric name, labels and values of everything that was counted."""
        route = self.route
        for (method, code), count in self.responses.items():
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
    """Whether a request became a tunnel, whose duration is not a response time (forwarding.md H17)."""
    return status == _SWITCHED


class Metrics:
    """The counters of one worker: a `RouteCounters` for each route, and the last reload."""

    def __init__(self) -> None:
        self._routes: dict[str, RouteCounters] = {}
        self._reload_succeeded = True
        self._loaded_at = time.time()

    def of(self, route: str) -> RouteCounters:
        """Return the counters of the route named `route`; they stay after a reload removes the route."""
        counters = self._routes.get(route)
        if counters is None:
            counters = self._routes[route] = RouteCounters(route)
        return counters

    def reloaded(self, ok: bool) -> None:  # noqa: FBT001 - the whole event is this one bit
        """Record that a reload succeeded or failed."""
        self._reload_succeeded = ok
        if ok:
            self._loaded_at = time.time()

    def snapshot(self, live: Iterable[tuple[str, Series]] = ()) -> Snapshot:
        """Return a copy of all counters, and of `live`: gauges such as the number of connections."""
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
