"""The browser's side of CORS: the algorithms of the WHATWG Fetch standard, step by step. Pure.

Names of the standard stand in the docstrings. Header names and values are bytes as on the wire.
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
from corsproxy.policy.tokens import is_token

DEFAULT_MAX_AGE: Final = 5

_NORMALISED: Final = frozenset({b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT"})
_SIMPLE_TYPES: Final = frozenset(
    {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
)
_UNSAFE_BYTES: Final = (
    bytes(byte for byte in range(0x20) if byte != 0x09) + b'"():<>?@[\\]{}' + b"\x7f"
)
_LANGUAGE_BYTES: Final = (
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + b" *,-.;="
)
_LONGEST_SAFE_VALUE: Final = 128
_LONGEST_SAFE_TOTAL: Final = 1024
_OWS: Final = b" \t"


class PageRequest(NamedTuple):
    """What a page asks of its browser: `origin` is the page's, `headers` what the page sets.

    `credentials`: the request's credentials mode is "include".
    """

    method: bytes
    url: str
    origin: bytes
    headers: tuple[Field, ...] = ()
    credentials: bool = False


class BrowserRefusal(StrEnum):
    """Why a browser refuses an answer, in the order in which Fetch looks."""

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


# What the standard refuses and no browser does yet: * covers Authorization in all of them.
UNENFORCED: Final = frozenset({BrowserRefusal.authorization_not_named})


class Blocked(NamedTuple):
    """One thing that is wrong with an answer. `subject` is the value, method or header at fault."""

    refusal: BrowserRefusal
    subject: bytes
    status: int
    in_preflight: bool


def normalise_method(method: bytes) -> bytes:
    """Return `method` as sent: six names in upper case, all others as written ("normalize")."""
    upper = method.upper()
    return upper if upper in _NORMALISED else method


def is_safelisted_request_header(name: bytes, value: bytes) -> bool:
    """Whether the header needs no permission ("CORS-safelisted request-header")."""
    if len(value) > _LONGEST_SAFE_VALUE:
        return False
    unsafe = value.translate(None, _UNSAFE_BYTES) != value
    match name.lower():
        case b"accept":
            return not unsafe
        case b"accept-language" | b"content-language":
            return not value.translate(None, _LANGUAGE_BYTES)
        case b"content-type":
            return not unsafe and value.partition(b";")[0].strip(_OWS).lower() in _SIMPLE_TYPES
        case b"range":
            return _is_simple_range(value)
        case _:
            return False


def _is_simple_range(value: bytes) -> bool:
    """Whether `value` is one range from a given start ("simple range header value")."""
    if not value.startswith(b"bytes="):
        return False
    start, dash, end = value[6:].partition(b"-")
    if not dash or not start.isdigit() or not (end.isdigit() or not end):
        return False
    return not end or int(start) <= int(end)


def unsafe_header_names(headers: Sequence[Field]) -> list[bytes]:
    """Return the names that need permission, as they are asked for: lower case, sorted, unique.

    "CORS-unsafe request-header names": safe values that add up to more than 1024 bytes need it too.
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
    """Return what the page sets less what browsers forbid, which they leave out silently."""
    return tuple(field for field in page_request.headers if not is_forbidden_request_header(*field))


def needs_preflight(page_request: PageRequest) -> bool:
    """Whether a browser asks before it sends the request ("CORS-preflight fetch")."""
    method = normalise_method(page_request.method)
    return method not in SAFELISTED_METHODS or bool(unsafe_header_names(sent_headers(page_request)))


def get(fields: Sequence[Field], name: bytes) -> bytes | None:
    """Return the values of all lines of `name`, joined; None if there are none ("get")."""
    values = [value.strip(_OWS) for field, value in fields if field.lower() == name]
    return b", ".join(values) if values else None


def get_list(fields: Sequence[Field], name: bytes) -> list[bytes] | None:
    """Return the tokens of a list ("extract header list values"); None where it does not parse."""
    value = get(fields, name)
    if value is None:
        return []
    elements = [part.strip(_OWS) for part in value.split(b",")]
    tokens = [element for element in elements if element]
    return tokens if all(map(is_token, tokens)) else None


def cors_check(
    page_request: PageRequest, status: int, fields: Sequence[Field], *, in_preflight: bool = False
) -> Blocked | None:
    """Return why the page may not read an answer, None if it may ("CORS check")."""
    allowed = get(fields, b"access-control-allow-origin")
    if allowed is None:
        return Blocked(BrowserRefusal.allow_origin_missing, b"", status, in_preflight)
    if allowed == b"*" and not page_request.credentials:
        return None
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
    credentials = get(fields, b"access-control-allow-credentials") or b""
    if page_request.credentials and credentials != b"true":
        return Blocked(BrowserRefusal.credentials_not_true, credentials, status, in_preflight)
    return None


def check_preflight(
    page_request: PageRequest, status: int, fields: Sequence[Field]
) -> list[Blocked]:
    """Return all that is wrong with a preflight's answer, in Fetch's order ("CORS-preflight fetch").

    Method and headers are looked at only where nothing else is wrong, as browsers do.
    """
    found = []
    blocked = cors_check(page_request, status, fields, in_preflight=True)
    if blocked is not None:
        found.append(blocked)
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
    methods = get_list(fields, b"access-control-allow-methods")
    if methods is None:
        value = get(fields, b"access-control-allow-methods") or b""
        return [(BrowserRefusal.methods_unreadable, value)]
    headers = get_list(fields, b"access-control-allow-headers")
    if headers is None:
        value = get(fields, b"access-control-allow-headers") or b""
        return [(BrowserRefusal.headers_unreadable, value)]
    found = []
    method = normalise_method(page_request.method)
    # Browsers take * literally where credentials are sent.
    any_method = b"*" in methods and not page_request.credentials
    if method not in methods and method not in SAFELISTED_METHODS and not any_method:
        found.append((BrowserRefusal.method_not_allowed, method))
    listed = {name.lower() for name in headers}
    any_header = b"*" in listed and not page_request.credentials
    for name in unsafe_header_names(sent_headers(page_request)):
        if name not in listed and not any_header:
            found.append((BrowserRefusal.header_not_allowed, name))
        elif name not in listed and name == b"authorization":
            # "CORS non-wildcard request-header name"
            found.append((BrowserRefusal.authorization_not_named, name))
    return found


def max_age(fields: Sequence[Field]) -> int:
    """Return how many seconds a preflight's answer is kept, before a browser's own cap."""
    value = get(fields, b"access-control-max-age")
    if value is None or not value.isdigit():
        return DEFAULT_MAX_AGE
    return int(value[:10])


def exposed_names(page_request: PageRequest, fields: Sequence[Field]) -> list[bytes]:
    """Return the names of an answer that the page can read ("CORS filtered response")."""
    exposed = get_list(fields, b"access-control-expose-headers") or []
    lower = {name.lower() for name in exposed}
    every = b"*" in lower and not page_request.credentials
    names = dict.fromkeys(name.lower() for name, _ in fields)
    return [
        name
        for name in names
        if name not in FORBIDDEN_RESPONSE_HEADERS
        and (every or name in lower or name in SAFELISTED_RESPONSE_HEADERS)
    ]
