"""Decides whether a policy allows a request, and which CORS headers the response gets.

`decide` stops at the first step that fails; `explain` runs all steps of the same tuple (cors.md 70).
The order of the steps is that in which a browser checks the response
(https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, step 7), so the logged reason is the
one that the browser's console reports.
"""

from typing import Final

from corsproxy.policy.cors.decision import Decision, Facts, Outcome
from corsproxy.policy.cors.policy import (
    ALLOW_HEADERS,
    ALLOW_METHODS,
    ALLOW_ORIGIN,
    TIMING,
    Policy,
)
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.cors.steps import (
    ACTUAL_STEPS,
    PREFLIGHT_STEPS,
    method_step,
    origin_step,
    requested_names,
)
from corsproxy.policy.fetch_lists import SAFELISTED_METHODS

# Attribute look-up on an enum is slow, and these are read for every request.
_ALLOWED: Final = Reason.allowed
_NO_ORIGIN: Final = Reason.no_origin
_YES: Final = Verdict.allowed
_NO: Final = Verdict.refused
_NONE: Final = Verdict.none

# Values of Sec-Fetch-Site: a page of the API itself, and a navigation by the user.
_OWN_SITE: Final = frozenset({b"same-origin", b"none"})


def decide(policy: Policy, facts: Facts, route: bytes = b"") -> Decision:
    """Decide about a request under `policy`; `route` is named in the debug header (cors.md 68)."""
    # Preflights first: only they are refused for a method or header
    # (https://fetch.spec.whatwg.org/#cors-preflight-request; cors.md 1 to 4). The condition is that
    # of `is_preflight`, inlined because every request would pay for a call.
    if facts.request_method and facts.origin and facts.method == b"OPTIONS":
        decision = _decide_preflight(policy, facts)
    # Under any-origin no response depends on the Origin, so neither the steps nor Vary are needed
    # (last paragraph of https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches; cors.md 43).
    elif policy.constant_decisions is not None:
        decision = policy.constant_decisions[bool(facts.origin)]
    else:
        decision = _decide_actual(policy, facts)
    return _with_debug(decision, route) if policy.debug else decision


def _decide_actual(policy: Policy, facts: Facts) -> Decision:
    for step in ACTUAL_STEPS:
        outcome = step(policy, facts)
        if outcome.reason is not _ALLOWED:
            break
    extra = policy.fixed_extra
    if outcome.reason is _ALLOWED:
        # One origin, as received: a list of allowed origins in the header fails every CORS check
        # (https://fetch.spec.whatwg.org/#concept-cors-check, step 4; cors.md 32).
        origin = facts.origin[0] if not policy.any_origin else b"*"
        if policy.timing_as_allow_origin:
            extra += TIMING + origin + b"\r\n"
        elif policy.timing_origins:
            extra += _own_timing(policy, facts)
        return Decision(
            _YES,
            _ALLOWED,
            outcome.subject,
            outcome.pos,
            ALLOW_ORIGIN + origin + policy.after_origin + extra,
            policy.vary,
            0,
            extra,
        )
    if policy.timing_origins:
        extra += _own_timing(policy, facts)
    # Without an Origin it is not a CORS request (https://fetch.spec.whatwg.org/#cors-request), so
    # nothing is refused; but a cache may store the response, so Vary still names Origin (cors.md 44).
    if outcome.reason is _NO_ORIGIN:
        block = ALLOW_ORIGIN + b"*" + policy.after_origin + extra if policy.any_origin else extra
        return Decision(_NONE, _NO_ORIGIN, b"", outcome.pos, block, policy.vary, 0, extra)
    reason, status = _refuse_actual(policy, facts, outcome)
    return Decision(_NO, reason, outcome.subject, outcome.pos, extra, policy.vary, status, extra)


def _refuse_actual(policy: Policy, facts: Facts, outcome: Outcome) -> tuple[Reason, int]:
    """Return the reason and the status of the response; 0 means to forward the request."""
    # Before on_refused: a handshake has an Origin but no browser checks CORS on its response
    # (RFC 6455 10.2; cors.md 54), so only the proxy or the server can stop it. Tempting to allow an
    # Origin that equals the proxy's own: under DNS rebinding the attacker chooses the Host from which
    # the own origin is derived.
    if facts.is_websocket:
        if policy.checks_websockets:
            return Reason.websocket_origin_not_allowed, 403
        return outcome.reason, 0
    if not policy.blocks_refused:
        return outcome.reason, 0
    # Browsers send Origin on same-origin POST as well
    # (https://fetch.spec.whatwg.org/#append-a-request-origin-header), and the API's own pages have to
    # keep working (cors.md 55). Only browsers set Sec-Fetch-Site, never a script of a page.
    is_own = facts.origin == (facts.own_origin,) or facts.fetch_site in _OWN_SITE
    return outcome.reason, 0 if is_own else 403


