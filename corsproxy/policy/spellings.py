"""Spellings of a path that come to a route that is open to more than the path's own. Knows plans, no requests.

Routes tell `/admin/x`, `//admin/x`, `/admin%2Fx` and `/ADMIN/x` apart (cors.md 71); many servers do
not. If a more specific route has the stricter policy and both have one upstream, the other spelling
leads around it (cors.md 72). The table of routes itself is asked, so nothing is warned of that no
request can do.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from corsproxy.policy.compiled import Policy
from corsproxy.policy.findings import Finding, Words, find
from corsproxy.policy.plan import Route
from corsproxy.policy.routes import Match, RouteTable

WORDS: Final[dict[str, Words]] = {
    "route_path_broader": Words(
        "warning",
        "the policy of {value} can be avoided by another spelling if the upstream reads both alike: {detail}",
        "give both routes the stricter policy; if the upstream tells the spellings apart, give this"
        " route an entry of its own in upstreams",
    ),
}

_SLASHES: Final = re.compile(rb"/+")


def check_spellings(
    entries: Sequence[tuple[Match, Route]], table: RouteTable[Route]
) -> Iterator[tuple[Route, Finding]]:
    """Yield each route that is avoided by a spelling, with a finding about one of its paths.

    One finding for each route that such a spelling comes to; findings have no place, and show
    nothing of the other route: it may be the environment's.
    """
    policies: dict[str, set[Policy | None]] = {}
    for _, route in entries:
        policies.setdefault(route.upstream.name, set()).add(route.policy)
    for match, route in entries:
        # Most upstreams have one policy: nothing has to be asked for their routes.
        if route.policy is None or len(policies[route.upstream.name]) == 1:
            continue
        reached: set[str] = set()
        for path, spelled, other in _elsewhere(match, route, table):
            opened = _opened(other.policy, route.policy)
            if opened and other.name not in reached:
                reached.add(other.name)
                detail = f"{spelled.decode()} comes to {_named(other)}, which {opened}"
                yield route, find(WORDS, "route_path_broader", path, None, detail)


def _elsewhere(
    match: Match, route: Route, table: RouteTable[Route]
) -> Iterator[tuple[str, bytes, Route]]:
    """Yield paths of `match`, a spelling of each, and the other route of the upstream it comes to."""
    for host in match.hosts or ("",):
        for path in match.paths:
            for method in sorted(match.methods or {b"GET", b"POST"}):
                plain = path.encode() + (b"x" if path.endswith("/") else b"")
                for spelled in _spellings(plain):
                    other = table.match(_host(host), spelled, method)
                    if other is None or other is route or other.upstream is not route.upstream:
                        continue
                    sent = other.mapping.to_upstream(spelled)
                    if _folded(sent) == _folded(route.mapping.to_upstream(plain)):
                        yield path, spelled, other


def _named(route: Route) -> str:
    return f"the route in line {route.place.line}" if route.place else f"the route {route.name}"


def _host(host: str) -> bytes:
    return f"any{host[1:]}".encode() if host.startswith("*.") else host.encode()


def _spellings(path: bytes) -> Iterator[bytes]:
    """Yield `path` as servers that are not strict read it too."""
    start, _, last = path.rpartition(b"/")
    yield b"/" + path
    yield (start or b"/") + b"%2F" + last
    yield path.upper() if path != path.upper() else path.lower()


def _folded(path: bytes) -> bytes:
    """Return `path` as a server may read it that is not strict."""
    return _SLASHES.sub(b"/", path.lower().replace(b"%2f", b"/"))


def _opened(broad: Policy | None, narrow: Policy | None) -> str:
    """Say what `broad` lets in and `narrow` keeps out, in words that end a sentence; "" for nothing.

    A policy that is open to every origin keeps nobody out; no policy keeps nobody out either, and
    lets in what the upstream itself does.
    """
    if narrow is None or narrow.any_origin:
        return ""
    if narrow.refused_blocks and not (broad is not None and broad.refused_blocks):
        return "does not block what is refused"
    if broad is None:
        return ""
    for term in broad.terms.allow_origins:
        if narrow.origins.match(_sample(term.text)) is None:
            return "allows an origin that this one refuses"
    if broad.terms.allow_credentials and not narrow.terms.allow_credentials:
        return "allows credentials"
    return ""


def _sample(pattern: str) -> bytes:
    """Return an origin that `pattern` allows, and hardly anything but it."""
    if pattern == "*":
        return b"https://any-origin.invalid"
    host = pattern.removesuffix(":*")
    port = ":65535" if host != pattern else ""
    return (host.replace("*", "any-name") + port).encode()
