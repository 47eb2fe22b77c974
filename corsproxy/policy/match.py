"""Finds the route and the policy of a request.

Both the proxy and `explain` call it, so that they cannot differ (cors.md 70).
"""

from corsproxy.policy.compiled import CompiledConfig, Route
from corsproxy.policy.cors.decision import Facts, is_preflight
from corsproxy.policy.cors.policy import Policy

Matched = tuple[Route | None, Policy | None]


def match(config: CompiledConfig, host: bytes, path: bytes, facts: Facts) -> Matched:
    """Return the route of a request and the policy that applies to it.

    `host` is Host as received, `path` the request target up to its "?". If no route matches, the
    policy is that of `defaults.cors` (cors.md 62).
    """
    # A preflight is routed as the request that it announces (cors.md 6).
    method = facts.request_method[0] if is_preflight(facts) else facts.method
    route = config.routes.match(host, path, method)
    return route, config.default_policy if route is None else route.policy


def public_origin(route: Route | None) -> bytes | None:
    """Return the origin of the route's `public_url`, None if it has none (cors.md 55)."""
    if route is None or route.upstream.public is None:
        return None
    return b"%b://%b" % route.upstream.public
