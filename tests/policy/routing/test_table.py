"""RouteTable: which route a request matches (cors.md 71-73). Pure, no loop."""

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from corsproxy.policy.routing.table import Cell, Match, RouteTable, RouteTie, find_ties

Entries = list[tuple[Match, str]]


def table(*entries: tuple[Match, str]) -> RouteTable[str]:
    """Compile routes that are named by a word."""
    return RouteTable.compile(entries)


def host(*hosts: str) -> Match:
    """Return a match of hosts only."""
    return Match(hosts=hosts)


def path(*paths: str) -> Match:
    """Return a match of paths only."""
    return Match(paths=paths)


HOSTS = table(
    (host("api.example.com"), "exact"),
    (host("*.example.com"), "wild"),
    (host("*.eu.example.com"), "longer wild"),
    (host("[::1]"), "six"),
    (host("127.0.0.1"), "four"),
    (host("rooted.example."), "rooted"),
    (host(), "any"),
)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"api.example.com", "exact"),
        (b"API.Example.COM", "exact"),
        (b"api.example.com:8443", "exact"),
        (b"Api.example.com:", "exact"),
        (b"www.example.com", "wild"),
        (b"a.b.example.com:80", "wild"),
        (b"eu.example.com", "wild"),
        (b"a.EU.example.com", "longer wild"),
        (b"a.b.eu.example.com", "longer wild"),
        (b"example.com", "any"),
        (b".example.com", "any"),
        (b"a..example.com", "any"),
        (b"aexample.com", "any"),
        (b"a.example.com.evil.com", "any"),
        (b"api.example.com.", "exact"),
        (b"API.example.com.:80", "exact"),
        (b"www.example.com.", "wild"),
        (b"api.example.com..", "any"),
        (b"example.com.", "any"),
        (b".", "any"),
        (b"rooted.example", "rooted"),
        (b"rooted.example.", "rooted"),
        (b"[::1]", "six"),
        (b"[::1]:8080", "six"),
        (b"[::2]:8080", "any"),
        (b"127.0.0.1:8080", "four"),
        (b"", "any"),
        (b":80", "any"),
        (b"." * 30_000, "any"),
        (b"a." * 200 + b"example.com", "any"),
    ],
)
def test_hosts_go_exact_then_longest_wildcard_then_any(sent: bytes, expected: str) -> None:
    """cors.md 72: exact host, `*.` host, any host; in any case, without port or root dot."""
    assert HOSTS.match(sent, b"/", b"GET") == expected


PATHS = table(
    (path("/api/"), "api"),
    (path("/api/v1/"), "v1"),
    (path("/api/v1"), "exactly v1"),
    (path("/health"), "health"),
    (path("/a%2Fb/"), "encoded"),
    (path("/%73pelt/"), "spelt"),
)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"/api/", "api"),
        (b"/api", "api"),
        (b"/api/x", "api"),
        (b"/api//v1/", "api"),
        (b"/api/v1", "exactly v1"),
        (b"/api/v1/", "v1"),
        (b"/api/v1/x/y", "v1"),
        (b"/api/v1x", "api"),
        (b"/api/v10/", "api"),
        (b"/apix", None),
        (b"/API/", None),
        (b"//api/", None),
        (b"/%61pi/", "api"),
        (b"/%41pi/", None),
        (b"/ap%69", "api"),
        (b"/api/%76%31", "exactly v1"),
        (b"/api%2Fv1/", None),
        (b"/he%61lth", "health"),
        (b"/%2561pi/", None),
        (b"/%61%70%69/%76%31" + b"%2F" * 9, "api"),
        (b"/%61%70%69/%76%31/" + b"%61" * 9, "v1"),
        (b"/health" + b"%61" * 50, None),
        (b"/%68%65%61%6C%74%68", "health"),
        (b"/spelt/x", "spelt"),
        (b"/health", "health"),
        (b"/health/", None),
        (b"/healthy", None),
        (b"/a%2Fb", "encoded"),
        (b"/a%2Fb/c", "encoded"),
        (b"/a%2fb/c", "encoded"),
        (b"/a/b/c", None),
        (b"/", None),
        (b"", None),
        (b"*", None),
    ],
)
def test_paths_go_exact_then_longest_prefix_of_whole_segments(
    sent: bytes,
    expected: str | None,
) -> None:
    """cors.md 71, 72, 73: case-sensitive, escapes as H1 compares them; no route is None."""
    assert PATHS.match(b"h", sent, b"GET") == expected


