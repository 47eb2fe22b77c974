"""Rewrites Set-Cookie values, attribute by attribute (RFC 6265bis).

The name, the value and every attribute that the rule does not change keep their bytes and order
(cors.md 60). The first rule whose name matches a cookie applies, and no other.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.policy.cookies.check import check_cookies
from corsproxy.policy.cookies.spec import KEEP, REMOVE, CookieSpec, SameSite
from corsproxy.policy.globs import Glob
from corsproxy.policy.problems import Report, ignore, require_sound
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping
from corsproxy.policy.source import SourcePos
from corsproxy.policy.tokens import OWS

_SAME_SITE: Final[dict[SameSite, bytes]] = {"strict": b"Strict", "lax": b"Lax", "none": b"None"}

# Why browsers would reject a rewritten cookie (RFC 6265bis 5.7), for messages.
LEFT_BECAUSE: Final[dict[str, str]] = {
    "secure_prefix": "a name with the prefix __Secure- or __Http- needs Secure",
    "host_prefix": "a name with the prefix __Host- needs Secure, Path=/ and no Domain",
    "http_prefix": "a name with the prefix __Http- or __Host-Http- needs HttpOnly",
    "same_site_none_insecure": "SameSite=None needs Secure",
    "partitioned_insecure": "Partitioned needs Secure",
}


class CookieRule(NamedTuple):
    """A compiled rule. For flags, True adds, False removes, None keeps; `domain` b"" removes.

    `prefix` is the route's own mapping (upstream prefix, public prefix), used if `paths` is empty.
    """

    name: Glob
    domain: bytes | None
    paths: tuple[tuple[bytes, bytes], ...]
    secure: bool | None
    http_only: bool | None
    same_site: bytes | None
    partitioned: bool | None
    pos: SourcePos | None
    prefix: tuple[bytes, bytes] | None = None


class Rewritten(NamedTuple):
    """A Set-Cookie value; `left` is "" if it was rewritten, else why it was left unchanged.

    `left` is a key of `LEFT_BECAUSE`: why browsers would reject the rewritten cookie.
    """

    value: bytes
    left: str = ""


def compile_cookies(
    specs: Sequence[CookieSpec],
    mapping: PathMapping = UNCHANGED,
    report: Report = ignore,
) -> tuple[CookieRule, ...]:
    """Compile cookie rules; report what `check_cookies` finds, raise `BadSpec` for an error.

    If the route's `mapping` changes prefixes, cookie paths are mapped back like links (cors.md 58),
    unless a rule maps paths itself.
    """
    require_sound(check_cookies(specs), report)
    if mapping == UNCHANGED:
        return tuple(_compile(spec, None) for spec in specs)
    prefix = (mapping.add, mapping.strip)
    return tuple(_compile(spec, prefix) for spec in (*specs, CookieSpec()))


def _compile(spec: CookieSpec, prefix: tuple[bytes, bytes] | None) -> CookieRule:
    # Browsers reject SameSite=None and Partitioned without Secure, so these imply it (cors.md 60).
    implied = spec.same_site == "none" or spec.partitioned
    pairs = [(old.encode().rstrip(b"/"), new.encode().rstrip(b"/")) for old, new in spec.path]
    return CookieRule(
        name=Glob.compile(spec.name),
        domain={KEEP: None, REMOVE: b""}.get(spec.domain, spec.domain.encode()),
        paths=tuple(sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)),
        secure=True if implied else spec.secure,
        http_only=spec.http_only,
        same_site=None if spec.same_site is None else _SAME_SITE[spec.same_site],
        partitioned=spec.partitioned,
        pos=spec.pos,
        prefix=None if pairs else prefix,
    )


def rewrite_cookie(rules: tuple[CookieRule, ...], value: bytes) -> Rewritten:
    """Rewrite one Set-Cookie value by the first rule that matches its name.

    A cookie that browsers would reject once rewritten is left unchanged: the page would lose it silently.
    """
    cookie = _Cookie(value)
    for rule in rules:
        if rule.name.fits(cookie.name):
            _rewrite(cookie, rule)
            if not cookie.changed:
                return Rewritten(value)
            left = _why_rejected(cookie)
            return Rewritten(value, left) if left else Rewritten(cookie.value)
    return Rewritten(value)


class _Cookie:
    """A Set-Cookie value split at ";" (RFC 6265bis 5.6); the first piece is the name-value pair."""

    __slots__ = ("changed", "keys", "name", "pieces")

    def __init__(self, value: bytes) -> None:
        self.pieces = value.split(b";")
        self.keys = [piece.partition(b"=")[0].strip(OWS).lower() for piece in self.pieces]
        self.keys[0] = b""
        name, separator, _ = self.pieces[0].partition(b"=")
        # Without "=" the pair is a value without a name (RFC 6265bis 5.6).
        self.name = name.strip(OWS) if separator else b""
        self.changed = False

    @property
    def value(self) -> bytes:
        return b";".join(self.pieces)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of the attribute `key`; if it repeats, the last one counts (RFC 6265bis 5.7)."""
        if key not in self.keys:
            return None
        last = len(self.keys) - 1 - self.keys[::-1].index(key)
        return self.pieces[last].partition(b"=")[2].strip(OWS)

    def remove(self, key: bytes, start: int = 1) -> None:
        for index in range(len(self.keys) - 1, start - 1, -1):
            if self.keys[index] == key:
                del self.keys[index], self.pieces[index]
                self.changed = True

    def put(self, key: bytes, attribute: bytes) -> None:
        """Replace all attributes `key` by one at the position of the first, or append it."""
        if key in self.keys:
            first = self.keys.index(key)
            if self.pieces[first].strip(OWS) != attribute:
                self.pieces[first] = b" " + attribute
                self.changed = True
            self.remove(key, first + 1)
            return
        if len(self.pieces) > 1 and not self.pieces[-1].strip(OWS):
            del self.keys[-1], self.pieces[-1]  # "a=b;" ends in an empty attribute
        self.keys.append(key)
        self.pieces.append(b" " + attribute)
        self.changed = True

    def flag(self, key: bytes, attribute: bytes, *, wanted: bool | None) -> None:
        if wanted is False:
            self.remove(key)
        elif wanted and key not in self.keys:
            self.put(key, attribute)


