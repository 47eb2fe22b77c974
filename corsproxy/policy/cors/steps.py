"""Implements the steps of a CORS decision: origin, method, headers.

Each step checks one thing and returns the outcome as a value; none raises, logs or builds a response.
"""

from collections.abc import Callable
from typing import Final

from corsproxy.policy.cors.decision import Facts, Outcome
from corsproxy.policy.cors.origins import (
    DEFAULT_PORTS,
    LONGEST_ORIGIN,
    malformed_reason,
    parse_origin,
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

# Attribute look-up on an enum is slow, and this one is read for every request.
_ALLOWED: Final = Reason.allowed

_NO_ORIGIN: Final = Outcome(Reason.no_origin)


def origin_step(policy: Policy, facts: Facts) -> Outcome:
    """Check the Origin (cors.md 8-17).

    https://fetch.spec.whatwg.org/#concept-cors-check, step 4
    """
    # Exact origins first: most requests end here, and a listed origin needs no parsing.
    origins = facts.origin
    if len(origins) == 1:
        outcome = policy.exact_origins.get(origins[0])
        if outcome is not None:
            return outcome
    if not origins:
        return _NO_ORIGIN
    # Before the value is read: under any-origin it does not matter, even if it is malformed.
    any_pattern = policy.origins.any_pattern
    if any_pattern is not None:
        return Outcome(_ALLOWED, b"*", any_pattern.pos)
    return _check_unlisted(policy, origins)


def _check_unlisted(policy: Policy, origins: tuple[bytes, ...]) -> Outcome:
    value = origins[0]
    # Browsers send one line (https://fetch.spec.whatwg.org/#append-a-request-origin-header). Tempting
    # to use the first of several: an intermediary or the upstream may use the last.
    if len(origins) > 1:
        subject = b", ".join(origins[:2])[:LONGEST_ORIGIN]
        return Outcome(Reason.origin_multiple, subject, policy.origins_pos)
    # The length is checked first, so that a long value is neither parsed nor cached.
    origin = parse_origin(value) if len(value) <= LONGEST_ORIGIN else None
    if origin is None:
        return Outcome(malformed_reason(value), value[:LONGEST_ORIGIN], policy.origins_pos)
    item = policy.origins.match_wild(origin)
    if item is not None:
        return Outcome(_ALLOWED, value, item.pos)
    # Affects only the reason: origins are compared byte for byte, default ports included (cors.md 11).
    if origin.port and DEFAULT_PORTS.get(origin.scheme) == origin.port:
        return Outcome(Reason.origin_default_port, value, policy.origins_pos)
    return Outcome(Reason.origin_not_allowed, value, policy.origins_pos)


def method_step(policy: Policy, facts: Facts) -> Outcome:
    """Check Access-Control-Request-Method (cors.md 33).

    https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, step 7.5. CORS-safelisted methods are in
    `policy.methods`, listed or not. Tempting to compare without case: `patch` and PATCH are two
    methods to browsers (https://fetch.spec.whatwg.org/#concept-method-normalize).
    """
    methods = facts.request_method
    if len(methods) == 1:
        outcome = policy.methods.get(methods[0])
        if outcome is not None:
            return outcome
    method = b", ".join(methods[:2])
    if len(methods) > 1 or len(method) > LONGEST_METHOD or not is_token(method):
        return Outcome(Reason.method_invalid, method[:LONGEST_METHOD], policy.methods_pos)
    # Before *: no page can send these (https://fetch.spec.whatwg.org/#forbidden-method).
    if method.upper() in FORBIDDEN_METHODS:
        return Outcome(Reason.method_forbidden, method, policy.methods_pos)
    if policy.any_method:
        return Outcome(_ALLOWED, method, policy.methods_pos)
    return Outcome(Reason.method_not_allowed, method, policy.methods_pos)


def headers_step(policy: Policy, facts: Facts) -> Outcome:
    """Check Access-Control-Request-Headers (cors.md 34).

    https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, steps 7.6 and 7.7. Browsers send the names
    sorted, in lower case and without white space, but intermediaries add spaces, split the line and
    leave empty elements, and names are case-insensitive: all of that is accepted.
    """
    lines = facts.request_headers
    if not lines:
        return policy.headers_outcome
    line = lines[0]
    # The common case: a few listed names in lower case. 128 bytes contain at most 64 names.
    if len(lines) == 1 and len(line) <= 128 and policy.headers.issuperset(line.split(b",")):
        return policy.headers_outcome
    if _is_too_long(lines):
        return Outcome(Reason.headers_too_many, b"", policy.headers_pos)
    # Names have to be tokens even under *, since they may be copied to the response.
    names = requested_names(facts)
    unlisted = [name for name in names if name not in policy.headers]
    for name in unlisted:
        if len(name) > LONGEST_HEADER_NAME or not is_token(name):
            subject = name[:LONGEST_HEADER_NAME]
            return Outcome(Reason.headers_malformed, subject, policy.headers_pos)
    for name in unlisted:
        if not is_header_allowed(policy, name):
            return Outcome(Reason.header_not_allowed, name, policy.headers_pos)
    return policy.headers_outcome


def _is_too_long(lines: tuple[bytes, ...]) -> bool:
    """Whether the list is longer than any that a browser sends (cors.md 34).

    Commas are counted before the list is split, so that a hostile list costs one scan and no allocation.
    """
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
    """Whether the policy lists the header `name`, in lower case, or covers it with `*`.

    `*` covers authorization only without credentials: the response then contains a literal `*`, and
    the browser decides (cors.md 36). With credentials names are reflected, and reflecting
    authorization would grant what `*` never grants in Fetch (cors.md 35;
    https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name).
    """
    if name in policy.headers:
        return True
    return policy.any_header and (name != b"authorization" or not policy.spec.allow_credentials)


def requested_names(facts: Facts) -> list[bytes]:
    """Return the names in Access-Control-Request-Headers, in lower case."""
    return list_elements(line.lower() for line in facts.request_headers)


Step = Callable[[Policy, Facts], Outcome]

# The order of https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, step 7: the CORS check, then the
# method (7.5), then the headers (7.6, 7.7).
PREFLIGHT_STEPS: Final[tuple[Step, ...]] = (origin_step, method_step, headers_step)
ACTUAL_STEPS: Final[tuple[Step, ...]] = (origin_step,)
STEP_NAMES: Final[dict[Step, str]] = {
    origin_step: "origin",
    method_step: "method",
    headers_step: "headers",
}
