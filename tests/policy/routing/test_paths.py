"""Ambiguous paths and prefix changes (forwarding.md H1, H2; cors.md 58, 71). Pure, no loop."""

import re
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.routing.paths import (
    KINDS,
    PathMapping,
    PathSpec,
    as_compared,
    check_path,
    compile_path,
    is_ambiguous,
)
from corsproxy.policy.routing.table import Match, RouteTable, RouteTie
from corsproxy.policy.source import SourcePos, SourceText

PLACE = SourcePos("config.yaml", 3, 5)

AMBIGUOUS = [
    b"/..",
    b"/.",
    b"/../",
    b"/a/./b",
    b"/a/../b",
    b"/a/..",
    b"/%2e%2e/b",
    b"/%2E./b",
    b"/.%2e",
    b"/a/%2e",
    b"/a\\..\\b",
    b"/a/..%2Fb",
    b"/a%2f..",
    b"/a%5C../b",
    b"/a/..%5cb",
    b"/..;x=1/b",
    b"/a/.;/b",
    b"/%2e%2e;a",
    b"/..%3bx/b",
    b"/a/%2e%3B",
    b"/a%2F.%3b%2Fb",
    b"//../a",
    b"/a/b%00",
    b"/%00",
    b"..",
]
PLAIN = [
    b"/",
    b"/a/b",
    b"/a%2Fb//c",
    b"/a.b/c..d/...",
    b"/.well-known/x",
    b"/..a",
    b"/a..",
    b"/...",
    b"/%2e%2e%2e",
    b"/.a;..",
    b"/a%3b../b",
    b"/..a%3b",
    b"/a;/b",
    b"/a\\b",
    b"/%2Fx%5Cy",
    b"/%252e%252e/",
    b"/%0A",
    b"/%ff",
    b"/jquery-3.6.0.min.js",
    b"/group%2Fproject/-/x",
    b"/+",
]


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_dot_segments_and_nul_are_ambiguous(path: bytes) -> None:
    """forwarding.md H1: `.` or `..` in any spelling, before a `;` too, and %00."""
    assert is_ambiguous(path)


@pytest.mark.parametrize("path", PLAIN)
def test_other_paths_are_not(path: bytes) -> None:
    """forwarding.md H1: `%2F`, `//` and dots inside names pass."""
    assert not is_ambiguous(path)


pieces = st.sampled_from(
    [
        b"/",
        b"\\",
        b"%2F",
        b"%2f",
        b"%5C",
        b".",
        b"..",
        b"%2e",
        b"%2E",
        b";",
        b"%3b",
        b"%3B",
        b"a",
        b"%00",
        b"%",
    ],
)


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=8).map(b"".join))
def test_ambiguity_agrees_with_the_rule_as_it_is_worded(path: bytes) -> None:
    r"""forwarding.md H1: split at `/ \ %2F %5C`, look at each segment up to its `;` or `%3b`."""
    segments = re.split(rb"(?i)[/\\]|%2f|%5c", path)
    dots = [re.split(rb"(?i);|%3b", one)[0].lower().replace(b"%2e", b".") for one in segments]
    assert is_ambiguous(path) == (b"." in dots or b".." in dots or b"%00" in path)


