"""Classifies field names by how a proxy has to treat them (RFC 9110, Fetch).

`FIELD_KINDS[name]` is the kind of a name as received. It costs one dictionary look-up, since
spellings seen before are cached.
"""

from typing import Final

from corsproxy.policy.cache import BoundedCache

# A field line as received: name and value, without white space around the value.
Field = tuple[bytes, bytes]

# Why a field is not forwarded unchanged; ORDINARY ones are. Bits, so that the kinds of a message can
# be ORed into one number. Tempting to use enum.Flag: it costs more than parsing the line.
ORDINARY: Final = 0
HOP_BY_HOP: Final = 1 << 0
CONNECTION: Final = 1 << 1
CONTENT_LENGTH: Final = 1 << 2
TRANSFER_ENCODING: Final = 1 << 3
HOST: Final = 1 << 4
ORIGIN: Final = 1 << 5
REQUEST_METHOD: Final = 1 << 6
REQUEST_HEADERS: Final = 1 << 7
UPGRADE: Final = 1 << 8
EXPECT: Final = 1 << 9
CORS: Final = 1 << 10
VARY: Final = 1 << 11
SPOOF: Final = 1 << 12
REQUEST_ID: Final = 1 << 13
FORWARDED: Final = 1 << 14
VIA: Final = 1 << 15
LOCATION: Final = 1 << 16
SET_COOKIE: Final = 1 << 17
SINGLETON: Final = 1 << 18
KEEP_ALIVE: Final = 1 << 19
TIMING: Final = 1 << 20
RESOURCE_POLICY: Final = 1 << 21
FETCH_SITE: Final = 1 << 22
# An ordinary name with an underscore: CGI may confuse it with another one (S6, `rules.spoofing`).
UNDERSCORED: Final = 1 << 23

_KINDS: Final[dict[bytes, int]] = {
    b"proxy": SPOOF,  # httpoxy: CGI turns it into HTTP_PROXY (forwarding.md S6)
    # RFC 9110 7.6.1, and further names in use (forwarding.md H6).
    b"connection": CONNECTION,
    b"keep-alive": KEEP_ALIVE,
    b"proxy-connection": HOP_BY_HOP,
    b"proxy-authenticate": HOP_BY_HOP,
    b"proxy-authorization": HOP_BY_HOP,
    b"te": HOP_BY_HOP,
    b"trailer": HOP_BY_HOP,
    b"http2-settings": HOP_BY_HOP,
    b"upgrade": UPGRADE,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"content-length": CONTENT_LENGTH,
    b"expect": EXPECT,
    b"host": HOST,
    b"origin": ORIGIN,
    b"access-control-request-method": REQUEST_METHOD,
    b"access-control-request-headers": REQUEST_HEADERS,
    b"sec-fetch-site": FETCH_SITE,
    b"x-request-id": REQUEST_ID,
    b"forwarded": FORWARDED,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"via": VIA,
    b"vary": VARY,
    b"location": LOCATION,
    b"content-location": LOCATION,
    b"refresh": LOCATION,
    b"set-cookie": SET_COOKIE,
    b"timing-allow-origin": TIMING,
    b"cross-origin-resource-policy": RESOURCE_POLICY,
    # Request fields that may appear only once (forwarding.md H7); Host, Content-Length and Origin
    # have rules of their own.
    b"authorization": SINGLETON,
    b"content-type": SINGLETON,
    b"referer": SINGLETON,
    b"user-agent": SINGLETON,
    b"from": SINGLETON,
    b"max-forwards": SINGLETON,
    b"if-modified-since": SINGLETON,
    b"if-unmodified-since": SINGLETON,
    b"if-range": SINGLETON,
    b"range": SINGLETON,
    b"date": SINGLETON,
}

_CORS_PREFIX: Final = b"access-control-"

# Names that servers confuse with `X_Real_IP` and the like behind CGI or WSGI (forwarding.md S6).
_SPOOFABLE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"authorization",
        b"cookie",
        b"origin",
    },
)


def classify(name: bytes) -> int:
    """Return the kind of the field `name`, in any case."""
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is not None:
        return kind
    if lower.startswith(_CORS_PREFIX):
        return CORS
    if b"_" in lower:
        dashed = lower.replace(b"_", b"-")
        is_spoof = dashed in _SPOOFABLE or dashed.startswith(b"x-forwarded-")
        return SPOOF if is_spoof else UNDERSCORED
    return FORWARDED if lower.startswith(b"x-forwarded-") else ORDINARY


FIELD_KINDS: Final = BoundedCache(classify, max_entries=4096)
