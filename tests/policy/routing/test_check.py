"""check_match(): the parts of matches that no request can have (cors.md 30, 71, 72)."""

import pytest

from corsproxy.policy.routing.check import WORDS, check_match
from corsproxy.policy.routing.table import Match

BAD = [
    (Match(hosts=("http://a.example",)), "route_host_invalid", "URL"),
    (Match(hosts=("a.example:80",)), "route_host_invalid", "without port"),
    (Match(hosts=("::1",)), "route_host_invalid", "brackets"),
    (Match(hosts=("a.*.example",)), "route_host_invalid", "in front"),
    (Match(hosts=("*",)), "route_host_invalid", "in front"),
    (Match(hosts=("bücher.example",)), "route_host_invalid", "xn--"),
    (Match(hosts=("a..example",)), "route_host_invalid", "no host name"),
    (Match(hosts=("",)), "route_host_invalid", "no host name"),
    (Match(hosts=("a" * 64,)), "route_host_invalid", "no host name"),
    (Match(paths=("api/",)), "route_path_invalid", "begin with /"),
    (Match(paths=("/api?x",)), "route_path_invalid", "query"),
    (Match(paths=("/api/*",)), "route_path_invalid", "ending in /"),
    (Match(paths=("/a b",)), "route_path_invalid", "percent-encoded"),
    (Match(paths=("/ä",)), "route_path_invalid", "percent-encoded"),
    (Match(paths=("/a/../b",)), "route_path_ambiguous", "dot segment"),
    (Match(paths=("/%2E%2e/",)), "route_path_ambiguous", "dot segment"),
    (Match(methods=frozenset({b"GET "})), "route_method_invalid", "no method"),
    (Match(methods=frozenset({b"TRACE"})), "route_method_never", "405"),
    (Match(methods=frozenset({b"CONNECT"})), "route_method_never", "405"),
    (Match(methods=frozenset({b"patch"})), "route_method_case", "did you mean PATCH?"),
    (Match(methods=frozenset()), "route_methods_empty", "leave methods out"),
]


@pytest.mark.parametrize(("match", "slug", "says"), BAD)
def test_what_no_request_has_is_found(match: Match, slug: str, says: str) -> None:
    """cors.md 30, 71: a match that can never fit is reported with its value and cure."""
    (finding,) = check_match(match)
    assert finding.slug == slug
    assert says in str(finding)


def test_every_slug_has_a_case() -> None:
    """The table of words holds nothing that is never said."""
    assert {slug for _, slug, _ in BAD} == set(WORDS)


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
def test_what_requests_can_have_passes(match: Match) -> None:
    """cors.md 71: nothing that can be sent is called unreachable."""
    assert list(check_match(match)) == []


def test_a_general_route_is_not_hidden_by_more_specific_ones() -> None:
    """cors.md 72: fall-through leaves every route something."""
    entries = [Match(("a",), ("/x",), frozenset({b"GET"})), Match(("a",)), Match()]
    assert [finding for match in entries for finding in check_match(match)] == []
