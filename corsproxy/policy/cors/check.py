"""What is wrong with a policy as written, all of it at once (cors.md 20-31). Knows no file.

Each distinct mistake has a slug; `WORDS` is the one place that says it in words.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from corsproxy.policy.cors.messages import WORDS
from corsproxy.policy.cors.pattern_syntax import correct, diagnose, is_numeric, take_apart
from corsproxy.policy.cors.spec import PolicySpec
from corsproxy.policy.fetch_lists import (
    FORBIDDEN_METHODS,
    FORBIDDEN_RESPONSE_HEADERS,
    SAFELISTED_RESPONSE_HEADERS,
    is_forbidden_request_header,
)
from corsproxy.policy.problems import Finding, find
from corsproxy.policy.source import SourceText
from corsproxy.policy.tokens import is_token_text

LONGEST_MAX_AGE: Final = 86400  # Firefox's cap, the highest of all browsers
CHROMIUM_MAX_AGE: Final = 7200

_LONGEST_NAME: Final = 128
_ANY_EXAMPLE: Final = "https://app.example.com"

_KNOWN_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def check_policy(spec: PolicySpec) -> list[Finding]:
    """Return every mistake in one policy, in the order of the keys of config.md."""
    return list(find_mistakes(spec))


def find_mistakes(spec: PolicySpec) -> Iterator[Finding]:
    """Yield what `check_policy` returns, for who stops at some number of them."""
    yield from _check_origins(spec)
    yield from _check_methods(spec)
    yield from _check_headers(spec)
    yield from _check_exposed(spec)
    yield from _check_max_age(spec)
    yield from _check_preflight(spec)
    yield from _check_timing(spec)


def _find(slug: str, item: SourceText, detail: str = "") -> Finding:
    return find(WORDS, slug, item.text, item.pos, detail)


def _check_origins(spec: PolicySpec) -> Iterator[Finding]:
    if not spec.allow_origins:
        yield find(WORDS, "origins_missing", spec.name, spec.place_of("allow_origins"))
    for item in spec.allow_origins:
        faults = list(_spelling(item, credentials=spec.allow_credentials))
        yield from faults
        if not faults:
            yield from _check_meaning(item, spec)


def _spelling(item: SourceText, *, credentials: bool) -> Iterator[Finding]:
    for slug in dict.fromkeys(diagnose(item.text)):
        if slug == "origin_means_any" and credentials:
            yield _find("credentials_with_any_origin", item)
        else:
            yield _find(slug, item, correct(item.text) or _ANY_EXAMPLE)


def _check_meaning(item: SourceText, spec: PolicySpec) -> Iterator[Finding]:
    """Judge a well-spelt pattern in its policy (cors.md 12, 18, 21, 23, 24)."""
    if item.text == "*":
        if spec.allow_credentials:
            yield _find("credentials_with_any_origin", item)
        if len(spec.allow_origins) > 1:
            yield _find("origin_any_not_alone", item)
    elif item.text == "null":
        if spec.allow_credentials:
            yield _find("credentials_with_null_origin", item)
        elif not spec.dangerously_allow_null_origin:
            yield _find("origin_null", item)
    else:
        insecure = spec.allow_credentials and not is_secure(item.text)
        if insecure and not spec.dangerously_allow_insecure_origins:
            secure = "https://" + item.text.partition("://")[2]
            yield _find("credentials_with_insecure_origin", item, secure)
        if "*" in item.text:
            yield from _check_wildcard(item, spec)


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


def _check_wildcard(item: SourceText, spec: PolicySpec) -> Iterator[Finding]:
    """Judge who else can get a name that the wildcard covers (cors.md 17, 24)."""
    from corsproxy.policy.suffixes import is_open_to_strangers, is_registry  # noqa: PLC0415 - only wildcards need the list

    parts = take_apart(item.text)
    label, _, parent = parts.host.partition(".") if parts else ("", "", "")
    if "*" not in label or not is_open_to_strangers(parent):
        return
    if label != "*" and is_registry(parent):
        meant = item.text.replace(label, f"*.{label.replace('*', '').strip('-')}", 1)
        yield _find("origin_wildcard_joins_domain", item, meant)
    elif spec.dangerously_allow_public_suffix_wildcards:
        return
    elif spec.allow_credentials:
        yield _find("credentials_with_public_suffix_wildcard", item, parent)
    else:
        yield _find("public_suffix_wildcard", item, parent)


def _check_methods(spec: PolicySpec) -> Iterator[Finding]:
    for item in spec.allow_methods:
        upper = item.text.upper()
        if not _is_name(item.text):
            yield _find("method_invalid", item)
        elif upper.encode() in FORBIDDEN_METHODS:
            yield _find("method_forbidden", item)
        elif upper in _KNOWN_METHODS and item.text != upper:
            yield _find("method_lowercase", item, upper)
        elif upper == "OPTIONS":
            yield _find("method_options", item)


def _is_name(text: str) -> bool:
    return is_token_text(text) and len(text) <= _LONGEST_NAME


def _check_headers(spec: PolicySpec) -> Iterator[Finding]:
    names = {item.text.lower() for item in spec.allow_headers}
    for item in spec.allow_headers:
        lower = item.text.lower()
        if not _is_name(item.text):
            yield _find("allow_header_invalid", item)
        elif _is_browsers_own(lower):
            yield _find("allow_header_forbidden", item)
        elif lower.startswith("access-control-"):
            yield _find("allow_header_of_response", item)
        elif lower == "*" and "authorization" not in names:
            yield _find("allow_headers_without_authorization", item)


def _is_browsers_own(lower: str) -> bool:
    return is_forbidden_request_header(lower.encode()) or lower.startswith(
        "access-control-request-"
    )


def _check_exposed(spec: PolicySpec) -> Iterator[Finding]:
    for item in spec.expose_headers:
        lower = item.text.lower()
        if not _is_name(item.text):
            yield _find("expose_header_invalid", item)
        elif lower.encode() in FORBIDDEN_RESPONSE_HEADERS:
            yield _find("expose_header_forbidden", item)
        elif lower.encode() in SAFELISTED_RESPONSE_HEADERS:
            yield _find("expose_header_needless", item)


def _check_max_age(spec: PolicySpec) -> Iterator[Finding]:
    age, pos = spec.max_age, spec.place_of("max_age")
    if age is None:
        return
    if age < 0:
        yield find(WORDS, "max_age_negative", str(age), pos)
    elif age > LONGEST_MAX_AGE:
        yield find(WORDS, "max_age_too_long", str(age), pos)
    elif age > CHROMIUM_MAX_AGE:
        yield find(WORDS, "max_age_above_chromium", str(age), pos)


def _check_preflight(spec: PolicySpec) -> Iterator[Finding]:
    """Judge the statuses (cors.md 31)."""
    preflight = spec.preflight
    if not 200 <= preflight.status <= 299:
        pos = spec.place_of("preflight.status")
        yield find(WORDS, "preflight_status_invalid", str(preflight.status), pos)
    refused = preflight.refused_status
    if refused not in {200, 204} and (not 400 <= refused <= 499 or refused in {401, 407}):
        pos = spec.place_of("preflight.refused_status")
        yield find(WORDS, "preflight_refused_status_invalid", str(refused), pos)


def _check_timing(spec: PolicySpec) -> Iterator[Finding]:
    """Judge a list of its own; "same" was judged with the origins (cors.md 53)."""
    timing = spec.timing_allow_origins
    if not isinstance(timing, tuple):
        return
    if not timing:
        pos = spec.place_of("timing_allow_origins")
        yield find(WORDS, "timing_origins_missing", spec.name, pos)
    for item in timing:
        yield from _spelling(item, credentials=False)
        if item.text == "*" and len(timing) > 1:
            yield _find("origin_any_not_alone", item)
        if item.text == "null" and not spec.dangerously_allow_null_origin:
            yield _find("origin_null", item)
