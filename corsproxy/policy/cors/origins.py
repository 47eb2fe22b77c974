"""Parses origins and matches them against the patterns of a policy.

No regular expression runs on what a client sent. The work is bounded by the length of the origin and
by the number of different shapes of patterns, not by the number of patterns (cors.md 13, 19).
"""

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple

from corsproxy.policy.cache import cached
from corsproxy.policy.cors.reasons import Reason
from corsproxy.policy.source import SourceText

LONGEST_ORIGIN: Final = 326  # 64 + "://" + 253 + ":" + 5 (cors.md 9)
LONGEST_SCHEME: Final = 64
LONGEST_HOST: Final = 253
LONGEST_LABEL: Final = 63
DEFAULT_PORTS: Final = {b"http": b"80", b"https": b"443", b"ws": b"80", b"wss": b"443"}

_WEB_SCHEMES: Final = frozenset({b"https", b"http"})
_LOWER: Final = b"abcdefghijklmnopqrstuvwxyz"
_DIGITS: Final = b"0123456789"
_SCHEME: Final = _LOWER + _DIGITS + b"+-."
_HOST: Final = _LOWER + _DIGITS + b"._-"
_LABEL: Final = _LOWER + _DIGITS + b"-"
_IPV6: Final = _DIGITS + b"abcdef:."


class Origin(NamedTuple):
    """The parts of a valid origin; `host` has the brackets of IPv6, `port` is b"" if absent."""

    scheme: bytes
    host: bytes
    port: bytes


# Origins that no policy lists exactly recur as well: a refused page sends its origin with each request.
@cached(1024)
def parse_origin(value: bytes) -> Origin | None:
    """Parse an origin; return None if it is not a valid one (cors.md 10).

    The grammar is that of a serialized origin (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin):
    stricter than a URL. Tempting to use a URL parser: it folds case and default ports and accepts a
    path, so that two different strings would count as one origin.
    """
    scheme, mark, authority = value.partition(b"://")
    if not mark or (scheme not in _WEB_SCHEMES and not is_scheme(scheme)):
        return None
    host, rest = split_authority(authority)
    if host.startswith(b"["):
        if not host.endswith(b"]") or not is_ipv6(host[1:-1]):
            return None
    elif not is_host(host):
        return None
    if rest and not (rest.startswith(b":") and is_port(rest[1:])):
        return None
    return Origin(scheme, host, rest[1:])


def split_authority(authority: bytes) -> tuple[bytes, bytes]:
    """Split `authority` after its host; of a valid one, the rest is b"" or a colon and the port.

    Colons within the brackets of an IPv6 address belong to the host.
    """
    if authority.startswith(b"["):
        host, bracket, rest = authority.partition(b"]")
        return host + bracket, rest
    host, colon, port = authority.partition(b":")
    return host, colon + port


def is_scheme(text: bytes) -> bool:
    """Whether `text` is a scheme (RFC 3986 3.1) in lower case."""
    return (
        0 < len(text) <= LONGEST_SCHEME and text[0] in _LOWER and not text.translate(None, _SCHEME)
    )


def is_host(text: bytes) -> bool:
    """Whether `text` is a lower-case host name or an IPv4 address, with or without root dot (cors.md 10)."""
    if not text or len(text) > LONGEST_HOST or text.translate(None, _HOST):
        return False
    if text.startswith(b".") or b".." in text:
        return False
    return len(text) <= LONGEST_LABEL or max(map(len, text.split(b"."))) <= LONGEST_LABEL


def is_ipv6(text: bytes) -> bool:
    """Whether `text`, without brackets, is an IPv6 address without a zone."""
    if text.translate(None, _IPV6):
        return False
    try:
        IPv6Address(text.decode("ascii"))
    except AddressValueError:
        return False
    return True


def is_port(text: bytes) -> bool:
    """Whether `text` is a number from 1 to 65535 without a leading zero."""
    if not text or len(text) > 5 or text.translate(None, _DIGITS) or text.startswith(b"0"):
        return False
    return int(text) <= 65535