def _own_timing(policy: Policy, facts: Facts) -> bytes:
    """Return the Timing-Allow-Origin line if the policy has a list for it that matches (cors.md 53)."""
    own = policy.timing_origins
    if own is None or len(facts.origin) != 1 or own.match(facts.origin[0]) is None:
        return b""
    return TIMING + facts.origin[0] + b"\r\n"


def _decide_preflight(policy: Policy, facts: Facts) -> Decision:
    pos = None
    for step in PREFLIGHT_STEPS:
        outcome = step(policy, facts)
        if outcome.reason is not _ALLOWED:
            return _refuse_preflight(policy, facts, outcome)
        pos = pos or outcome.pos
    origin = facts.origin[0] if not policy.any_origin else b"*"
    after = policy.preflight_after_origin or _lists_for_request(policy, facts)
    block = ALLOW_ORIGIN + origin + after
    return Decision(_YES, _ALLOWED, origin, pos, block, b"", policy.preflight_status)


def _lists_for_request(policy: Policy, facts: Facts) -> bytes:
    """Return the lines after the origin if they depend on the requested method or headers (cors.md 35)."""
    methods = _methods_line(policy, facts) if policy.reflects_method else policy.methods_line
    headers = _headers_line(facts) if policy.reflects_headers else policy.headers_line
    return b"".join(
        (b"\r\n", policy.allow_credentials_line, methods, headers, policy.preflight_tail)
    )


def _refuse_preflight(policy: Policy, facts: Facts, outcome: Outcome) -> Decision:
    reason, subject, pos = outcome
    block, status = policy.preflight_vary, policy.refused_status
    if policy.debug and origin_step(policy, facts).reason is _ALLOWED:
        # With these headers the CORS check passes, so that the browser's console names the method or
        # header that failed (cors.md 68). Access-Control-Max-Age is omitted: browsers do not cache a
        # preflight that fails.
        value = facts.origin[0] if not policy.any_origin else b"*"
        block = (
            ALLOW_ORIGIN
            + value
            + b"\r\n"
            + policy.allow_credentials_line
            + _full_lists(policy, facts)
            + block
        )
        status = policy.preflight_status
    return Decision(_NO, reason, subject, pos, block, b"", status)


def _full_lists(policy: Policy, facts: Facts) -> bytes:
    """Return the list headers of a refused preflight, which never name what was refused."""
    methods = policy.methods_line
    if policy.any_method and policy.reflects_method:
        passed = method_step(policy, facts).reason is _ALLOWED
        methods = ALLOW_METHODS + facts.request_method[0] + b"\r\n" if passed else methods
    return methods + policy.headers_line


def _methods_line(policy: Policy, facts: Facts) -> bytes:
    """Return the line that names only the requested method (cors.md 35)."""
    method = facts.request_method[0]
    # A CORS-safelisted method passes without being listed (cors-preflight-fetch, step 7.5).
    if policy.minimal and method in SAFELISTED_METHODS:
        return b""
    return ALLOW_METHODS + method + b"\r\n"


def _headers_line(facts: Facts) -> bytes:
    """Return the line that names the requested headers (cors.md 35).

    Tempting to copy Access-Control-Request-Headers: it is rebuilt from names that were checked to be
    tokens, so that a response never contains unchecked bytes of a request.
    """
    names = dict.fromkeys(requested_names(facts))
    return ALLOW_HEADERS + b", ".join(names) + b"\r\n" if names else b""


def _with_debug(decision: Decision, route: bytes) -> Decision:
    """Add the header that names verdict, reason and route (cors.md 68)."""
    line = b"X-CORS-Debug: verdict=%b; reason=%b; route=%b\r\n" % (
        decision.verdict.encode("ascii"),
        decision.reason.encode("ascii"),
        route,
    )
    return decision._replace(block=decision.block + line, extra=decision.extra + line)
