"""What each HTTP field name means to a proxy. Knows names (RFC 9110, Fetch), not messages.

`FIELD_KINDS[name]` classifies a name as it stood on the wire with one dictionary look-up: the
spellings that were seen are remembered, up to a bound, so that a peer cannot make it grow.
"""

from enum import IntFlag
from typing import Final


class Kind(IntFlag):
    """Why a field is not simply passed on; ORDINARY ones are. Bits, so that kinds can be ORed."""

    ORDINARY = 0
    HOP_BY_HOP = 1 << 0
    CONNECTION = 1 << 1
    CONTENT_LENGTH = 1 << 2
    TRANSFER_ENCODING = 1 << 3
    HOST = 1 << 4
    ORIGIN = 1 << 5
    REQUEST_METHOD = 1 << 6
    REQUEST_HEADERS = 1 << 7
    UPGRADE = 1 << 8
    EXPECT = 1 << 9
    CORS = 1 << 10
    VARY = 1 << 11
    SPOOF = 1 << 12
    REQUEST_ID = 1 << 13
    FORWARDED = 1 << 14
    VIA = 1 << 15
    LOCATION = 1 << 16
    SET_COOKIE = 1 << 17
    SINGLETON = 1 << 18
    KEEP_ALIVE = 1 << 19
    TIMING = 1 << 20
    RESOURCE_POLICY = 1 << 21
    FETCH_SITE = 1 << 22


_KINDS: Final[dict[bytes, Kind]] = {
    # RFC 9110 7.6.1 and the names that grew around it (forwarding.md H6).
    b"connection": Kind.CONNECTION,
    b"keep-alive": Kind.KEEP_ALIVE,
    b"proxy-connection": Kind.HOP_BY_HOP,
    b"proxy-authenticate": Kind.HOP_BY_HOP,
    b"proxy-authorization": Kind.HOP_BY_HOP,
    b"te": Kind.HOP_BY_HOP,
    b"trailer": Kind.HOP_BY_HOP,
    b"http2-settings": Kind.HOP_BY_HOP,
    b"upgrade": Kind.UPGRADE,
    b"transfer-encoding": Kind.TRANSFER_ENCODING,
    b"content-length": Kind.CONTENT_LENGTH,
    b"expect": Kind.EXPECT,
    b"host": Kind.HOST,
    b"origin": Kind.ORIGIN,
    b"access-control-request-method": Kind.REQUEST_METHOD,
    b"access-control-request-headers": Kind.REQUEST_HEADERS,
    b"sec-fetch-site": Kind.FETCH_SITE,
    b"x-request-id": Kind.REQUEST_ID,
    b"forwarded": Kind.FORWARDED,
    b"x-forwarded-for": Kind.FORWARDED,
    b"x-forwarded-proto": Kind.FORWARDED,
    b"x-forwarded-host": Kind.FORWARDED,
    b"x-forwarded-port": Kind.FORWARDED,
    b"x-forwarded-prefix": Kind.FORWARDED,
    b"via": Kind.VIA,
    b"vary": Kind.VARY,
    b"location": Kind.LOCATION,
    b"content-location": Kind.LOCATION,
    b"refresh": Kind.LOCATION,
    b"set-cookie": Kind.SET_COOKIE,
    b"timing-allow-origin": Kind.TIMING,
    b"cross-origin-resource-policy": Kind.RESOURCE_POLICY,
    # Request fields that may stand once only (forwarding.md H7); Host, Content-Length and Origin
    # have rules of their own.
    b"authorization": Kind.SINGLETON,
    b"content-type": Kind.SINGLETON,
    b"referer": Kind.SINGLETON,
    b"user-agent": Kind.SINGLETON,
    b"from": Kind.SINGLETON,
    b"max-forwards": Kind.SINGLETON,
    b"if-modified-since": Kind.SINGLETON,
    b"if-unmodified-since": Kind.SINGLETON,
    b"if-range": Kind.SINGLETON,
    b"range": Kind.SINGLETON,
    b"date": Kind.SINGLETON,
}

_CORS_PREFIX: Final = b"access-control-"

# Names that servers behind CGI or WSGI cannot tell from the real ones (forwarding.md S6).
_SPOOFABLE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"forwarded",
        b"x-real-ip",
        b"authorization",
        b"cookie",
        b"origin",
    },
)

_REMEMBERED_SPELLINGS: Final = 4096
_LONGEST_REMEMBERED: Final = 64


def classify(name: bytes) -> Kind:
    """Return what the field `name`, in any case, means to a proxy."""
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(_CORS_PREFIX):
        return Kind.CORS
    if lower == b"proxy":
        return Kind.SPOOF
    if b"_" in lower:
        dashed = lower.replace(b"_", b"-")
        if dashed in _SPOOFABLE or dashed.startswith(b"x-forwarded-"):
            return Kind.SPOOF
    elif lower.startswith(b"x-forwarded-"):
        return Kind.FORWARDED
    return Kind.ORDINARY


class _FieldKinds(dict[bytes, Kind]):
    def __missing__(self, name: bytes) -> Kind:
        kind = classify(name)
        if len(name) <= _LONGEST_REMEMBERED:
            if len(self) >= _REMEMBERED_SPELLINGS:
                self.clear()
            self[name] = kind
        return kind


FIELD_KINDS: Final = _FieldKinds()
