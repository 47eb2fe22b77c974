"""Reports what an operator should act on: counts each occurrence, logs it once or at a bounded rate."""

from collections import Counter
from typing import TYPE_CHECKING

from corsproxy.observe.metrics import Metrics
from corsproxy.policy.compiled import Route, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from corsproxy.observe.refusals import Refusals


class Reports:
    """The reports of one worker. Without `refusals` and callbacks nothing is logged."""

    def __init__(self, metrics: Metrics) -> None:
        self.refusals: Refusals | None = None
        self.on_upstream_cors: Callable[[Route], None] | None = None
        self.on_cookie_left: Callable[[Route, str], None] | None = None
        self.on_excess: Callable[[Upstream], None] | None = None
        self.cookies_left: Counter[tuple[str, str]] = Counter()
        self._metrics = metrics
        self._routes_with_cors: set[str] = set()

    def overloaded(self, what: str, limit: int, unless: str = "") -> None:
        """Log that `what` is at its `limit`, and that excess is rejected `unless` that applies."""
        if self.refusals is not None:
            self.refusals.overloaded(what, limit, unless)

    def upstream_sent_cors(self, route: Route) -> None:
        """Count a response whose upstream sent CORS headers; report it once per route (cors.md 50)."""
        self._metrics.of(route.name).sent_cors += 1
        if route.name not in self._routes_with_cors:
            self._routes_with_cors.add(route.name)
            if self.on_upstream_cors is not None:
                self.on_upstream_cors(route)

    def cookie_left(self, route: Route, reason: str) -> None:
        """Count a cookie that was not rewritten, because browsers would reject the result (cors.md 60).

        `reason` is one of `cookies.LEFT_BECAUSE`. Reported once per route and reason.
        """
        counted = (route.name, reason)
        self.cookies_left[counted] += 1
        if self.cookies_left[counted] == 1 and self.on_cookie_left is not None:
            self.on_cookie_left(route, reason)

    def excess(self, upstream: Upstream) -> None:
        """Report that an upstream sent bytes that belong to no response (S12)."""
        if self.on_excess is not None:
            self.on_excess(upstream)