def _rewrite(cookie: _Cookie, rule: CookieRule) -> None:
    if rule.domain == b"":
        cookie.remove(b"domain")
    elif rule.domain is not None and cookie.get(b"domain"):
        cookie.put(b"domain", b"Domain=" + rule.domain)
    pairs = rule.paths
    # A __Host- cookie must have the path "/": the route's change of prefix must not break it.
    if rule.prefix is not None and not cookie.name.lower().startswith(b"__host-"):
        pairs = (rule.prefix,)
    path = cookie.get(b"path")
    if path is not None and pairs:
        mapped = _map_path(path, pairs)
        if mapped != path:
            cookie.put(b"path", b"Path=" + mapped)
    cookie.flag(b"secure", b"Secure", wanted=rule.secure)
    cookie.flag(b"httponly", b"HttpOnly", wanted=rule.http_only)
    if rule.same_site is not None:
        cookie.put(b"samesite", b"SameSite=" + rule.same_site)
    cookie.flag(b"partitioned", b"Partitioned", wanted=rule.partitioned)


def _map_path(path: bytes, pairs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    if not path.startswith(b"/"):
        # The browser then uses the path of the request, which is the public one (RFC 6265bis 5.1.4).
        return path
    for old, new in pairs:
        if path == old or path.startswith(old + b"/"):
            # "/" becomes "/api", not "/api/", which would not match the path "/api" (5.1.4).
            return (new if path == b"/" else new + path[len(old) :]) or b"/"
    return path


def _why_rejected(cookie: _Cookie) -> str:
    """Return why browsers would reject the cookie (RFC 6265bis 5.7); "" if they would not."""
    name = cookie.name.lower()  # browsers compare the prefixes case-insensitively
    secure = cookie.get(b"secure") is not None
    if name.startswith((b"__secure-", b"__http-")) and not secure:
        return "secure_prefix"
    if name.startswith(b"__host-"):
        is_host_only = not cookie.get(b"domain") and cookie.get(b"path") == b"/"
        if not (secure and is_host_only):
            return "host_prefix"
    if name.startswith((b"__http-", b"__host-http-")) and cookie.get(b"httponly") is None:
        return "http_prefix"
    if not secure and (cookie.get(b"samesite") or b"").lower() == b"none":
        return "same_site_none_insecure"
    if not secure and cookie.get(b"partitioned") is not None:
        return "partitioned_insecure"
    return ""
