"""Method and header lists of the WHATWG Fetch standard. Knows no algorithm but membership.

Names of the standard stand in the docstrings. Header names and values are bytes as on the wire.
"""

from typing import Final

from corsproxy.policy.tokens import list_elements

SAFELISTED_METHODS: Final = (b"GET", b"HEAD", b"POST")
FORBIDDEN_METHODS: Final = frozenset({b"CONNECT", b"TRACE", b"TRACK"})
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
FORBIDDEN_RESPONSE_HEADERS: Final = frozenset({b"set-cookie", b"set-cookie2"})
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
_OVERRIDES: Final = frozenset({b"x-http-method", b"x-http-method-override", b"x-method-override"})


def is_forbidden_request_header(name: bytes, value: bytes = b"") -> bool:
    """Whether a page cannot set this header ("forbidden request-header")."""
    lower = name.lower()
    if lower in FORBIDDEN_REQUEST_HEADERS or lower.startswith(_FORBIDDEN_PREFIXES):
        return True
    if lower in _OVERRIDES:
        return any(method.upper() in FORBIDDEN_METHODS for method in list_elements([value]))
    return False
