"""What is wrong with a policy as written, all of it at once (cors.md 20-31). Knows no file.

Each distinct mistake has a slug; `WORDS` is the one place that says it in words.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from corsproxy.policy.cors.messages import WORDS
from corsproxy.policy.cors.pattern_syntax import correct, diagnose, is_numeric, take_apart
from corsproxy.policy.cors.spec import PolicyTerms
from corsproxy.policy.fetch_lists import (
    FORBIDDEN_METHODS,
    FORBIDDEN_RESPONSE_HEADERS,
    SAFELISTED_RESPONSE_HEADERS,
    is_forbidden_request_header,
)
from corsproxy.policy.problems import Finding, Words, find
from corsproxy.policy.source import Term
from corsproxy.policy.tokens import is_token_text

__all__ = ["WORDS", "Words", "check_policy"]

LONGEST_MAX_AGE: Final = 86400  # Firefox's cap, the highest of all browsers
CHROMIUM_MAX_AGE: Final = 7200

_LONGEST_NAME: Final = 128
_ANY_EXAMPLE: Final = "https://app.example.com"

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def check_policy(terms: PolicyTerms) -> list[Finding]:
    """Return every mistake in one policy, in the order of the keys of config.md."""
    return list(find_mistakes(terms))


def find_mistakes(terms: PolicyTerms) -> Iterator[Finding]:
    """Yield what `check_policy` returns, for who stops at some number of them."""
    yield from _check_origins(terms)
    yield from _check_methods(terms)
    yield from _check_headers(terms)
    yield from _check_exposed(terms)
    yield from _check_max_age(terms)
    yield from _check_preflight(terms)
    yield from _check_timing(terms)


def _find(slug: str, term: Term, detail: str = "") -> Finding:
    return find(WORDS, slug, term.text, term.place, detail)


def _check_origins(terms: PolicyTerms) -> Iterator[Finding]:
    if not terms.allow_origins:
        yield find(WORDS, "origins_missing", terms.name, terms.place_of("allow_origins"))
    for term in terms.allow_origins:
        faults = list(_spelling(term, credentials=terms.allow_credentials))
        yield from faults
        if not faults:
            yield from _check_meaning(term, terms)


def _spelling(term: Term, *, credentials: bool) -> Iterator[Finding]:
    for slug in dict.fromkeys(diagnose(term.text)):
        if slug == "origin_means_any" and credentials:
            yield _find("credentials_with_any_origin", term)
        else:
            yield _find(slug, term, correct(term.text) or _ANY_EXAMPLE)


def _check_meaning(term: Term, terms: PolicyTerms) -> Iterator[Finding]:
    """Judge a well-spelt pattern in its policy (cors.md 12, 18, 21, 23, 24)."""
    if term.text == "*":
        if terms.allow_credentials:
            yield _find("credentials_with_any_origin", term)
        if len(terms.allow_origins) > 1:
            yield _find("origin_any_not_alone", term)
    elif term.text == "null":
        if terms.allow_credentials:
            yield _find("credentials_with_null_origin", term)
        elif not terms.dangerously_allow_null_origin:
            yield _find("origin_null", term)
    else:
        insecure = terms.allow_credentials and not is_secure(term.text)
        if insecure and not terms.dangerously_allow_insecure_origins:
            secure = "https://" + term.text.partition("://")[2]
            yield _find("credentials_with_insecure_origin", term, secure)
        if "*" in term.text:
            yield from _check_wildcard(term, terms)


def is_secure(pattern: str) -> bool:
    """Whether what comes from `pattern` cannot be changed on its way (cors.md 23)."""
    parts = take_apart(pattern)
    if parts is None or parts.scheme == "https":
        return parts is not None
    host = parts.host.removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = host.strip("[]")
    return (":" in address or is_numeric(address)) and ip_address(address).is_loopback


def _check_wildcard(term: Term, terms: PolicyTerms) -> Iterator[Finding]:
    """Judge who else can get a name that the wildcard covers (cors.md 17, 24)."""
    from corsproxy.policy.suffixes import is_open_to_strangers, is_registry  # noqa: PLC0415 - only wildcards need the list

    parts = take_apart(term.text)
    label, _, parent = parts.host.partition(".") if parts else ("", "", "")
    if "*" not in label or not is_open_to_strangers(parent):
        return
    if label != "*" and is_registry(parent):
        meant = term.text.replace(label, f"*.{label.replace('*', '').strip('-')}", 1)
        yield _find("origin_wildcard_joins_domain", term, meant)
    elif terms.dangerously_allow_public_suffix_wildcards:
        return
    elif terms.allow_credentials:
        yield _find("credentials_with_public_suffix_wildcard", term, parent)
    else:
        yield _find("public_suffix_wildcard", term, parent)


def _check_methods(terms: PolicyTerms) -> Iterator[Finding]:
    for term in terms.allow_methods:
        upper = term.text.upper()
        if not _is_name(term.text):
            yield _find("method_invalid", term)
        elif upper.encode() in FORBIDDEN_METHODS:
            yield _find("method_forbidden", term)
        elif upper in _KNOWN_METHODS and term.text != upper:
            yield _find("method_lowercase", term, upper)
        elif upper == "OPTIONS":
            yield _find("method_options", term)


def _is_name(text: str) -> bool:
    return is_token_text(text) and len(text) <= _LONGEST_NAME


def _check_headers(terms: PolicyTerms) -> Iterator[Finding]:
    names = {term.text.lower() for term in terms.allow_headers}
    for term in terms.allow_headers:
        lower = term.text.lower()
        if not _is_name(term.text):
            yield _find("allow_header_invalid", term)
        elif _is_browsers_own(lower):
            yield _find("allow_header_forbidden", term)
        elif lower.startswith("access-control-"):
            yield _find("allow_header_of_response", term)
        elif lower == "*" and "authorization" not in names:
            yield _find("allow_headers_without_authorization", term)


def _is_browsers_own(lower: str) -> bool:
    return is_forbidden_request_header(lower.encode()) or lower.startswith(
        "access-control-request-"
    )


def _check_exposed(terms: PolicyTerms) -> Iterator[Finding]:
    for term in terms.expose_headers:
        lower = term.text.lower()
        if not _is_name(term.text):
            yield _find("expose_header_invalid", term)
        elif lower.encode() in FORBIDDEN_RESPONSE_HEADERS:
            yield _find("expose_header_forbidden", term)
        elif lower.encode() in SAFELISTED_RESPONSE_HEADERS:
            yield _find("expose_header_needless", term)


def _check_max_age(terms: PolicyTerms) -> Iterator[Finding]:
    age, place = terms.max_age, terms.place_of("max_age")
    if age is None:
        return
    if age < 0:
        yield find(WORDS, "max_age_negative", str(age), place)
    elif age > LONGEST_MAX_AGE:
        yield find(WORDS, "max_age_too_long", str(age), place)
    elif age > CHROMIUM_MAX_AGE:
        yield find(WORDS, "max_age_above_chromium", str(age), place)


def _check_preflight(terms: PolicyTerms) -> Iterator[Finding]:
    """Judge the statuses (cors.md 31)."""
    preflight = terms.preflight
    if not 200 <= preflight.status <= 299:
        place = terms.place_of("preflight.status")
        yield find(WORDS, "preflight_status_invalid", str(preflight.status), place)
    refused = preflight.refused_status
    if refused not in {200, 204} and (not 400 <= refused <= 499 or refused in {401, 407}):
        place = terms.place_of("preflight.refused_status")
        yield find(WORDS, "preflight_refused_status_invalid", str(refused), place)


def _check_timing(terms: PolicyTerms) -> Iterator[Finding]:
    """Judge a list of its own; "same" was judged with the origins (cors.md 53)."""
    timing = terms.timing_allow_origins
    if not isinstance(timing, tuple):
        return
    if not timing:
        place = terms.place_of("timing_allow_origins")
        yield find(WORDS, "timing_origins_missing", terms.name, place)
    for term in timing:
        yield from _spelling(term, credentials=False)
        if term.text == "*" and len(timing) > 1:
            yield _find("origin_any_not_alone", term)
        if term.text == "null" and not terms.dangerously_allow_null_origin:
            yield _find("origin_null", term)
