"""Defines the method and header lists of the WHATWG Fetch standard.

Each list links to its definition. Names and values are bytes as on the wire.
"""

from typing import Final

from corsproxy.policy.tokens import list_elements

# https://fetch.spec.whatwg.org/#cors-safelisted-method
SAFELISTED_METHODS: Final = (b"GET", b"HEAD", b"POST")
# https://fetch.spec.whatwg.org/#forbidden-method
FORBIDDEN_METHODS: Final = frozenset({b"CONNECT", b"TRACE", b"TRACK"})
# https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name
SAFELISTED_RESPONSE_HEADERS: Final = frozenset(
    {
        b"cache-control",
        b"content-language",
        b"content-length",
        b"content-type",
        b"expires",
        b"last-modified",
        b"pragma",
    },
)
# https://fetch.spec.whatwg.org/#forbidden-response-header-name
FORBIDDEN_RESPONSE_HEADERS: Final = frozenset({b"set-cookie", b"set-cookie2"})
# https://fetch.spec.whatwg.org/#forbidden-request-header
FORBIDDEN_REQUEST_HEADERS: Final = frozenset(
    {
        b"accept-charset",
        b"accept-encoding",
        b"access-control-request-headers",
        b"access-control-request-method",
        b"connection",
        b"content-length",
        b"cookie",
        b"cookie2",
        b"date",
        b"dnt",
        b"expect",
        b"host",
        b"keep-alive",
        b"origin",
        b"referer",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"via",
    },
)
_FORBIDDEN_PREFIXES: Final = (b"proxy-", b"sec-")
# Forbidden only if the value is a forbidden method: servers treat the request as having that method.
_OVERRIDES: Final = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})


def is_forbidden_request_header(name: bytes, value: bytes = b"") -> bool:
    """Whether browsers forbid pages to set this header.

    https://fetch.spec.whatwg.org/#forbidden-request-header
    """
    lower = name.lower()
    if lower in FORBIDDEN_REQUEST_HEADERS or lower.startswith(_FORBIDDEN_PREFIXES):
        return True
    if lower in _OVERRIDES:
        return any(method.upper() in FORBIDDEN_METHODS for method in list_elements([value]))
    return False
