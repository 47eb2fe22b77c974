"""Spellings of a path that come to a route that is open to more than the path's own. Knows configurations, no requests.

Routes tell `/admin/x`, `//admin/x`, `/admin%2Fx` and `/ADMIN/x` apart (cors.md 71); many servers do
not. If a more specific route has the stricter policy and both have one upstream, the other spelling
leads around it (cors.md 72). The table of routes itself is asked, so nothing is warned of that no
request can do.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from corsproxy.policy.compiled import Route
from corsproxy.policy.cors.openings import Opening, find_openings
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.routing.table import Match, RouteTable

KINDS: Final = by_slug(
    ProblemKind(
        "W234",
        "route_path_broader",
        "the policy of {value} can be avoided by another spelling if the upstream reads both alike: {detail}",
        "give both routes the stricter policy; if the upstream tells the spellings apart, give this"
        " route an entry of its own in upstreams",
    ),
)

_SLASH: Final = 0x2F
_SLASHES: Final = re.compile(rb"/+")

# How many slashes of a path, other routes' spellings of it, and methods that routes name are tried:
# a file that repeats them without end is checked in bounded time all the same.
_MOST_SLASHES: Final = 16
# In bytes. To look a path up costs the square of its length if the configuration has one as long.
_LONGEST_PATH: Final = 1024
_MOST_CASES: Final = 8
_MOST_METHODS: Final = 8

# The paths that routes match, by their spelling in lower case.
_Cases = dict[bytes, list[bytes]]

# Pairs of policies, the broader one first, to what the second keeps out.
_Compared = dict[tuple[Policy | None, Policy | None], tuple[Opening, ...]]


class _Detour(NamedTuple):
    """A request, by the route's own spelling and by another one that comes to the route `other`."""

    host: bytes
    plain: bytes
    spelled: bytes
    other: Route


class _Routes:
    """What the routes of one upstream say: their policies, the spellings of paths, the methods."""

    def __init__(self) -> None:
        self.policies: set[Policy | None] = set()
        self.cases: _Cases = {}
        self.named: set[bytes] = set()

    def add(self, match: Match, route: Route) -> None:
        self.policies.add(route.policy)
        self.named |= match.methods or frozenset()
        for path in map(str.encode, match.paths):
            self.cases.setdefault(path.lower(), []).append(path)

    def methods(self, match: Match) -> list[bytes]:
        """Return the methods that may come to different routes, of those that `match` matches."""
        if match.methods is not None:
            return sorted(match.methods)
        return [b"GET", *sorted(self.named - {b"GET"})[:_MOST_METHODS]]


def check_spellings(
    entries: Sequence[tuple[Match, Route]], table: RouteTable[Route]
) -> Iterator[Problem]:
    """Yield a problem of a path for each route that another spelling of it leads to.

    Problems show nothing of the other route: its values may come from the environment.
    """
    upstreams: defaultdict[str, _Routes] = defaultdict(_Routes)
    for match, route in entries:
        upstreams[route.upstream.name].add(match, route)
    compared: _Compared = {}
    for match, route in entries:
        routes = upstreams[route.upstream.name]
        # Most upstreams have one policy: nothing has to be asked for their routes.
        if route.policy is None or len(routes.policies) == 1:
            continue
        reached: set[str] = set()
        for path in match.paths:
            for detour in _detours(path, match, route, table, routes):
                other = detour.other
                if other.name in reached:
                    continue
                pair = (other.policy, route.policy)
                if pair not in compared:
                    compared[pair] = tuple(find_openings(*pair))
                opened = _first_open(compared[pair], detour, route, table)
                if opened and _are_alike(detour, route):
                    reached.add(other.name)
                    detail = f"{detour.spelled.decode()} comes to {_named(other)}, which {opened}"
                    pos = match.positions.paths.get(path)
                    yield KINDS["route_path_broader"].at(pos, value=path, detail=detail)


def _detours(
    path: str, match: Match, route: Route, table: RouteTable[Route], routes: _Routes
) -> Iterator[_Detour]:
    """Yield what comes to another route of the upstream by a spelling of `path`, one of `match`."""
    if len(path) > _LONGEST_PATH:
        return
    plain = path.encode() + (b"x" if path.endswith("/") else b"")
    spellings = tuple(dict.fromkeys(_spellings(plain, path, routes.cases)))
    methods = routes.methods(match)
    for host in map(_host, match.hosts or ("",)):
        for method in methods:
            if table.match(host, plain, method) is not route:
                continue  # a more specific route serves it already, whatever the spelling
            for spelled in spellings:
                other = table.match(host, spelled, method)
                if other is None or other is route or other.upstream is not route.upstream:
                    continue
                yield _Detour(host, plain, spelled, other)


def _first_open(
    openings: tuple[Opening, ...], detour: _Detour, route: Route, table: RouteTable[Route]
) -> str:
    """Return the words of the first of `openings` that the detour leads to; "" for none.

    An opening for one method has to be asked with it: other routes may serve it on either way.
    """
    host, plain, spelled, other = detour
    for words, method in openings:
        if method is None:
            return words
        is_ours = table.match(host, plain, method) is route
        if is_ours and table.match(host, spelled, method) is other:
            return words
    return ""


def _are_alike(detour: _Detour, route: Route) -> bool:
    """Tell whether a server that is not strict gets the same path on either way."""
    sent = detour.other.mapping.to_upstream(detour.spelled)
    return _folded(sent) == _folded(route.mapping.to_upstream(detour.plain))


def _named(route: Route) -> str:
    return f"the route in line {route.pos.line}" if route.pos else f"the route {route.name}"


def _host(host: str) -> bytes:
    return f"any{host[1:]}".encode() if host.startswith("*.") else host.encode()


def _spellings(plain: bytes, path: str, cases: _Cases) -> Iterator[bytes]:
    """Yield `plain`, a request for `path`, as servers that are not strict read it too.

    Each slash twice, each but the first percent-encoded, and letters in another case: all of them,
    those of one segment, or as another route has them.
    """
    slashes = [at for at, byte in enumerate(plain) if byte == _SLASH][:_MOST_SLASHES]
    yield b"/" + plain
    for at in reversed(slashes[1:]):
        yield plain[:at] + b"%2F" + plain[at + 1 :]
    yield plain.upper()
    yield plain.lower()
    for at in slashes[1:]:
        yield plain[:at] + b"/" + plain[at:]
    for start, end in pairwise([*slashes, len(path)]):
        yield plain[:start] + plain[start:end].swapcase() + plain[end:]
    for end in dict.fromkeys([*(at + 1 for at in slashes), len(path)]):
        for start_of_other in cases.get(plain[:end].lower(), ())[:_MOST_CASES]:
            yield start_of_other + plain[end:]


def _folded(path: bytes) -> bytes:
    """Return `path` as a server may read it that is not strict."""
    return _SLASHES.sub(b"/", path.lower().replace(b"%2f", b"/"))
