"""Finds the route of a request by host, path and method.

The most specific match wins (cors.md 72): exact host, then `*.` host with the longest first, then any
host; within one host exact path, then the longest prefix; within one path the listed methods, then
any. If nothing matches below one level, the next level is tried. Only dictionaries are looked up, so
the cost does not grow with the number of routes. Paths are compared as `paths.as_compared` returns
them, hosts in lower case, without port and without a root dot.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from corsproxy.policy.routing.paths import PERCENT, as_compared, as_compared_text
from corsproxy.policy.source import SourcePos

T = TypeVar("T")

# Longer names cannot exist (RFC 1035 2.3.4); this bounds the loop over the labels of a hostile Host.
_LONGEST_NAME: Final = 253


class MatchPositions(NamedTuple):
    """The positions of the items of a `Match` in the configuration, for reporting problems.

    `no_methods` is the position of an empty list of methods.
    """

    hosts: Mapping[str, SourcePos] = {}
    paths: Mapping[str, SourcePos] = {}
    methods: Mapping[bytes, SourcePos] = {}
    no_methods: SourcePos | None = None


class Match(NamedTuple):
    """What a route matches.

    `hosts` are names without port (`*.name`: names with one or more labels before it; IPv6 in
    brackets), () means any. `paths` that end in "/" are prefixes of whole segments, others are
    exact; () means "/". `methods` are case-sensitive; None means any.
    """

    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    methods: frozenset[bytes] | None = None
    positions: MatchPositions = MatchPositions()


class Cell(NamedTuple):
    """One cell of the table, owned by one route; `method` None means any."""

    host: str
    path: str
    method: bytes | None

    def __str__(self) -> str:
        """Describe the cell, e.g. "host api.example.com, path /api/, method GET"."""
        method = "any method" if self.method is None else f"method {self.method.decode('latin-1')}"
        return f"{f'host {self.host}' if self.host else 'any host'}, path {self.path}, {method}"


class RouteTie(ValueError):  # noqa: N818 - named by what it is; it is reported as a problem
    """Two routes match the same host, path and method, and neither is more specific (cors.md 72).

    `first` and `second` are the routes as they were given, `what` is the cell that both match.
    """

    def __init__(self, first: object, second: object, what: Cell) -> None:
        super().__init__(f"two routes match the same requests: {what}; {first!r} and {second!r}")
        self.first = first
        self.second = second
        self.what = what


class _Methods(Generic[T]):
    """The routes of one host and path, by method."""

    __slots__ = ("given", "rest")

    def __init__(self) -> None:
        self.given: dict[bytes, T] = {}
        self.rest: T | None = None


class _Paths(Generic[T]):
    """The routes of one host, by path."""

    __slots__ = ("exact", "longest", "prefixes")

    def __init__(self) -> None:
        self.exact: dict[bytes, _Methods[T]] = {}
        self.prefixes: dict[bytes, _Methods[T]] = {}
        self.longest = 0

    def claim(self, path: bytes) -> _Methods[T]:
        if not path.endswith(b"/"):
            return self.exact.setdefault(path, _Methods())
        self.longest = max(self.longest, len(path))
        return self.prefixes.setdefault(path, _Methods())

    def match(self, path: bytes, method: bytes) -> T | None:
        methods = self.exact.get(path)
        if methods is not None:
            route = methods.given.get(method, methods.rest)
            if route is not None:
                return route
        prefixes = self.prefixes
        longest = self.longest
        # "/api/" matches "/api", too: prefixes match whole segments.
        if len(path) < longest:
            methods = prefixes.get(path + b"/")
            if methods is not None:
                route = methods.given.get(method, methods.rest)
                if route is not None:
                    return route
        # Bounded by the longest configured prefix, not by what the client sent.
        end = path.rfind(b"/", 0, longest) + 1
        while end:
            methods = prefixes.get(path[:end])
            if methods is not None:
                route = methods.given.get(method, methods.rest)
                if route is not None:
                    return route
            end = path.rfind(b"/", 0, end - 1) + 1
        return None


class RouteTable(Generic[T]):
    """All routes, looked up by host, path and method. Iterates in the order of the configuration."""

    __slots__ = ("_any", "_entries", "_exact", "_longest", "_named", "_wild")

    def __init__(self) -> None:
        self._entries: tuple[T, ...] = ()
        self._exact: dict[bytes, _Paths[T]] = {}
        self._wild: dict[bytes, _Paths[T]] = {}
        self._any: _Paths[T] = _Paths()
        self._named = False
        self._longest = 0

    @classmethod
    def compile(cls, entries: Iterable[tuple[Match, T]]) -> "RouteTable[T]":
        """Build the table; raise `RouteTie` for two routes of the same cell (cors.md 72)."""
        placed = tuple(entries)
        for tie in find_ties(placed):
            raise tie
        table = cls()
        table._entries = tuple(route for _, route in placed)
        for match, route in placed:
            for cell in cells(match):
                path = cell.path.encode()
                table._longest = max(table._longest, len(path))
                methods = table._claim(cell.host).claim(path)
                if cell.method is None:
                    methods.rest = route
                else:
                    methods.given[cell.method] = route
        table._named = bool(table._exact or table._wild)
        return table

    def _claim(self, host: str) -> _Paths[T]:
        if not host:
            return self._any
        if host.startswith("*."):
            return self._wild.setdefault(host[2:].encode(), _Paths())
        return self._exact.setdefault(host.encode(), _Paths())

    def match(self, host: bytes, path: bytes, method: bytes) -> T | None:
        """Return the route of a request, None if none matches (404, cors.md 73).

        `host` is the value of Host as received, port included; `path` is the target up to its "?";
        `method` is the method of the request; for a preflight the requested one (cors.md 6).
        """
        if PERCENT in path:
            # Only as much of the path is decoded as the longest configured path could need, at three
            # bytes for an encoded character: the work is bounded by the configuration.
            path = as_compared(path[: 3 * self._longest + 3])
        if self._named:
            colon = host.rfind(b":")
            # In "[::1]" the last colon is part of the address.
            name = (host if colon < 0 or host.endswith(b"]") else host[:colon]).lower()
            paths = self._exact.get(name)
            if paths is None and name.endswith(b"."):
                name = name[:-1]
                paths = self._exact.get(name)
            route = None if paths is None else paths.match(path, method)
            if route is None and self._wild:
                route = self._match_wild(name, path, method)
            if route is not None:
                return route
        return self._any.match(path, method)

    def _match_wild(self, name: bytes, path: bytes, method: bytes) -> T | None:
        wild = self._wild
        # A label is not empty: neither ".example.com" nor "a..example.com" is below example.com.
        if len(name) > _LONGEST_NAME or name[:1] == b"." or b".." in name:
            return None
        dot = name.find(b".") + 1
        while dot:
            paths = wild.get(name[dot:])
            if paths is not None:
                route = paths.match(path, method)
                if route is not None:
                    return route
            dot = name.find(b".", dot) + 1
        return None

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def cells(match: Match) -> Iterator[Cell]:
    """Yield each cell that `match` covers once, spelled as requests are compared."""
    hosts = dict.fromkeys(host.lower().removesuffix(".") for host in match.hosts) or {"": None}
    paths = dict.fromkeys(map(as_compared_text, match.paths)) or {"/": None}
    methods: list[bytes | None] = [None] if match.methods is None else [*sorted(match.methods)]
    for host in hosts:
        for path in paths:
            for method in methods:
                yield Cell(host, path, method)


def find_ties(entries: Iterable[tuple[Match, T]]) -> list[RouteTie]:
    """Return one `RouteTie` for each pair of routes that have a cell in common (cors.md 72)."""
    owners: dict[Cell, tuple[int, T]] = {}
    ties: dict[tuple[int, int], RouteTie] = {}
    for index, (match, route) in enumerate(entries):
        for cell in cells(match):
            first, owner = owners.setdefault(cell, (index, route))
            if first != index:
                ties.setdefault((first, index), RouteTie(owner, route, cell))
    return list(ties.values())