@pytest.mark.parametrize("piece", [b"%2e", b"%61", b"/.", b".", b"%", b"/.%2e", b"%2f%2e%2ea"])
def test_hostile_paths_cost_linear_time(piece: bytes) -> None:
    """cors.md 13 applied to paths: a megabyte costs a bounded search per byte."""
    path = b"/a" + piece * (1_000_000 // len(piece)) + b"a"
    began = process_time()
    is_ambiguous(path)
    as_compared(path)
    assert process_time() - began < 2


MAPPINGS = [
    (b"", b"", b"/a?b", b"/a?b", b"/a?b"),
    (b"/api", b"", b"/api/x", b"/x", b"/api/x"),
    (b"/api", b"", b"/api", b"/", b"/api/"),
    (b"/api", b"", b"/api/", b"/", b"/api/"),
    (b"/api", b"", b"/api?q=/api", b"/?q=/api", b"/api/?q=/api"),
    (b"/api", b"", b"/api//evil.example/x", b"//evil.example/x", b"/api//evil.example/x"),
    (b"/api", b"", b"/api/a%2Fb/%2e?x=%2b+", b"/a%2Fb/%2e?x=%2b+", b"/api/a%2Fb/%2e?x=%2b+"),
    (b"/api", b"", b"/api%2Fx", b"/api%2Fx", b"/api/api%2Fx"),
    (b"/api", b"", b"/%61pi/x%2E?q=%61", b"/x%2E?q=%61", b"/api/x%2E?q=%61"),
    (b"/api", b"", b"/ap%69", b"/", b"/api/"),
    (b"/api", b"", b"/ap%69?/%61pi", b"/?/%61pi", b"/api/?/%61pi"),
    (b"/api", b"", b"/%61pi%2Dx", b"/%61pi%2Dx", b"/api/%61pi%2Dx"),
    (b"/%61pi", b"", b"/api/x", b"/x", b"/%61pi/x"),
    (b"/~me", b"", b"/%7Eme/x", b"/x", b"/~me/x"),
    (b"/api", b"/v1", b"/api/x", b"/v1/x", b"/api/x"),
    (b"/api", b"/v1", b"/api", b"/v1", b"/api"),
    (b"/api", b"/v1", b"/api?q", b"/v1?q", b"/api?q"),
    (b"/api", b"/v1", b"/apix", b"/v1/apix", b"/api/apix"),
    (b"", b"/v1", b"/x", b"/v1/x", b"/x"),
    (b"", b"/v1", b"/", b"/v1/", b"/"),
]


@pytest.mark.parametrize(("strip", "add", "target", "upstream", "public"), MAPPINGS)
def test_prefixes_change_by_whole_segments(
    strip: bytes,
    add: bytes,
    target: bytes,
    upstream: bytes,
    public: bytes,
) -> None:
    """forwarding.md H1, cors.md 58: only the prefix changes, and it is restored on the way back."""
    mapping = PathMapping(strip, add)
    assert mapping.to_upstream(target) == upstream
    assert mapping.to_public(upstream) == public


@pytest.mark.parametrize("target", [b"/v2/x", b"/v1x", b"/", b"/login?next=/v1/"])
def test_what_is_not_below_the_added_prefix_keeps_its_path(target: bytes) -> None:
    """cors.md 58: such a path has no public path on this route."""
    assert PathMapping(b"/api", b"/v1").to_public(target) == target


prefixes = st.sampled_from([b"", b"/a", b"/a/b", b"/v%2F1"])
targets = st.text("ab/.%2?;", max_size=12).map(lambda text: b"/" + text.encode())


@settings(max_examples=200, deadline=None)
@given(prefixes, prefixes, targets)
def test_mapping_there_and_back_returns_the_same_path(
    strip: bytes, add: bytes, rest: bytes
) -> None:
    """cors.md 58: a public path mapped to the upstream maps back to itself."""
    mapping = PathMapping(strip, add)
    sent = mapping.to_upstream(strip + rest)
    assert sent == add + rest
    assert mapping.to_public(sent) == strip + rest


def naive(path: bytes) -> bytes:
    """Decode unreserved characters and write other escapes in upper case, byte by byte (RFC 3986)."""
    made, at = b"", 0
    while at < len(path):
        piece = path[at : at + 3]
        if re.fullmatch(rb"%[0-9A-Fa-f]{2}", piece):
            char = bytes([int(piece[1:], 16)])
            made += char if re.fullmatch(rb"[A-Za-z0-9._~-]", char) else piece.upper()
            at += 3
        else:
            made += piece[:1]
            at += 1
    return made


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.binary(max_size=2)
        | st.binary(min_size=1, max_size=1).map(lambda byte: b"%%%02X" % byte[0])
        | pieces
    ).map(b"".join)
)
def test_71_comparison_agrees_with_a_naive_decoder(path: bytes) -> None:
    """cors.md 71, forwarding.md H1: unreserved characters decoded, once, escapes in upper case."""
    assert as_compared(path) == naive(path)
    assert as_compared(path.replace(b"%", b"")) == path.replace(b"%", b"")


