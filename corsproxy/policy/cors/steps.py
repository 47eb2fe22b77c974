"""The steps of a CORS decision: origin, method, headers. Each knows only its own question.

A step returns what it found as a value; none of them raises, logs or builds an answer.
"""

from collections.abc import Callable
from typing import Final

from corsproxy.policy.cors.decision import Facts, Outcome
from corsproxy.policy.cors.origins import (
    DEFAULT_PORTS,
    LONGEST_ORIGIN,
    parse_origin,
    why_unreadable,
)
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.reasons import Reason
from corsproxy.policy.fetch_lists import FORBIDDEN_METHODS
from corsproxy.policy.tokens import OWS, is_token, list_elements

LONGEST_METHOD: Final = 128
LONGEST_HEADER_NAME: Final = 128
LONGEST_HEADER_LIST: Final = 4096
MOST_HEADERS: Final = 64
MOST_EMPTY: Final = 16

# Members of an enum are slow to look up by attribute; this one is read for every request.
_ALLOWED: Final = Reason.allowed

_NOTHING_ASKED: Final = Outcome(Reason.no_origin)


def origin_step(policy: Policy, facts: Facts) -> Outcome:
    """Judge the Origin (cors.md 8-17)."""
    origins = facts.origin
    if len(origins) == 1:
        outcome = policy.exact_origins.get(origins[0])
        if outcome is not None:
            return outcome
    if not origins:
        return _NOTHING_ASKED
    any_term = policy.origins.has_any
    if any_term is not None:
        return Outcome(_ALLOWED, b"*", any_term.pos)
    return _judge_origin(policy, origins)


def _judge_origin(policy: Policy, origins: tuple[bytes, ...]) -> Outcome:
    value = origins[0]
    if len(origins) > 1:
        subject = b", ".join(origins[:2])[:LONGEST_ORIGIN]
        return Outcome(Reason.origin_multiple, subject, policy.origins_place)
    origin = parse_origin(value) if len(value) <= LONGEST_ORIGIN else None
    if origin is None:
        return Outcome(why_unreadable(value), value[:LONGEST_ORIGIN], policy.origins_place)
    item = policy.origins.match_wild(origin)
    if item is not None:
        return Outcome(_ALLOWED, value, item.pos)
    if origin.port and DEFAULT_PORTS.get(origin.scheme) == origin.port:
        return Outcome(Reason.origin_default_port, value, policy.origins_place)
    return Outcome(Reason.origin_not_allowed, value, policy.origins_place)


def method_step(policy: Policy, facts: Facts) -> Outcome:
    """Judge Access-Control-Request-Method (cors.md 33)."""
    methods = facts.request_method
    if len(methods) == 1:
        outcome = policy.methods.get(methods[0])
        if outcome is not None:
            return outcome
    method = b", ".join(methods[:2])
    if len(methods) > 1 or len(method) > LONGEST_METHOD or not is_token(method):
        return Outcome(Reason.method_invalid, method[:LONGEST_METHOD], policy.methods_place)
    if method.upper() in FORBIDDEN_METHODS:
        return Outcome(Reason.method_forbidden, method, policy.methods_place)
    if policy.any_method:
        return Outcome(_ALLOWED, method, policy.methods_place)
    return Outcome(Reason.method_not_allowed, method, policy.methods_place)


def headers_step(policy: Policy, facts: Facts) -> Outcome:
    """Judge Access-Control-Request-Headers (cors.md 34)."""
    lines = facts.request_headers
    if not lines:
        return policy.headers_outcome
    line = lines[0]
    # What browsers send: a few listed names in lower case. In 128 bytes there are 64 names at most.
    if len(lines) == 1 and len(line) <= 128 and policy.headers.issuperset(line.split(b",")):
        return policy.headers_outcome
    if _is_too_long(lines):
        return Outcome(Reason.headers_too_many, b"", policy.headers_place)
    names = requested_names(facts)
    unlisted = [name for name in names if name not in policy.headers]
    for name in unlisted:
        if len(name) > LONGEST_HEADER_NAME or not is_token(name):
            subject = name[:LONGEST_HEADER_NAME]
            return Outcome(Reason.headers_malformed, subject, policy.headers_place)
    for name in unlisted:
        if not is_header_allowed(policy, name):
            return Outcome(Reason.header_not_allowed, name, policy.headers_place)
    return policy.headers_outcome


def _is_too_long(lines: tuple[bytes, ...]) -> bool:
    """Whether a list holds more than can be meant, told without splitting it (cors.md 34)."""
    size = sum(map(len, lines))
    commas = sum(line.count(b",") for line in lines) + len(lines) - 1
    if size > LONGEST_HEADER_LIST or commas >= MOST_HEADERS + MOST_EMPTY:
        return True
    if commas < MOST_EMPTY:
        return False
    elements = [part.strip(OWS) for line in lines for part in line.split(b",")]
    empty = elements.count(b"")
    return empty > MOST_EMPTY or len(elements) - empty > MOST_HEADERS


def is_header_allowed(policy: Policy, name: bytes) -> bool:
    """Whether the header `name`, in lower case, is listed or passes by `*`.

    `*` lets authorization pass only without credentials (cors.md 35), where the browser then decides
    (cors.md 36).
    """
    if name in policy.headers:
        return True
    return policy.any_header and (name != b"authorization" or not policy.spec.allow_credentials)


def requested_names(facts: Facts) -> list[bytes]:
    """Return the names in Access-Control-Request-Headers, in lower case."""
    return list_elements(line.lower() for line in facts.request_headers)


Step = Callable[[Policy, Facts], Outcome]

# The browser's order: Fetch checks the origin of the answer, then the method, then the headers.
PREFLIGHT_STEPS: Final[tuple[Step, ...]] = (origin_step, method_step, headers_step)
ACTUAL_STEPS: Final[tuple[Step, ...]] = (origin_step,)
STEP_NAMES: Final[dict[Step, str]] = {
    origin_step: "origin",
    method_step: "method",
    headers_step: "headers",
}
