"""Implements the browser's side of CORS, step by step as the WHATWG Fetch standard does.

Each function names its algorithm and links it; the order of checks is that of the standard, since
browsers report the first that fails. Names and values are bytes as on the wire.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from corsproxy.policy.fetch_lists import (
    FORBIDDEN_RESPONSE_HEADERS,
    SAFELISTED_METHODS,
    SAFELISTED_RESPONSE_HEADERS,
    is_forbidden_request_header,
)
from corsproxy.policy.fields import Field
from corsproxy.policy.tokens import OWS, is_token, list_elements

# In seconds (https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, step 7.9).
DEFAULT_MAX_AGE: Final = 5

# https://fetch.spec.whatwg.org/#concept-method-normalize. PATCH is not among them, which is why
# `fetch(url, {method: "patch"})` fails (cors.md 25). Tempting to add it: no browser does.
_NORMALIZED: Final = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT"})
_SIMPLE_TYPES: Final = frozenset(
    {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
)
# https://fetch.spec.whatwg.org/#cors-unsafe-request-header-byte
_UNSAFE_BYTES: Final = (
    bytes(byte for byte in range(0x20) if byte != 0x09) + b'"():<>?@[\\]{}' + b"\x7f"
)
_LANGUAGE_BYTES: Final = (
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + b" *,-.;="
)
_LONGEST_SAFE_VALUE: Final = 128
_LONGEST_SAFE_TOTAL: Final = 1024


class PageRequest(NamedTuple):
    """A request as a page's script makes it: `origin` is the page's, `headers` are the script's.

    `credentials`: the credentials mode of the request is "include".
    """

    method: bytes
    url: str
    origin: bytes
    headers: tuple[Field, ...] = ()
    credentials: bool = False


class BrowserRefusal(StrEnum):
    """Why a browser blocks a response, in the order of the checks in Fetch."""

    allow_origin_missing = "allow_origin_missing"
    allow_origin_multiple = "allow_origin_multiple"
    allow_origin_list = "allow_origin_list"
    allow_origin_mismatch = "allow_origin_mismatch"
    wildcard_with_credentials = "wildcard_with_credentials"
    credentials_not_true = "credentials_not_true"
    preflight_redirect = "preflight_redirect"
    preflight_status = "preflight_status"
    methods_unreadable = "methods_unreadable"
    headers_unreadable = "headers_unreadable"
    method_not_allowed = "method_not_allowed"
    header_not_allowed = "header_not_allowed"
    authorization_not_named = "authorization_not_named"


# Required by the standard, but not enforced by any browser yet: in all of them * covers Authorization.
UNENFORCED: Final = frozenset({BrowserRefusal.authorization_not_named})


class Blocked(NamedTuple):
    """One failed check of a response; `subject` is the value, method or header that failed it."""

    refusal: BrowserRefusal
    subject: bytes
    status: int
    in_preflight: bool


def normalize_method(method: bytes) -> bytes:
    """Return `method` as sent: six methods in upper case, all others as written.

    https://fetch.spec.whatwg.org/#concept-method-normalize
    """
    upper = method.upper()
    return upper if upper in _NORMALIZED else method


def is_safelisted_request_header(name: bytes, value: bytes) -> bool:
    """Return whether a page may send the header without a preflight.

    https://fetch.spec.whatwg.org/#cors-safelisted-request-header
    """
    if len(value) > _LONGEST_SAFE_VALUE:
        return False
    unsafe = value.translate(None, _UNSAFE_BYTES) != value
    match name.lower():
        case b"accept":
            return not unsafe
        case b"accept-language" | b"content-language":
            return not value.translate(None, _LANGUAGE_BYTES)
        case b"content-type":
            return not unsafe and value.partition(b";")[0].strip(OWS).lower() in _SIMPLE_TYPES
        case b"range":
            return _is_simple_range(value)
        case _:
            return False


def _is_simple_range(value: bytes) -> bool:
    """Return whether `value` is one range with a start.

    https://fetch.spec.whatwg.org/#simple-range-header-value
    """
    if not value.startswith(b"bytes="):
        return False
    start, dash, end = value[6:].partition(b"-")
    if not dash or not start.isdigit() or not (end.isdigit() or not end):
        return False
    return not end or int(start) <= int(end)


def unsafe_header_names(headers: Sequence[Field]) -> list[bytes]:
    """Return the names that a preflight has to list: lower case, sorted, unique.

    Safe values of more than 1024 bytes in total count as unsafe, too.
    https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names
    """
    unsafe = set()
    safe = set()
    total = 0
    for name, value in headers:
        if is_safelisted_request_header(name, value):
            safe.add(name.lower())
            total += len(value)
        else:
            unsafe.add(name.lower())
    return sorted(unsafe | safe if total > _LONGEST_SAFE_TOTAL else unsafe)


def sent_headers(page_request: PageRequest) -> tuple[Field, ...]:
    """Return the headers that the script sets, without those that browsers silently drop.

    https://fetch.spec.whatwg.org/#forbidden-request-header
    """
    return tuple(field for field in page_request.headers if not is_forbidden_request_header(*field))


def needs_preflight(page_request: PageRequest) -> bool:
    """Return whether a browser sends a preflight before the request.

    https://fetch.spec.whatwg.org/#concept-main-fetch
    """
    method = normalize_method(page_request.method)
    return method not in SAFELISTED_METHODS or bool(unsafe_header_names(sent_headers(page_request)))


def header_value(fields: Sequence[Field], name: bytes) -> bytes | None:
    """Return the values of all lines of `name`, joined; None if there is none.

    https://fetch.spec.whatwg.org/#concept-header-list-get
    """
    values = [value.strip(OWS) for field, value in fields if field.lower() == name]
    return b", ".join(values) if values else None


def header_list(fields: Sequence[Field], name: bytes) -> list[bytes] | None:
    """Return the tokens of the list `name`, [] if it is absent; None if it does not parse.

    https://fetch.spec.whatwg.org/#extract-header-list-values
    """
    value = header_value(fields, name)
    if value is None:
        return []
    tokens = list_elements([value])
    return tokens if all(map(is_token, tokens)) else None


def cors_check(
    page_request: PageRequest, status: int, fields: Sequence[Field], *, in_preflight: bool = False
) -> Blocked | None:
    """Return why the page may not read a response, None if it may.

    https://fetch.spec.whatwg.org/#concept-cors-check; its steps are numbered below.
    """
    # Steps 1 and 2.
    allowed = header_value(fields, b"access-control-allow-origin")
    if allowed is None:
        return Blocked(BrowserRefusal.allow_origin_missing, b"", status, in_preflight)
    # Step 3: * is enough only without credentials; no other header is checked then.
    if allowed == b"*" and not page_request.credentials:
        return None
    # Step 4: the origin as one string. Lines were joined, so two lines never equal an origin. The
    # standard has one failure here; browsers report four, each with a message of its own.
    refusal = None
    if allowed == b"*":
        refusal = BrowserRefusal.wildcard_with_credentials
    elif b"," in allowed:
        lines = [name for name, _ in fields if name.lower() == b"access-control-allow-origin"]
        refusal = (
            BrowserRefusal.allow_origin_multiple
            if len(lines) > 1
            else BrowserRefusal.allow_origin_list
        )
    elif allowed != page_request.origin:
        refusal = BrowserRefusal.allow_origin_mismatch
    if refusal is not None:
        return Blocked(refusal, allowed, status, in_preflight)
    # Steps 5 to 8: "true" is compared byte for byte; "True" fails.
    credentials = header_value(fields, b"access-control-allow-credentials") or b""
    if page_request.credentials and credentials != b"true":
        return Blocked(BrowserRefusal.credentials_not_true, credentials, status, in_preflight)
    return None


def check_preflight(
    page_request: PageRequest, status: int, fields: Sequence[Field]
) -> list[Blocked]:
    """Return all failed checks of the response to a preflight, in the order of Fetch.

    https://fetch.spec.whatwg.org/#cors-preflight-fetch-0, step 7: the CORS check and the status
    come first. Methods and headers are checked only if both pass, as browsers do.
    """
    found = []
    blocked = cors_check(page_request, status, fields, in_preflight=True)
    if blocked is not None:
        found.append(blocked)
    # A redirect of a preflight is not followed, so its status is just not ok
    # (https://fetch.spec.whatwg.org/#ok-status); browsers report the two apart.
    if 300 <= status <= 399:
        found.append(Blocked(BrowserRefusal.preflight_redirect, b"", status, in_preflight=True))
    elif not 200 <= status <= 299:
        found.append(Blocked(BrowserRefusal.preflight_status, b"", status, in_preflight=True))
    if found:
        return found
    return [
        Blocked(refusal, subject, status, in_preflight=True)
        for refusal, subject in _refused_by_lists(page_request, fields)
    ]


def _refused_by_lists(
    page_request: PageRequest, fields: Sequence[Field]
) -> list[tuple[BrowserRefusal, bytes]]:
    # Steps 7.1 to 7.3: a list that does not parse fails, whatever is requested.
    methods = header_list(fields, b"access-control-allow-methods")
    if methods is None:
        value = header_value(fields, b"access-control-allow-methods") or b""
        return [(BrowserRefusal.methods_unreadable, value)]
    headers = header_list(fields, b"access-control-allow-headers")
    if headers is None:
        value = header_value(fields, b"access-control-allow-headers") or b""
        return [(BrowserRefusal.headers_unreadable, value)]
    found = []
    method = normalize_method(page_request.method)
    # Step 7.5. For a request with credentials * is a method of that name.
    any_method = b"*" in methods and not page_request.credentials
    if method not in methods and method not in SAFELISTED_METHODS and not any_method:
        found.append((BrowserRefusal.method_not_allowed, method))
    # Steps 7.6 and 7.7: every unsafe name is listed, or * is and the request has no credentials.
    listed = {name.lower() for name in headers}
    any_header = b"*" in listed and not page_request.credentials
    for name in unsafe_header_names(sent_headers(page_request)):
        if name not in listed and not any_header:
            found.append((BrowserRefusal.header_not_allowed, name))
        elif name not in listed and name == b"authorization":
            # Step 7.6: * never covers it
            # (https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name).
            found.append((BrowserRefusal.authorization_not_named, name))
    return found


def max_age(fields: Sequence[Field]) -> int:
    """Return for how many seconds a preflight is cached, before a browser applies its own cap."""
    value = header_value(fields, b"access-control-max-age")
    if value is None or not value.isdigit():
        return DEFAULT_MAX_AGE
    return int(value[:10])


def exposed_names(page_request: PageRequest, fields: Sequence[Field]) -> list[bytes]:
    """Return the names of the header fields of a response that the page can read.

    https://fetch.spec.whatwg.org/#concept-filtered-response-cors
    """
    exposed = header_list(fields, b"access-control-expose-headers") or []
    lower = {name.lower() for name in exposed}
    every = b"*" in lower and not page_request.credentials
    names = dict.fromkeys(name.lower() for name, _ in fields)
    return [
        name
        for name in names
        if name not in FORBIDDEN_RESPONSE_HEADERS
        and (every or name in lower or name in SAFELISTED_RESPONSE_HEADERS)
    ]