def test_71_comparison_agrees_for_every_spelling_of_every_byte() -> None:
    """cors.md 71: 256 bytes, hex digits in each case."""
    for byte in range(256):
        for spelled in (b"%%%02x" % byte, b"%%%02X" % byte, b"%%%x%X" % divmod(byte, 16)):
            assert as_compared(b"/a" + spelled + b"b") == naive(b"/a" + spelled + b"b")


@st.composite
def spelled_otherwise(draw: st.DrawFn, path: bytes) -> bytes:
    """Percent-encode some unreserved characters of `path`."""
    chosen = draw(st.lists(st.booleans(), min_size=len(path), max_size=len(path)))
    return b"".join(
        b"%%%02x" % byte if encode and byte not in b"/?#%" else bytes([byte])
        for byte, encode in zip(path, chosen, strict=True)
    ).replace(b"%2F", draw(st.sampled_from([b"%2F", b"%2f"])))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_prefix_that_matched_is_stripped_in_every_spelling(data: st.DataObject) -> None:
    """H1, cors.md 71: what matches the route below its prefix loses that prefix; the rest stays."""
    strip = data.draw(st.sampled_from([b"/api", b"/a/b", b"/v%2F1", b"/x-y"]))
    rest = data.draw(
        st.sampled_from([b"", b"/", b"/x%2E%61?q=%61", b"?%2f", b"x", b"%2Fx", b"%61"])
    )
    spelled = data.draw(spelled_otherwise(strip))
    target = spelled + rest
    routes = RouteTable.compile([(Match(paths=(strip.decode() + "/",)), "api")])
    matches = routes.match(b"h", target.partition(b"?")[0], b"GET") == "api"
    assert matches == (rest[:1] in {b"", b"/", b"?"})
    mapping = PathMapping(strip, b"/v1")
    assert mapping.to_upstream(target) == b"/v1" + (rest if matches else target)
    assert mapping.stripped(target) == (strip if matches else b"")


@pytest.mark.parametrize("path", ["/p%3Aq", "/p%3aq", "/a/p%3Aq/", "/x%e4%B8%ad"])
def test_71_the_case_of_hex_digits_does_not_distinguish_routes(path: str) -> None:
    """cors.md 71, H1: `%2f` and `%2F` are equal (RFC 3986 6.2.2.1), so a stricter route matches both."""
    table = RouteTable.compile([(Match(paths=(path,)), "strict"), (Match(), "broad")])
    digits = re.compile(rb"%[0-9A-Fa-f]{2}")
    for spelled in (
        digits.sub(lambda found: found[0].lower(), path.encode()),
        digits.sub(lambda found: found[0].upper(), path.encode()),
        digits.sub(lambda found: found[0].swapcase(), path.encode()),
    ):
        assert table.match(b"h", spelled, b"GET") == "strict"
        # What goes upstream stays as it was sent.
        assert PathMapping(b"", b"/v1").to_upstream(spelled) == b"/v1" + spelled
    assert table.match(b"h", path.encode().upper(), b"GET") == "broad"


def test_72_routes_that_differ_in_hex_digits_only_are_a_tie() -> None:
    """cors.md 72: neither of the two is more specific."""
    with pytest.raises(RouteTie):
        RouteTable.compile([(Match(paths=("/a%2Fb",)), 1), (Match(paths=("/a%2fb",)), 2)])


def item(text: str) -> SourceText:
    """Return a prefix with a position."""
    return SourceText(text, PLACE)


