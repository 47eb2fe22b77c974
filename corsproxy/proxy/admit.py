"""Decides from a request's head alone whether to forward it: matches a route, then decides CORS.

`admit` is the only place where that is decided; later stages carry out its result.
"""

from typing import Final, NamedTuple

from corsproxy.policy.compiled import CompiledConfig, Route
from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, Facts, is_preflight
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.response_headers import rewrite
from corsproxy.policy.match import match, public_origin
from corsproxy.policy.routing.paths import is_ambiguous
from corsproxy.proxy import faults
from corsproxy.proxy.faults import FaultKind
from corsproxy.proxy.forwarded import Peer, own_origin
from corsproxy.proxy.http.request_head import RequestHead


class Forward(NamedTuple):
    """Forward the request to the route's upstream; `decision` is None on a route without a policy."""

    route: Route
    policy: Policy | None
    decision: Decision | None


class LocalResponse(NamedTuple):
    """Send a response of the proxy's own. `lines` are serialized header lines without the framing.

    `fault` is None for a preflight and for `OPTIONS *`.
    """

    status: int
    lines: bytes
    body: bytes
    route: Route | None
    decision: Decision | None
    fault: FaultKind | None


_NOT_SERVED: Final = frozenset({b"CONNECT", b"TRACE"})
_UNREAD: Final = Facts(b"GET")


def admit(
    config: CompiledConfig, head: RequestHead, peer: Peer, request_id: bytes
) -> LocalResponse | Forward:
    """Decide whether to forward the request or to respond locally."""
    if head.target == b"*" and head.method == b"OPTIONS":
        # Before any route, because "*" has no path that could match one (H4;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-3.2.4).
        return LocalResponse(204, b"", b"", None, None, None)

    facts = head.facts
    route, policy = match(config, head.host, head.path, facts)
    if head.upgrade and (route is None or head.upgrade not in route.upgrades):
        # Before CORS is decided: it continues as an ordinary request, so that is what CORS checks (H17;
        # https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
        head.upgrade = b""
        facts = head.facts
    if policy is not None and policy.blocks_refused:
        facts = facts._replace(own_origin=_own_origin(config, route, head, peer))
    decision = (
        None if policy is None else decide(policy, facts, route.name.encode() if route else b"")
    )

    # Faults come before the decision is carried out, because they apply to every origin.
    if route is None or head.method in _NOT_SERVED:
        is_served = head.method not in _NOT_SERVED
        fault = faults.NO_ROUTE if is_served else faults.METHOD_NOT_ALLOWED  # cors.md 73, H4
        return refuse(fault, request_id, route, policy, facts)
    found = _find_fault(head, route)
    if found is not None:
        return refuse(found, request_id, route, policy, facts)
    # A preflight gets its own response even if it is refused: the decision includes the status
    # (cors.md 6, https://fetch.spec.whatwg.org/#cors-preflight-fetch).
    if decision is not None and is_preflight(facts):
        return LocalResponse(decision.status, decision.block, b"", route, decision, None)
    if decision is not None and decision.status:
        return refuse(faults.CORS_REFUSED, request_id, route, policy, facts)  # cors.md 54, 55
    return Forward(route, policy, decision)  # cors.md 7, 51: without a policy everything passes


def _own_origin(
    config: CompiledConfig, route: Route | None, head: RequestHead, peer: Peer
) -> bytes:
    """Return the public origin of the route: `public_url`, else scheme and Host of the request (cors.md 55)."""
    return public_origin(route) or own_origin(head, peer, config.server)


def _find_fault(head: RequestHead, route: Route) -> FaultKind | None:
    """Return why this request cannot be served, whatever its origin; None if it can."""
    if route.reject_ambiguous_paths and is_ambiguous(head.path):
        return faults.AMBIGUOUS_PATH  # H1, cors.md 71
    if head.expect is not None and head.expect.lower() != b"100-continue":
        return faults.EXPECTATION_FAILED  # H14
    return _find_fault_of_body(head, route) if head.length or head.chunked else None


def _find_fault_of_body(head: RequestHead, route: Route) -> FaultKind | None:
    """Return why the body that the head announces is rejected; None if it is not."""
    if head.upgrade:
        return faults.BAD_UPGRADE  # S8
    if head.length is not None and 0 < route.max_body < head.length:
        return faults.BODY_TOO_LARGE  # O5
    return None


def refuse(
    fault: FaultKind,
    request_id: bytes,
    route: Route | None,
    policy: Policy | None,
    facts: Facts = _UNREAD,
) -> LocalResponse:
    """Return the response to a fault, with the same CORS headers as an upstream's response (cors.md 62)."""
    fields, body = faults.problem_fields(fault, request_id)
    if policy is None:
        lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        return LocalResponse(fault.status, lines, body, route, None, fault)
    # The fault of a preflight gets the headers of an ordinary response: no list of methods or headers.
    facts = facts if not facts.request_method else facts._replace(request_method=())
    decision = decide(policy, facts, route.name.encode() if route else b"")
    lines = rewrite(policy, decision, fault.status, fields, 0)
    return LocalResponse(fault.status, lines, body, route, decision, fault)
