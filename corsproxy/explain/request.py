"""Explains a page's request under a whole configuration: first its route, then its policy.

The functions that serve requests also match the route and decide here (cors.md 70).
"""

from typing import Final, NamedTuple

from corsproxy.explain.console import console
from corsproxy.explain.explain import (
    Explanation,
    Step,
    browser_step,
    explain,
)
from corsproxy.explain.fetch_algorithm import PageRequest
from corsproxy.explain.predict import (
    BrowserFetch,
    PredictedResponse,
    browser_fetch,
    check_responses,
)
from corsproxy.explain.suggest_change import suggest_policy
from corsproxy.policy.compiled import CompiledConfig, Route
from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import parse_lines
from corsproxy.policy.cors.reasons import Verdict
from corsproxy.policy.cors.response_headers import rewrite
from corsproxy.policy.fields import Field
from corsproxy.policy.match import Matched, match, public_origin
from corsproxy.policy.printable import printable_ascii
from corsproxy.policy.routing.paths import is_ambiguous
from corsproxy.policy.urls import read_url


class _Refusal(NamedTuple):
    """An error response of the proxy itself, which does not depend on the origin."""

    status: int
    words: str
    fix: str


_METHOD: Final = _Refusal(
    405, "CONNECT and TRACE are not served, and no page can send them", "use another method"
)
_NO_ROUTE: Final = _Refusal(
    404, "no route matches this request", "add a route that matches this host, path and method"
)
_AMBIGUOUS: Final = _Refusal(
    400,
    "the route {route} rejects this path: servers differ in how they read it",
    "request it without dot segments and %00, or set ambiguous_paths: forward on the route",
)
_NO_POLICY: Final = (
    "give the route a policy, or check the CORS headers of the upstream itself with explain --live"
)
_NO_UPGRADE: Final = "add websocket to the upgrades of the route"
UPSTREAM_NOTE: Final = "the browsers' messages are those for an upstream that sends no CORS headers"


def explain_request(config: CompiledConfig, page_request: PageRequest) -> Explanation:
    """Explain whether the page's request works, from its route to the browser.

    A ws(s) URL means a WebSocket handshake. Raises ValueError for a URL that no page can
    request.
    """
    url = read_url(page_request.url)
    page_request = page_request._replace(url=str(url))
    fetch = browser_fetch(page_request, is_websocket=url.scheme in {"ws", "wss"})
    path = url.target.partition("?")[0].encode("ascii")
    matched = match(config, url.authority.encode("ascii"), path, fetch.first)
    route, policy = matched
    # In the order of the proxy: CONNECT and TRACE are refused whatever the route (forwarding.md H4),
    # an ambiguous path by the route that matches it (H1).
    if fetch.first.method in {b"CONNECT", b"TRACE"}:
        return _unserved(matched, fetch, _METHOD)
    if route is None:
        return _unserved(matched, fetch, _NO_ROUTE)
    if route.reject_ambiguous_paths and is_ambiguous(path):
        return _unserved(matched, fetch, _AMBIGUOUS)
    if fetch.request.is_websocket and b"websocket" not in route.upgrades:
        return _without_upgrade(route, fetch)
    words = f"{route.name} matches {printable_ascii(fetch.page_request.method)} {url.authority}{url.target}"
    step = Step("route", "ok", words, route.pos)
    if policy is None:
        return _without_policy(route, fetch, step)
    found = explain(
        policy,
        page_request,
        route=route.name.encode(),
        own_origin=public_origin(route),
        is_websocket=fetch.request.is_websocket,
    )
    return found._replace(steps=(step, *found.steps))


def _unserved(matched: Matched, fetch: BrowserFetch, refusal: _Refusal) -> Explanation:
    """Explain an error response of the proxy itself (cors.md 62)."""
    route, policy = matched
    fields: tuple[Field, ...] = ()
    if policy is not None:
        # An error response has the CORS headers of an actual request, also if a preflight caused it.
        name = route.name.encode() if route else b""
        decision = decide(policy, fetch.first._replace(request_method=()), name)
        fields = parse_lines(rewrite(policy, decision, refusal.status, [], 0))
    words = refusal.words.format(route=route.name if route else "")
    step = Step("route", "failed", words, route.pos if route else None)
    found = _by_browser(fetch, (_first_response(fetch, refusal.status, fields),), step)
    return found._replace(
        route=route.name if route else "",
        policy=policy.name if policy else "",
        works=False,
        fix=refusal.fix,
    )


def _without_policy(route: Route, fetch: BrowserFetch, step: Step) -> Explanation:
    """Explain a route without a policy, which does not change CORS headers (cors.md 7, 51)."""
    found = _by_browser(fetch, (_first_response(fetch, 0, ()),), step)
    words = f"the route {route.name} has no policy: the upstream's own CORS headers decide"
    return found._replace(
        route=route.name,
        words=words,
        fix=_NO_POLICY,
        change=None if found.works else suggest_policy(route.name, fetch),
        notes=() if found.works else (UPSTREAM_NOTE,),
    )


def _without_upgrade(route: Route, fetch: BrowserFetch) -> Explanation:
    """Explain a WebSocket handshake on a route that does not upgrade to it (forwarding.md H17)."""
    words = f"the route {route.name} has no WebSocket upgrade: the handshake is forwarded as a plain GET"
    found = _by_browser(fetch, (), Step("route", "failed", words, route.pos))
    return found._replace(route=route.name, works=False, fix=_NO_UPGRADE)


def _first_response(
    fetch: BrowserFetch, status: int, fields: tuple[Field, ...]
) -> PredictedResponse:
    return PredictedResponse("preflight" if fetch.preflight else "request", status, fields)


def _by_browser(
    fetch: BrowserFetch, responses: tuple[PredictedResponse, ...], step: Step
) -> Explanation:
    """Explain `responses` without a decision of a policy: only the browser's checks matter."""
    blocked = check_responses(fetch, responses)
    return Explanation(
        request=f"{printable_ascii(fetch.page_request.method)} {fetch.page_request.url}",
        policy="",
        works=not blocked,
        verdict=Verdict.none,
        reason=blocked[0].refusal if blocked else None,
        words=step.words,
        fix="",
        pos=step.pos,
        steps=(step, browser_step(fetch, blocked)),
        responses=responses,
        consoles=console(fetch.page_request, blocked),
        change=None,
        notes=(),
    )