BAD = [
    (PathSpec(strip_prefix=item("api")), (), "path_prefix_invalid", "start with /"),
    (PathSpec(add_prefix=item("/a?b")), (), "path_prefix_invalid", "query"),
    (PathSpec(add_prefix=item("/a#b")), (), "path_prefix_invalid", "fragment"),
    (PathSpec(add_prefix=item("/a b")), (), "path_prefix_invalid", "percent-encoded"),
    (PathSpec(add_prefix=item("/ä")), (), "path_prefix_invalid", "percent-encoded"),
    (PathSpec(add_prefix=item("/a%zz")), (), "path_prefix_invalid", "percent-encoded"),
    (PathSpec(add_prefix=item("/a\r\n")), (), "path_prefix_invalid", r"/a\r\n"),
    (PathSpec(add_prefix=item("/../a")), (), "path_prefix_invalid", "dot segment"),
    (PathSpec(None, item("/v1"), item("/v2")), ("/a/",), "path_prefix_twice", "/v2"),
    (PathSpec(replace_prefix=item("/v1")), (), "path_replace_unclear", "any path"),
    (PathSpec(replace_prefix=item("/v1")), ("/a/", "/b/"), "path_replace_unclear", "/a/, /b/"),
    (PathSpec(replace_prefix=item("/v1")), ("/a",), "path_replace_unclear", "ends in /"),
    (PathSpec(strip_prefix=item("/x")), ("/a/", "/xy/"), "path_strip_never", "/a/, /xy/"),
    (PathSpec(strip_prefix=item("/a/b")), ("/a",), "path_strip_never", "/a/b"),
]


@pytest.mark.parametrize(("spec", "paths", "slug", "says"), BAD)
def test_invalid_prefixes_are_reported(
    spec: PathSpec,
    paths: tuple[str, ...],
    slug: str,
    says: str,
) -> None:
    """L6: what is wrong with which value, where, and what to write instead."""
    (problem,) = check_path(spec, paths)
    assert problem.slug == slug
    assert says in str(problem)
    assert str(problem).startswith("config.yaml:3:5: ")
    if problem.severity == "error":
        with pytest.raises(ValueError, match=re.escape(problem.message)):
            compile_path(spec, paths)


def test_every_slug_has_a_case() -> None:
    """The table contains no kind that is never found."""
    assert {slug for _, _, slug, _ in BAD} == set(KINDS)


@pytest.mark.parametrize(
    ("spec", "paths", "mapping"),
    [
        (PathSpec(), (), PathMapping()),
        (PathSpec(item("/api/"), item("/v1/")), ("/api/",), PathMapping(b"/api", b"/v1")),
        (PathSpec(item("/api")), (), PathMapping(b"/api")),
        (PathSpec(item("/api")), ("/api/v1/", "/x"), PathMapping(b"/api")),
        (PathSpec(item("/api/v1")), ("/api/",), PathMapping(b"/api/v1")),
        (PathSpec(item("/api")), ("/api",), PathMapping(b"/api")),
        (PathSpec(item("/%61pi")), ("/api/",), PathMapping(b"/%61pi")),
        (PathSpec(item("/api")), ("/%61pi/",), PathMapping(b"/api")),
        (PathSpec(item("/e%2fx")), ("/e%2Fx/",), PathMapping(b"/e%2fx")),
        (PathSpec(item("/")), ("/x",), PathMapping()),
        (PathSpec(replace_prefix=item("/v1")), ("/api/",), PathMapping(b"/api", b"/v1")),
        (PathSpec(replace_prefix=item("/")), ("/api/",), PathMapping(b"/api")),
    ],
)
def test_prefixes_compile(spec: PathSpec, paths: tuple[str, ...], mapping: PathMapping) -> None:
    """L18 `path`: strip_prefix and add_prefix, or replace_prefix for the matched prefix."""
    assert check_path(spec, paths) == []
    assert compile_path(spec, paths) == mapping
