"""Finds alternative spellings of a path that bypass the stricter policy of its route.

To the route table `/admin/x`, `//admin/x`, `/admin%2Fx` and `/ADMIN/x` are four paths (cors.md 71);
many servers treat them as one. If a more specific route has the stricter policy and a broader route
has the same upstream, the other spelling reaches the upstream under the broader policy (cors.md 72).
Candidates are looked up in the route table itself, so there is no warning about a request that
cannot happen.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from corsproxy.policy.compiled import Route
from corsproxy.policy.cors.permissions import Permission, extra_permissions
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.problems import Problem, ProblemKind, by_slug
from corsproxy.policy.routing.table import Match, RouteTable

KINDS: Final = by_slug(
    ProblemKind(
        "W234",
        "route_path_broader",
        "another spelling of {value} bypasses its policy if the upstream treats both alike: {detail}",
        "give both routes the stricter policy; if the upstream distinguishes the spellings, give this"
        " route its own entry in upstreams",
    ),
)

_SLASH: Final = 0x2F
_SLASHES: Final = re.compile(rb"/+")

# How many slashes of a path, spellings of it in other routes, and methods listed by routes are tried:
# checking takes bounded time, however often a file repeats them.
_MOST_SLASHES: Final = 16
# In bytes. A look-up costs the square of the path's length if the configuration has one as long.
_LONGEST_PATH: Final = 1024
_MOST_CASES: Final = 8
_MOST_METHODS: Final = 8

# The paths that routes match, by the path in lower case.
_PathsByLowerCase = dict[bytes, list[bytes]]

# For a pair (broader, stricter): what the first permits and the second does not.
_Compared = dict[tuple[Policy | None, Policy | None], tuple[Permission, ...]]


class _Bypass(NamedTuple):
    """A path as its route spells it, and a `variant` of it that matches the route `other`."""

    host: bytes
    plain: bytes
    variant: bytes
    other: Route


class _UpstreamRoutes:
    """The policies, paths and methods of all routes of one upstream."""

    def __init__(self) -> None:
        self.policies: set[Policy | None] = set()
        self.paths: _PathsByLowerCase = {}
        self.listed_methods: set[bytes] = set()

    def add(self, match: Match, route: Route) -> None:
        self.policies.add(route.policy)
        self.listed_methods |= match.methods or frozenset()
        for path in map(str.encode, match.paths):
            self.paths.setdefault(path.lower(), []).append(path)

    def methods(self, match: Match) -> list[bytes]:
        """Return the methods of `match` that may lead to different routes."""
        if match.methods is not None:
            return sorted(match.methods)
        return [b"GET", *sorted(self.listed_methods - {b"GET"})[:_MOST_METHODS]]


def check_bypasses(
    entries: Sequence[tuple[Match, Route]], table: RouteTable[Route]
) -> Iterator[Problem]:
    """Yield a problem for each path and each other route that a variant of it reaches.

    Problems quote nothing from the other route: its values may come from the environment.
    """
    upstreams: defaultdict[str, _UpstreamRoutes] = defaultdict(_UpstreamRoutes)
    for match, route in entries:
        upstreams[route.upstream.name].add(match, route)
    compared: _Compared = {}
    for match, route in entries:
        routes = upstreams[route.upstream.name]
        # Most upstreams have one policy, so that no route of theirs can be bypassed.
        if route.policy is None or len(routes.policies) == 1:
            continue
        reached: set[str] = set()
        for path in match.paths:
            for bypass in _find_bypasses(path, match, route, table, routes):
                other = bypass.other
                if other.name in reached:
                    continue
                pair = (other.policy, route.policy)
                if pair not in compared:
                    compared[pair] = tuple(extra_permissions(*pair))
                permission = _first_permission(compared[pair], bypass, route, table)
                if permission and _is_same_path_upstream(bypass, route):
                    reached.add(other.name)
                    detail = (
                        f"{bypass.variant.decode()} matches {_described(other)}, which {permission}"
                    )
                    pos = match.positions.paths.get(path)
                    yield KINDS["route_path_broader"].at(pos, value=path, detail=detail)


def _find_bypasses(
    path: str, match: Match, route: Route, table: RouteTable[Route], routes: _UpstreamRoutes
) -> Iterator[_Bypass]:
    """Yield the variants of `path`, one of `match`, that lead to another route of its upstream."""
    if len(path) > _LONGEST_PATH:
        return
    plain = path.encode() + (b"x" if path.endswith("/") else b"")
    variants = tuple(dict.fromkeys(_variants(plain, path, routes.paths)))
    methods = routes.methods(match)
    for host in map(_sample_host, match.hosts or ("",)):
        for method in methods:
            if table.match(host, plain, method) is not route:
                continue  # a more specific route matches the plain spelling
            for variant in variants:
                other = table.match(host, variant, method)
                if other is None or other is route or other.upstream is not route.upstream:
                    continue
                yield _Bypass(host, plain, variant, other)


def _first_permission(
    permissions: tuple[Permission, ...], bypass: _Bypass, route: Route, table: RouteTable[Route]
) -> str:
    """Return the text of the first of `permissions` that `bypass` grants; "" if it grants none.

    A permission for one method is looked up with that method, since other routes may match it for
    either spelling.
    """
    host, plain, variant, other = bypass
    for words, method in permissions:
        if method is None:
            return words
        is_ours = table.match(host, plain, method) is route
        if is_ours and table.match(host, variant, method) is other:
            return words
    return ""


def _is_same_path_upstream(bypass: _Bypass, route: Route) -> bool:
    """Whether a lenient server treats the forwarded paths of both spellings as the same."""
    forwarded = bypass.other.mapping.to_upstream(bypass.variant)
    return _normalized(forwarded) == _normalized(route.mapping.to_upstream(bypass.plain))


def _described(route: Route) -> str:
    return f"the route on line {route.pos.line}" if route.pos else f"the route {route.name}"


def _sample_host(host: str) -> bytes:
    return f"any{host[1:]}".encode() if host.startswith("*.") else host.encode()


def _variants(plain: bytes, path: str, others: _PathsByLowerCase) -> Iterator[bytes]:
    """Yield other spellings that lenient servers treat as `plain`, a request path of the route `path`.

    Each slash doubled, each except the first percent-encoded, and letters in another case: all of
    them, those of one segment, or as another route spells them.
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
        for prefix in others.get(plain[:end].lower(), ())[:_MOST_CASES]:
            yield prefix + plain[end:]


def _normalized(path: bytes) -> bytes:
    """Return `path` as lenient servers compare it."""
    return _SLASHES.sub(b"/", path.lower().replace(b"%2f", b"/"))