def malformed_reason(value: bytes) -> Reason:
    """Return the reason why `value` is not one valid origin (cors.md 8-12).

    `null` has its own reason, since a policy may list it.
    """
    if len(value) > LONGEST_ORIGIN:
        return Reason.origin_too_long
    if value == b"null":
        return Reason.origin_null
    if b"," in value or b" " in value or b"\t" in value:
        return Reason.origin_multiple
    folded = value.lower()
    if folded != value and parse_origin(folded) is not None:
        return Reason.origin_case
    return Reason.origin_malformed


class OriginSet:
    """A set of valid patterns that origins are matched against (cors.md 14-19).

    `exact` maps patterns without a wildcard to their positions, `any_pattern` is `*`. Patterns with a
    wildcard are looked up by their text: each pattern text that could match an origin is derived from
    the origin. Tempting to use a trie or one regular expression: matchers of that kind in other
    proxies have accepted `barfoo.com` for `foo.com` and `bar.com` (cors.md 19).
    """

    __slots__ = (
        "_any_ports",
        "_depth",
        "_fixed_ports",
        "_ports",
        "_shapes",
        "_wild",
        "any_pattern",
        "exact",
    )

    def __init__(self, spec: Iterable[SourceText]) -> None:
        self.exact: dict[bytes, SourceText] = {}
        self.any_pattern: SourceText | None = None
        self._wild: dict[bytes, SourceText] = {}
        # Which kinds of look-ups can succeed: an exact host with any port; a wildcard host with one
        # port or none; a wildcard host with any port.
        self._ports = self._fixed_ports = self._any_ports = False
        self._depth = 0
        shapes: set[tuple[int, int]] = set()
        for item in spec:
            text = item.text.encode("ascii")
            if text == b"*":
                self.any_pattern = item
            elif b"*" in text:
                self._wild[text] = item
                self._note_shape(text, shapes)
            else:
                self.exact[text] = item
        self._shapes = tuple(sorted(shapes))

    def _note_shape(self, text: bytes, shapes: set[tuple[int, int]]) -> None:
        label, _, parent = split_authority(text.partition(b"://")[2])[0].partition(b".")
        if b"*" not in label:
            self._ports = True
            return
        if text.endswith(b":*"):
            self._any_ports = True
        else:
            self._fixed_ports = True
        if label == b"*":
            self._depth = max(self._depth, parent.count(b".") + 1)
        else:
            left, _, right = label.partition(b"*")
            shapes.add((len(left), len(right)))

    def match(self, value: bytes) -> SourceText | None:
        """Return the pattern that matches `value`; None if none does or it is not a valid origin."""
        item = self.exact.get(value) or self.any_pattern
        if item is None and self._wild and len(value) <= LONGEST_ORIGIN:
            origin = parse_origin(value)
            if origin is not None:
                return self.match_wild(origin)
        return item

    def match_wild(self, origin: Origin) -> SourceText | None:
        """Return the wildcard pattern that matches `origin`, None if none does."""
        wild = self._wild
        if not wild:
            return None
        scheme, host, port = origin
        head = scheme + b"://"
        # The port pattern :* matches any port, and also no port (cors.md 16).
        if self._ports:
            item = wild.get(head + host + b":*")
            if item is not None:
                return item
        if host.startswith(b"["):
            return None
        tail = b":" + port if port else b""
        for name in self._wild_names(host):
            item = wild.get(head + name + tail) if self._fixed_ports else None
            if item is None and self._any_ports:
                item = wild.get(head + name + b":*")
            if item is not None:
                return item
        return None

    def _wild_names(self, host: bytes) -> Iterable[bytes]:
        """Yield the host patterns that could match `host`, of the shapes that patterns have.

        For a.b.example.com: a wildcard within its first label, then *.b.example.com, *.example.com and
        so on, at most as many labels up as a pattern has.
        """
        if self._shapes:
            label, dot, parent = host.partition(b".")
            for left, right in self._shapes:
                end = len(label) - right
                # The wildcard is one or more of [a-z0-9-] (cors.md 17).
                if end > left and not label[left:end].translate(None, _LABEL):
                    yield label[:left] + b"*" + label[end:] + dot + parent
        end = len(host)
        for _ in range(self._depth):
            end = host.rfind(b".", 0, end)
            if end < 0:
                return
            yield b"*" + host[end:]
