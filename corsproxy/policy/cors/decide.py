"""Decides what a policy says of a request, step by step as a browser would. Knows no I/O, no clock.

`decide` stops at the first step that fails; `explain` runs the same steps, all of them (cors.md 70).
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

# Members of an enum are slow to look up by attribute; these are read for every request.
_ALLOWED: Final = Reason.allowed
_NO_ORIGIN: Final = Reason.no_origin
_YES: Final = Verdict.allowed
_NO: Final = Verdict.refused
_NONE: Final = Verdict.none

_SAME_SITE_AS_US: Final = frozenset({b"same-origin", b"none"})


def decide(policy: Policy, facts: Facts, route: bytes = b"") -> Decision:
    """Return what `policy` says of a request; `route` is named in the debug header (cors.md 68)."""
    if facts.request_method and facts.origin and facts.method == b"OPTIONS":
        decision = _decide_preflight(policy, facts)
    elif policy.constant is not None:
        decision = policy.constant[bool(facts.origin)]
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
        origin = facts.origin[0] if not policy.any_origin else b"*"
        if policy.timing_same:
            extra += TIMING + origin + b"\r\n"
        elif policy.timing_origins:
            extra += _own_timing(policy, facts)
        return Decision(
            _YES,
            _ALLOWED,
            outcome.subject,
            outcome.pos,
            ALLOW_ORIGIN + origin + policy.tail + extra,
            policy.vary,
            0,
            extra,
        )
    if policy.timing_origins:
        extra += _own_timing(policy, facts)
    if outcome.reason is _NO_ORIGIN:
        block = ALLOW_ORIGIN + b"*" + policy.tail + extra if policy.any_origin else extra
        return Decision(_NONE, _NO_ORIGIN, b"", outcome.pos, block, policy.vary, 0, extra)
    reason, status = _refuse_actual(policy, facts, outcome)
    return Decision(_NO, reason, outcome.subject, outcome.pos, extra, policy.vary, status, extra)


def _refuse_actual(policy: Policy, facts: Facts, outcome: Outcome) -> tuple[Reason, int]:
    """Return the reason, and the status if the request is stopped here and now, else 0."""
    if facts.is_websocket:
        # The browser would not stop it: a handshake is no CORS request (cors.md 54). An origin that
        # equals our own is no excuse: under DNS rebinding the Host is the attacker's choice.
        if policy.checks_websockets:
            return Reason.websocket_origin_not_allowed, 403
        return outcome.reason, 0
    if not policy.blocks_refused:
        return outcome.reason, 0
    is_ours = facts.origin == (facts.own_origin,) or facts.fetch_site in _SAME_SITE_AS_US
    return outcome.reason, 0 if is_ours else 403  # cors.md 55


def _own_timing(policy: Policy, facts: Facts) -> bytes:
    """Return the Timing-Allow-Origin line of a list of its own (cors.md 53)."""
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
    after = policy.preflight_after or _answer_asked(policy, facts)
    block = ALLOW_ORIGIN + origin + after
    return Decision(_YES, _ALLOWED, origin, pos, block, b"", policy.preflight_status)


def _answer_asked(policy: Policy, facts: Facts) -> bytes:
    """Return what follows the origin where the answer depends on what was asked (cors.md 35)."""
    methods = _methods_line(policy, facts) if policy.reflects_method else policy.methods_line
    headers = _headers_line(facts) if policy.reflects_headers else policy.headers_line
    return b"".join((b"\r\n", policy.acac_line, methods, headers, policy.preflight_tail))


def _refuse_preflight(policy: Policy, facts: Facts, outcome: Outcome) -> Decision:
    reason, subject, pos = outcome
    block, status = policy.preflight_vary, policy.refused_status
    if policy.debug and origin_step(policy, facts).reason is _ALLOWED:
        # The browser's console then names the very step that failed (cors.md 68).
        value = facts.origin[0] if not policy.any_origin else b"*"
        block = (
            ALLOW_ORIGIN + value + b"\r\n" + policy.acac_line + _full_lists(policy, facts) + block
        )
        status = policy.preflight_status
    return Decision(_NO, reason, subject, pos, block, b"", status)


def _full_lists(policy: Policy, facts: Facts) -> bytes:
    """Return the lists of a refused preflight: nothing that was asked is named if it is refused."""
    methods = policy.methods_line
    if policy.any_method and policy.reflects_method:
        passed = method_step(policy, facts).reason is _ALLOWED
        methods = ALLOW_METHODS + facts.request_method[0] + b"\r\n" if passed else methods
    return methods + policy.headers_line


def _methods_line(policy: Policy, facts: Facts) -> bytes:
    """Return the line that names the one method that was asked for (cors.md 35)."""
    method = facts.request_method[0]
    if policy.minimal and method in SAFELISTED_METHODS:
        return b""
    return ALLOW_METHODS + method + b"\r\n"


def _headers_line(facts: Facts) -> bytes:
    """Return the line that names what was asked for, rebuilt from its tokens (cors.md 35)."""
    names = dict.fromkeys(requested_names(facts))
    return ALLOW_HEADERS + b", ".join(names) + b"\r\n" if names else b""


def _with_debug(decision: Decision, route: bytes) -> Decision:
    """Return `decision` with the header that tells it (cors.md 68)."""
    line = b"X-CORS-Debug: verdict=%b; reason=%b; route=%b\r\n" % (
        decision.verdict.encode("ascii"),
        decision.reason.encode("ascii"),
        route,
    )
    return decision._replace(block=decision.block + line, extra=decision.extra + line)
