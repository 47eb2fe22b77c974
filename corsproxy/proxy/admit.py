"""What becomes of a request, decided at once from its head: match, decide, prepare. Knows no I/O.

`admit` is the one place where a request is judged; it reads from top to bottom, and what follows
only carries out what it returned.
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
    """The request goes to the route's upstream; `decision` is None on a route without a policy."""

    route: Route
    policy: Policy | None
    decision: Decision | None


class LocalResponse(NamedTuple):
    """The proxy answers by itself. `lines` are the serialised header lines, framing left out.

    `fault` is None for a preflight and for `OPTIONS *`.
    """

    status: int
    lines: bytes
    body: bytes
    route: Route | None
    decision: Decision | None
    fault: FaultKind | None


_NOTHING_SAID: Final = Facts(b"GET")


def admit(
    config: CompiledConfig, head: RequestHead, peer: Peer, request_id: bytes
) -> LocalResponse | Forward:
    """Decide what becomes of the request: forward it, or answer it here."""
    if head.target == b"*" and head.method == b"OPTIONS":
        return LocalResponse(204, b"", b"", None, None, None)  # H4: it asks the proxy itself

    facts = head.facts
    route, policy = match(config, head.host, head.path, facts)
    if head.upgrade and (route is None or head.upgrade not in route.upgrades):
        head.upgrade = b""  # H17: it goes on as an ordinary request, and is judged as one
        facts = head.facts
    if policy is not None and policy.blocks_refused:
        facts = facts._replace(own_origin=_own_origin(config, route, head, peer))
    decision = (
        None if policy is None else decide(policy, facts, route.name.encode() if route else b"")
    )

    fault = _find_fault(head, route)
    if fault is not None:
        return refuse(fault, request_id, route, policy, facts)
    assert route is not None  # noqa: S101 - _find_fault calls a missing route a fault
    if decision is None:
        return Forward(route, None, None)  # cors.md 7, 51: no policy, everything passes
    if is_preflight(facts):
        return LocalResponse(decision.status, decision.block, b"", route, decision, None)
    if decision.status:
        return refuse(faults.CORS_REFUSED, request_id, route, policy, facts)  # cors.md 54, 55
    return Forward(route, policy, decision)


def _own_origin(
    config: CompiledConfig, route: Route | None, head: RequestHead, peer: Peer
) -> bytes:
    """Return the public origin of the route: `public_url`, else what was asked for (cors.md 55)."""
    return public_origin(route) or own_origin(head, peer, config.server)


def _find_fault(head: RequestHead, route: Route | None) -> FaultKind | None:
    """Return what forbids serving this request, whatever its origin."""
    if head.method in {b"CONNECT", b"TRACE"}:
        return faults.METHOD_NOT_ALLOWED  # H4
    if route is None:
        return faults.NO_ROUTE  # cors.md 73
    if route.reject_ambiguous_paths and is_ambiguous(head.path):
        return faults.AMBIGUOUS_PATH  # H1, cors.md 71
    if head.expect is not None and head.expect.lower() != b"100-continue":
        return faults.EXPECTATION_FAILED  # H14
    return _find_fault_of_body(head, route) if head.length or head.chunked else None


def _find_fault_of_body(head: RequestHead, route: Route) -> FaultKind | None:
    """Return what forbids a body as it is announced."""
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
    facts: Facts = _NOTHING_SAID,
) -> LocalResponse:
    """Return the proxy's own answer to a fault, with the CORS headers of an upstream's (cors.md 62)."""
    fields, body = faults.problem_fields(fault, request_id)
    if policy is None:
        lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        return LocalResponse(fault.status, lines, body, route, None, fault)
    # The fault of a preflight is told like that of any request: no list of methods or headers.
    told = facts if not facts.request_method else facts._replace(request_method=())
    decision = decide(policy, told, route.name.encode() if route else b"")
    lines = rewrite(policy, decision, fault.status, fields, 0)
    return LocalResponse(fault.status, lines, body, route, decision, fault)