def test_listed_methods_win_over_none_and_fall_through() -> None:
    """cors.md 72: listed methods, then any; a path whose methods do not match is skipped."""
    routes = table(
        (Match(paths=("/api/",), methods=frozenset({b"GET"})), "read"),
        (Match(paths=("/api/",)), "other"),
        (Match(paths=("/api/x",), methods=frozenset({b"PUT"})), "put x"),
    )
    assert routes.match(b"h", b"/api/x", b"PUT") == "put x"
    assert routes.match(b"h", b"/api/x", b"GET") == "read"
    assert routes.match(b"h", b"/api/x", b"get") == "other"
    assert routes.match(b"h", b"/api", b"DELETE") == "other"


def test_a_host_without_a_matching_path_or_method_falls_through() -> None:
    """cors.md 72: the order is lexicographic; if one level has no match, the next is tried."""
    routes = table(
        (Match(hosts=("a.example",), paths=("/x",), methods=frozenset({b"GET"})), "exact"),
        (Match(hosts=("*.example",), paths=("/x",)), "wild"),
        (Match(paths=("/x",)), "any x"),
        (Match(), "any"),
    )
    assert routes.match(b"a.example", b"/x", b"GET") == "exact"
    assert routes.match(b"a.example", b"/x", b"PUT") == "wild"
    assert routes.match(b"b", b"/x", b"PUT") == "any x"
    assert routes.match(b"a.example", b"/y", b"GET") == "any"


def test_an_empty_table_matches_nothing() -> None:
    """cors.md 73: no route."""
    assert table().match(b"h", b"/", b"GET") is None
    assert len(table()) == 0


def test_routes_are_iterated_in_their_given_order() -> None:
    """A route with several hosts and paths is one route."""
    routes = table(
        (Match(hosts=("b", "a"), paths=("/y", "/x/")), "first"),
        (Match(hosts=("a",)), "second"),
    )
    assert list(routes) == ["first", "second"]
    assert len(routes) == 2


GET = frozenset({b"GET"})
TIES = [
    (Match(), Match(), Cell("", "/", None)),
    (Match(), path("/"), Cell("", "/", None)),
    (host("A.example"), host("b.example", "a.EXAMPLE"), Cell("a.example", "/", None)),
    (path("/a/", "/b"), path("/b"), Cell("", "/b", None)),
    (path("/a"), path("/%61"), Cell("", "/a", None)),
    (host("a.example"), host("A.example."), Cell("a.example", "/", None)),
    (
        Match(methods=frozenset({b"GET", b"PUT"})),
        Match(methods=frozenset({b"GET", b"POST"})),
        Cell("", "/", b"GET"),
    ),
]


@pytest.mark.parametrize(("first", "second", "what"), TIES)
def test_ties_are_errors(first: Match, second: Match, what: Cell) -> None:
    """cors.md 72: two routes for the same cell are a configuration error that names both and the cell."""
    with pytest.raises(RouteTie, match="two routes match the same requests") as raised:
        table((first, "one"), (second, "two"))
    assert (raised.value.first, raised.value.second) == ("one", "two")
    assert raised.value.what == what
    assert str(what) in str(raised.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (path("/a"), path("/a/")),
        (path("/a"), path("/A")),
        (host("a"), host("*.a")),
        (Match(methods=GET), Match()),
        (Match(methods=GET), Match(methods=frozenset({b"get"}))),
        (Match(hosts=("a", "A"), paths=("/x", "/x")), Match()),
    ],
)
def test_different_cells_are_not_ties(first: Match, second: Match) -> None:
    """cors.md 72: routes that differ on any level are ordered, not tied; a repeated name counts once."""
    assert find_ties([(first, "one"), (second, "two")]) == []


