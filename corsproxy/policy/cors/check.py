"""Checks the settings of a CORS policy and reports all problems at once (cors.md 20-31).

The kinds of problems are in `messages`.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from corsproxy.policy.cors.messages import KINDS
from corsproxy.policy.cors.pattern_syntax import correct, diagnose, is_numeric, take_apart
from corsproxy.policy.cors.spec import PolicySpec
from corsproxy.policy.fetch_lists import (
    FORBIDDEN_METHODS,
    FORBIDDEN_RESPONSE_HEADERS,
    SAFELISTED_RESPONSE_HEADERS,
    is_forbidden_request_header,
)
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourceText
from corsproxy.policy.tokens import is_token_text

LONGEST_MAX_AGE: Final = 86400  # Firefox's cap, the highest of all browsers
CHROMIUM_MAX_AGE: Final = 7200

_LONGEST_NAME: Final = 128
_ANY_EXAMPLE: Final = "https://app.example.com"

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def check_policy(spec: PolicySpec) -> Iterator[Problem]:
    """Yield every problem of one policy, in the order of the keys of the configuration."""
    yield from _check_origins(spec)
    yield from _check_methods(spec)
    yield from _check_headers(spec)
    yield from _check_exposed(spec)
    yield from _check_max_age(spec)
    yield from _check_preflight(spec)
    yield from _check_timing(spec)


def _problem(slug: str, item: SourceText, detail: str = "") -> Problem:
    return KINDS[slug].at(item.pos, value=item.text, detail=detail)


def _check_origins(spec: PolicySpec) -> Iterator[Problem]:
    if not spec.allow_origins:
        yield KINDS["origins_missing"].at(spec.place_of("allow_origins"), value=spec.name)
    for item in spec.allow_origins:
        faults = list(_spelling(item, credentials=spec.allow_credentials))
        yield from faults
        if not faults:
            yield from _check_meaning(item, spec)


def _spelling(item: SourceText, *, credentials: bool) -> Iterator[Problem]:
    for slug in dict.fromkeys(diagnose(item.text)):
        if slug == "origin_means_any" and credentials:
            yield _problem("credentials_with_any_origin", item)
        else:
            yield _problem(slug, item, correct(item.text) or _ANY_EXAMPLE)


def _check_meaning(item: SourceText, spec: PolicySpec) -> Iterator[Problem]:
    """Check a valid pattern against the rest of its policy (cors.md 12, 18, 21, 23, 24)."""
    if item.text == "*":
        if spec.allow_credentials:
            yield _problem("credentials_with_any_origin", item)
        if len(spec.allow_origins) > 1:
            yield _problem("origin_any_not_alone", item)
    elif item.text == "null":
        if spec.allow_credentials:
            yield _problem("credentials_with_null_origin", item)
        elif not spec.dangerously_allow_null_origin:
            yield _problem("origin_null", item)
    else:
        insecure = spec.allow_credentials and not is_secure(item.text)
        if insecure and not spec.dangerously_allow_insecure_origins:
            secure = "https://" + item.text.partition("://")[2]
            yield _problem("credentials_with_insecure_origin", item, secure)
        if "*" in item.text:
            yield from _check_wildcard(item, spec)


def is_secure(pattern: str) -> bool:
    """Return whether pages of `pattern` are safe from the network: TLS or loopback (cors.md 23)."""
    parts = take_apart(pattern)
    if parts is None or parts.scheme == "https":
        return parts is not None
    host = parts.host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = host.strip("[]")
    return (":" in address or is_numeric(address)) and ip_address(address).is_loopback


def _check_wildcard(item: SourceText, spec: PolicySpec) -> Iterator[Problem]:
    """Check whether others can register names that the wildcard matches (cors.md 17, 24)."""
    from corsproxy.policy.suffixes import is_open_to_strangers, is_registry  # noqa: PLC0415 - only wildcards need the list

    parts = take_apart(item.text)
    label, _, parent = parts.host.partition(".") if parts else ("", "", "")
    if "*" not in label or not is_open_to_strangers(parent):
        return
    if label != "*" and is_registry(parent):
        meant = item.text.replace(label, f"*.{label.replace('*', '').strip('-')}", 1)
        yield _problem("origin_wildcard_joins_domain", item, meant)
    elif spec.dangerously_allow_public_suffix_wildcards:
        return
    elif spec.allow_credentials:
        yield _problem("credentials_with_public_suffix_wildcard", item, parent)
    else:
        yield _problem("public_suffix_wildcard", item, parent)


def _check_methods(spec: PolicySpec) -> Iterator[Problem]:
    for item in spec.allow_methods:
        upper = item.text.upper()
        if not _is_name(item.text):
            yield _problem("method_invalid", item)
        elif upper.encode() in FORBIDDEN_METHODS:
            yield _problem("method_forbidden", item)
        elif upper in _KNOWN_METHODS and item.text != upper:
            yield _problem("method_lowercase", item, upper)
        elif upper == "OPTIONS":
            yield _problem("method_options", item)


def _is_name(text: str) -> bool:
    return is_token_text(text) and len(text) <= _LONGEST_NAME


def _check_headers(spec: PolicySpec) -> Iterator[Problem]:
    names = {item.text.lower() for item in spec.allow_headers}
    for item in spec.allow_headers:
        lower = item.text.lower()
        if not _is_name(item.text):
            yield _problem("allow_header_invalid", item)
        elif _is_browsers_own(lower):
            yield _problem("allow_header_forbidden", item)
        elif lower.startswith("access-control-"):
            yield _problem("allow_header_of_response", item)
        elif lower == "*" and "authorization" not in names:
            yield _problem("allow_headers_without_authorization", item)


def _is_browsers_own(lower: str) -> bool:
    return is_forbidden_request_header(lower.encode()) or lower.startswith(
        "access-control-request-"
    )


def _check_exposed(spec: PolicySpec) -> Iterator[Problem]:
    for item in spec.expose_headers:
        lower = item.text.lower()
        if not _is_name(item.text):
            yield _problem("expose_header_invalid", item)
        elif lower.encode() in FORBIDDEN_RESPONSE_HEADERS:
            yield _problem("expose_header_forbidden", item)
        elif lower.encode() in SAFELISTED_RESPONSE_HEADERS:
            yield _problem("expose_header_needless", item)


def _check_max_age(spec: PolicySpec) -> Iterator[Problem]:
    age, pos = spec.max_age, spec.place_of("max_age")
    if age is None:
        return
    if age < 0:
        yield KINDS["max_age_negative"].at(pos, value=age)
    elif age > LONGEST_MAX_AGE:
        yield KINDS["max_age_too_long"].at(pos, value=age)
    elif age > CHROMIUM_MAX_AGE:
        yield KINDS["max_age_above_chromium"].at(pos, value=age)


def _check_preflight(spec: PolicySpec) -> Iterator[Problem]:
    """Check the statuses (cors.md 31)."""
    preflight = spec.preflight
    if not 200 <= preflight.status <= 299:
        pos = spec.place_of("preflight.status")
        yield KINDS["preflight_status_invalid"].at(pos, value=preflight.status)
    refused = preflight.refused_status
    if refused not in {200, 204} and (not 400 <= refused <= 499 or refused in {401, 407}):
        pos = spec.place_of("preflight.refused_status")
        yield KINDS["preflight_refused_status_invalid"].at(pos, value=refused)


def _check_timing(spec: PolicySpec) -> Iterator[Problem]:
    """Check `timing_allow_origins` if it is a list; "same" is checked as `allow_origins` (cors.md 53)."""
    timing = spec.timing_allow_origins
    if not isinstance(timing, tuple):
        return
    if not timing:
        pos = spec.place_of("timing_allow_origins")
        yield KINDS["timing_origins_missing"].at(pos, value=spec.name)
    for item in timing:
        yield from _spelling(item, credentials=False)
        if item.text == "*" and len(timing) > 1:
            yield _problem("origin_any_not_alone", item)
        if item.text == "null" and not spec.dangerously_allow_null_origin:
            yield _problem("origin_null", item)
