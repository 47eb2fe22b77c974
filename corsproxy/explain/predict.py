"""Predicts what a browser sends for a page, which responses it gets and which it blocks."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple

from corsproxy.explain import fetch_algorithm
from corsproxy.explain.fetch_algorithm import Blocked, PageRequest
from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, Facts, parse_lines
from corsproxy.policy.cors.origins import Origin, parse_origin
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.response_headers import rewrite
from corsproxy.policy.urls import read_url


class PredictedResponse(NamedTuple):
    """A response as the browser would get it; status 0 means that of the upstream's response."""

    to: Literal["preflight", "request"]
    status: int
    fields: tuple[tuple[bytes, bytes], ...]


class BrowserFetch(NamedTuple):
    """What a browser sends for a page's request; `preflight` is None if none is needed."""

    page_request: PageRequest
    preflight: Facts | None
    request: Facts

    @property
    def first(self) -> Facts:
        """What the browser sends first, and the route has to match."""
        return self.preflight or self.request

    @property
    def is_checked(self) -> bool:
        """Whether a browser checks the CORS headers of the response."""
        is_cross_origin = bool(self.page_request.origin) and not is_same_origin(self.page_request)
        return is_cross_origin and not self.request.is_websocket


def browser_fetch(
    page_request: PageRequest, *, is_websocket: bool = False, own_origin: bytes | None = None
) -> BrowserFetch:
    """Return what a browser sends for `page_request`, with its method normalized.

    `is_websocket`: the page opens a WebSocket; `own_origin` is the public origin of the route, if
    one is configured (cors.md 55).
    """
    page_request = page_request._replace(
        method=fetch_algorithm.normalize_method(page_request.method)
    )
    request = Facts(
        page_request.method,
        (page_request.origin,) if page_request.origin else (),
        is_websocket=is_websocket,
        own_origin=own_origin or origin_of(page_request.url),
        fetch_site=b"same-origin" if is_same_origin(page_request) else b"cross-site",
    )
    fetch = BrowserFetch(page_request, None, request)
    if fetch.is_checked and fetch_algorithm.needs_preflight(page_request):
        return fetch._replace(preflight=preflight_facts(page_request))
    return fetch


def is_same_origin(page_request: PageRequest) -> bool:
    """Return whether the page calls its own origin, for which no browser checks CORS (cors.md 5)."""
    return bool(page_request.origin) and page_request.origin == origin_of(page_request.url)


def origin_of(url: str) -> bytes | None:
    """Return the origin of `url` as a browser writes it; None if it has none."""
    try:
        return read_url(url).origin
    except ValueError:
        return None


def is_local_from_public(page_request: PageRequest) -> bool:
    """Return whether a page of a public host calls the local machine or network (cors.md 39)."""
    page, target = (
        parse_origin(page_request.origin),
        parse_origin(origin_of(page_request.url) or b""),
    )
    return bool(page and target) and not _is_local(page) and _is_local(target)


def _is_local(origin: Origin | None) -> bool:
    host = origin.host.decode("ascii").strip("[]").removesuffix(".") if origin else ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def preflight_facts(page_request: PageRequest) -> Facts:
    """Return the preflight that a browser would send."""
    names = fetch_algorithm.unsafe_header_names(fetch_algorithm.sent_headers(page_request))
    lines = (b",".join(names),) if names else ()
    return Facts(b"OPTIONS", (page_request.origin,), (page_request.method,), lines)


def predict_decisions(policy: Policy, fetch: BrowserFetch, route: bytes = b"") -> list[Decision]:
    """Return the decisions of `policy` for the preflight, if there is one, and for the request."""
    return [
        decide(policy, one, route) for one in (fetch.preflight, fetch.request) if one is not None
    ]


def predict_responses(
    policy: Policy, fetch: BrowserFetch, decisions: Sequence[Decision]
) -> tuple[PredictedResponse, ...]:
    """Return the responses that `decisions` lead to, assuming that the upstream responds with 200.

    There is none to the request if the preflight fails: a browser then does not send it.
    """
    responses = []
    if fetch.preflight is not None:
        first = decisions[0]
        responses.append(PredictedResponse("preflight", first.status, first.headers))
        if check_responses(fetch, responses):
            return tuple(responses)
    last = decisions[-1]
    # The response to a WebSocket handshake is a 101, which has no CORS headers (cors.md 54).
    status = 101 if fetch.request.is_websocket and not last.status else last.status
    lines = rewrite(policy, last, status or 200, [], 0)
    responses.append(PredictedResponse("request", status, parse_lines(lines)))
    return tuple(responses)


def check_responses(fetch: BrowserFetch, responses: Sequence[PredictedResponse]) -> list[Blocked]:
    """Return the failed checks of the first response that a browser blocks; [] if it blocks none.

    The status of an upstream's response is not known, and assumed to be 200.
    """
    if not fetch.is_checked:
        return []
    for response in responses:
        status = response.status or 200
        if response.to == "preflight":
            found = fetch_algorithm.check_preflight(fetch.page_request, status, response.fields)
        else:
            refused = fetch_algorithm.cors_check(fetch.page_request, status, response.fields)
            found = [refused] if refused else []
        blocked = [item for item in found if item.refusal not in fetch_algorithm.UNENFORCED]
        if blocked:
            return blocked
    return []