def test_all_ties_are_found_each_pair_once() -> None:
    """L6: every problem is reported in one run."""
    entries = [(path("/a", "/b"), "1"), (path("/b", "/a"), "2"), (path("/a"), "3")]
    assert [(tie.first, tie.second) for tie in find_ties(entries)] == [("1", "2"), ("1", "3")]


labels = st.lists(st.sampled_from(["a", "b", "aa"]), min_size=1, max_size=3).map(".".join)
host_patterns = st.one_of(labels, labels.map("*.".__add__))
segments = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=3).map("/".join)
paths = segments.map("/".__add__)
methods = st.sampled_from([None, frozenset({b"GET"}), frozenset({b"PUT", b"GET"})])
matches = st.builds(
    Match,
    st.lists(host_patterns, max_size=2).map(tuple),
    st.lists(paths, max_size=2).map(tuple),
    methods,
)


def naive(entries: Entries, host: str, path: str, method: bytes) -> str | None:
    """Rank everything that matches, literally as in rule 72."""
    found = [
        ((h == host, len(h)), (p == path and p[-1:] != "/", len(p)), m.methods is not None, route)
        for m, route in entries
        for h in m.hosts or ("",)
        for p in m.paths or ("/",)
        if not h or h == host or (h[0] == "*" and host.endswith(h[1:]) and host != h[1:])
        if p == path or (p[-1] == "/" and (path + "/").startswith(p))
        if m.methods is None or method in m.methods
    ]
    return max(found)[-1] if found else None


@settings(max_examples=150, deadline=None)
@given(st.lists(matches, max_size=8), st.lists(st.tuples(labels, paths), min_size=1, max_size=8))
def test_the_table_agrees_with_a_naive_matcher(
    given_matches: list[Match],
    requests: list[tuple[str, str]],
) -> None:
    """cors.md 19, 72: the fast look-up agrees with a plain ranking."""
    entries: Entries = []
    for number, match in enumerate(given_matches):
        if not find_ties([*entries, (match, "")]):
            entries.append((match, str(number)))
    assume(entries)
    routes = RouteTable.compile(entries)
    for host_, path_ in requests:
        for method in (b"GET", b"PUT", b"FOO"):
            expected = naive(entries, host_, path_, method)
            host, path = host_.upper().encode(), path_.encode()
            assert routes.match(host + b":80", path, method) == expected
            spelled = path.replace(b"a", b"%61").replace(b"b", b"%62")
            assert routes.match(host + b".", spelled, method) == expected


def opcodes(routes: RouteTable[str], host: bytes, path: bytes) -> int:
    """Count the instructions that one match executes: a cost that does not depend on machine load."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401 - what sys.settrace asks for
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        routes.match(host, path, b"GET")
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("sent", [b"h1.example", b"x.h1.example:80", b"elsewhere"])
def test_a_thousand_routes_cost_what_one_costs(sent: bytes) -> None:
    """cors.md 72 at scale: the work does not grow with the number of routes."""

    def routes(count: int) -> RouteTable[str]:
        return table(
            *(
                (Match((name.format(number),), (f"/api{number % 10}/",)), "r")
                for number in range(1, count + 1)
                for name in ("h{}.example", "*.h{}.example")
            ),
            (path("/api1/"), "any"),
        )

    few, many = routes(1), routes(1000)
    assert many.match(sent, b"/api1/x/y", b"GET") is not None
    assert opcodes(many, sent, b"/api1/x/y") == opcodes(few, sent, b"/api1/x/y") > 10


def test_a_hostile_host_and_path_cost_no_more_than_the_configuration() -> None:
    """Look-ups are bounded by the longest DNS name and the longest prefix, not by the request."""
    routes = table((Match(("*.example",), ("/a/b/",)), "r"))
    assert opcodes(routes, b"a." * 15_000, b"/" * 30_000) < 200
    assert opcodes(routes, b"a.example", b"/" * 30_000) < 400
    assert opcodes(routes, b"a.example", b"/%61" * 8_000) < 800
    assert opcodes(routes, b"a.example", b"%" * 30_000) < 800
