"""check_match(): the parts of matches that no request can have (cors.md 30, 71, 72)."""

import pytest

from corsproxy.policy.problems import NOWHERE
from corsproxy.policy.routing.check import KINDS, check_match
from corsproxy.policy.routing.table import Match, MatchPositions
from corsproxy.policy.source import SourcePos

BAD = [
    (Match(hosts=("http://a.example",)), "route_host_invalid", "URL"),
    (Match(hosts=("a.example:80",)), "route_host_invalid", "without the port"),
    (Match(hosts=("::1",)), "route_host_invalid", "brackets"),
    (Match(hosts=("a.*.example",)), "route_host_invalid", "leftmost label"),
    (Match(hosts=("*",)), "route_host_invalid", "leftmost label"),
    (Match(hosts=("bücher.example",)), "route_host_invalid", "xn--"),
    (Match(hosts=("a..example",)), "route_host_invalid", "not a valid host name"),
    (Match(hosts=("",)), "route_host_invalid", "not a valid host name"),
    (Match(hosts=("a" * 64,)), "route_host_invalid", "not a valid host name"),
    (Match(paths=("api/",)), "route_path_invalid", "start with /"),
    (Match(paths=("/api?x",)), "route_path_invalid", "query"),
    (Match(paths=("/api/*",)), "route_path_invalid", "ending in /"),
    (Match(paths=("/a b",)), "route_path_invalid", "percent-encoded"),
    (Match(paths=("/ä",)), "route_path_invalid", "percent-encoded"),
    (Match(paths=("/a/../b",)), "route_path_ambiguous", "dot segment"),
    (Match(paths=("/%2E%2e/",)), "route_path_ambiguous", "dot segment"),
    (Match(methods=frozenset({b"GET "})), "route_method_invalid", "not a valid method"),
    (Match(methods=frozenset({b"TRACE"})), "route_method_never", "405"),
    (Match(methods=frozenset({b"CONNECT"})), "route_method_never", "405"),
    (Match(methods=frozenset({b"patch"})), "route_method_case", "did you mean PATCH?"),
    (Match(methods=frozenset()), "route_methods_empty", "remove the key"),
]


@pytest.mark.parametrize(("match", "slug", "says"), BAD)
def test_a_value_that_no_request_has_is_reported(match: Match, slug: str, says: str) -> None:
    """cors.md 30, 71: a value that can never match is reported with the fix."""
    (problem,) = check_match(match)
    assert problem.slug == slug
    assert says in str(problem)


def test_problems_have_the_position_of_their_item() -> None:
    """L6: file:line:column of the host, path or method that was written."""
    host, path, method, none = (SourcePos("config.yaml", line, 7) for line in range(4))
    match = Match(
        hosts=("a:80",),
        paths=("/a/../b", "x"),
        methods=frozenset({b"TRACE"}),
        positions=MatchPositions({"a:80": host}, {"x": path}, {b"TRACE": method}, none),
    )
    found = [(problem.slug, problem.pos) for problem in check_match(match)]
    assert found == [
        ("route_host_invalid", host),
        ("route_path_ambiguous", NOWHERE),
        ("route_path_invalid", path),
        ("route_method_never", method),
    ]
    empty = match._replace(hosts=(), paths=(), methods=frozenset())
    assert [problem.pos for problem in check_match(empty)] == [none]


def test_a_route_that_forwards_ambiguous_paths_can_match_them() -> None:
    """forwarding.md H1: only a route that rejects such paths is never reached by them."""
    assert list(check_match(Match(paths=("/a/../b",)), rejects_ambiguous=False)) == []


def test_every_slug_has_a_case() -> None:
    """The table contains no kind that is never found."""
    assert {slug for _, slug, _ in BAD} == set(KINDS)


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(
            ("api.example.com", "*.example.com", "localhost", "127.0.0.1", "[::1]", "a_b", "A.B.")
        ),
        Match(
            paths=("/", "/api/", "/a%2Fb/", "/a//b", "/x;y=1/", "/.well-known/", "/a...b", "/@a:b")
        ),
        Match(methods=frozenset({b"GET", b"PURGE", b"OPTIONS", b"foo"})),
    ],
)
def test_values_that_requests_can_have_are_accepted(match: Match) -> None:
    """cors.md 71: nothing that can be sent is reported as unreachable."""
    assert list(check_match(match)) == []


def test_a_general_route_is_not_hidden_by_more_specific_ones() -> None:
    """cors.md 72: because of fall-through, every route matches something."""
    entries = [Match(("a",), ("/x",), frozenset({b"GET"})), Match(("a",)), Match()]
    assert [problem for match in entries for problem in check_match(match)] == []
