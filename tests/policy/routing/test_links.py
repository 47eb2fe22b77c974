"""Location, Content-Location and Refresh mapped back to public names (cors.md 58). Pure, no loop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.routing.links import (
    BaseUrl,
    Links,
    check_public_url,
    compile_public_url,
    rewrite_field,
    rewrite_link,
    rewrite_refresh,
)
from corsproxy.policy.routing.paths import PathMapping
from corsproxy.policy.source import SourcePos, SourceText

PUBLIC = BaseUrl(b"https", b"api.example.com")
UP = BaseUrl(b"http", b"legacy.internal:9000")
PLAIN = Links((UP, BaseUrl(b"http", b"legacy")), PUBLIC)
STRIP = PLAIN._replace(mapping=PathMapping(b"/api"))
BOTH = PLAIN._replace(mapping=PathMapping(b"/api", b"/v1"))
ADD = PLAIN._replace(mapping=PathMapping(b"", b"/v1"))

MAPPED = [
    # The upstream's origin, in the spellings that mean it.
    (PLAIN, b"http://legacy.internal:9000/x?y#z", b"https://api.example.com/x?y#z"),
    (PLAIN, b"HTTP://Legacy.INTERNAL:9000/x", b"https://api.example.com/x"),
    (PLAIN, b"http://legacy.internal:09000/x", b"https://api.example.com/x"),
    (PLAIN, b"http://legacy.internal:9000", b"https://api.example.com"),
    (PLAIN, b"http://legacy.internal:9000?x", b"https://api.example.com?x"),
    (PLAIN, b"http://legacy/x", b"https://api.example.com/x"),
    (PLAIN, b"http://legacy:80/x", b"https://api.example.com/x"),
    (PLAIN, b"http://legacy:/x", b"https://api.example.com/x"),
    (PLAIN, b"//legacy/x", b"https://api.example.com/x"),
    (PLAIN, b"http://user:pw@legacy/x", b"https://user:pw@api.example.com/x"),
    (PLAIN, b"http://legacy/\x85\xff%0a", b"https://api.example.com/\x85\xff%0a"),
    (PLAIN, b"http://legacy/a@b:c\\d", b"https://api.example.com/a@b:c\\d"),
    # A fragment ends an authority as a path does, whatever it contains.
    (PLAIN, b"http://legacy#f", b"https://api.example.com#f"),
    (PLAIN, b"//legacy#f", b"https://api.example.com#f"),
    (PLAIN, b"http://legacy:80#f", b"https://api.example.com#f"),
    (PLAIN, b"http://legacy#@evil.example/", b"https://api.example.com#@evil.example/"),
    (PLAIN, b"http://legacy?@evil.example/", b"https://api.example.com?@evil.example/"),
    (PLAIN, b"http://user@legacy#f", b"https://user@api.example.com#f"),
    # The prefix is restored, with and without an origin.
    (STRIP, b"http://legacy/x", b"https://api.example.com/api/x"),
    (STRIP, b"http://legacy", b"https://api.example.com/api/"),
    (STRIP, b"http://legacy?q", b"https://api.example.com/api/?q"),
    (STRIP, b"http://legacy#f", b"https://api.example.com/api/#f"),
    (STRIP, b"/x?y", b"/api/x?y"),
    (STRIP, b"/x#f?y", b"/api/x#f?y"),
    (STRIP, b"/#f", b"/api/#f"),
    (STRIP, b"/", b"/api/"),
    (BOTH, b"http://legacy/v1/x", b"https://api.example.com/api/x"),
    (BOTH, b"/v1", b"/api"),
    (BOTH, b"/v1/", b"/api/"),
    (BOTH, b"/v1?q", b"/api?q"),
    (BOTH, b"/v1#f", b"/api#f"),
    (BOTH, b"/v1#/../x", b"/api#/../x"),
    (BOTH, b"/%761#f", b"/api#f"),
    (BOTH, b"/%761?q", b"/api?q"),
    (BOTH, b"http://legacy/v1#f", b"https://api.example.com/api#f"),
    (BOTH, b"http://legacy#f", b"https://api.example.com/#f"),
    (BOTH, b"/v1x#/v1", b"/v1x#/v1"),
    (ADD, b"/v1#f", b"/#f"),
    (ADD, b"/v1/x", b"/x"),
    (ADD, b"/v1", b"/"),
    # Not below the added prefix: the origin is public, the path has no other name.
    (BOTH, b"http://legacy/login", b"https://api.example.com/login"),
    # To take the prefix off must not make a host of a segment.
    (ADD, b"/v1//evil.example/x", b"https://api.example.com//evil.example/x"),
    (ADD, b"/v1/\\evil.example/x", b"https://api.example.com/\\evil.example/x"),
]

UNTOUCHED = [
    # Foreign origins: another host, port or scheme; a name that only looks like it.
    b"https://app.example.com/x",
    b"https://legacy/x",
    b"http://legacy:8080/x",
    b"http://legacy.internal/x",
    b"http://legacy./x",
    b"http://legacy.evil.example/x",
    b"http://legacy@evil.example/x",
    b"http://legacy:80@evil.example/x",
    b"http://a@b@legacy/x",
    b"http://legacy\\@evil.example/x",
    b"http://legacy\\.evil.example/x",
    b"http://evil.example\\@legacy/x",
    b"http://evil.example#@legacy/x",
    b"http://evil.example?@legacy/x",
    b"http://evil.example/@legacy/x",
    b"http://legacy.evil.example#legacy",
    b"//evil.example#@legacy/x",
    b"//evil.example/x",
    b"//legacy:9001/x",
    b"ftp://legacy/x",
    b"http://[::1/x",
    b"http://legacy:port/x",
    b"http://:80/x",
    b"http:///x",
    # What clients read in more than one way.
    b"/\\evil.example",
    b"\\\\legacy/x",
    b"/\t/evil.example",
    b"http:/legacy/x",
    b"http:legacy/x",
    b" http://legacy/x",
    b"http://leg acy/x",
    # Relative to the public URL.
    b"x",
    b"./x",
    b"../x",
    b"?q",
    b"#f",
    b"#/x",
    b"#http://legacy/x",
    b"x#//legacy/x",
    b"",
    b"mailto:a@legacy",
    b"api/x",
]


@pytest.mark.parametrize(("links", "value", "expected"), MAPPED)
def test_links_to_the_upstream_get_public_names(
    links: Links, value: bytes, expected: bytes
) -> None:
    """cors.md 58: public origin, prefix restored; default ports, case and userinfo are handled."""
    assert rewrite_link(value, links) == expected


@pytest.mark.parametrize("value", UNTOUCHED)
def test_all_other_links_are_untouched(value: bytes) -> None:
    """cors.md 58: links to other hosts are unchanged, and so are relative ones."""
    assert rewrite_link(value, STRIP) == value


def test_path_absolute_links_stay_if_no_prefix_changes() -> None:
    """cors.md 58: without a prefix change "/x" is public already."""
    assert rewrite_link(b"/x", PLAIN) == b"/x"


@pytest.mark.parametrize(
    ("site", "value"),
    [
        (BaseUrl(b"http", b"[::1]:9000"), b"http://[::1]:9000/x"),
        (BaseUrl(b"http", b"[2001:DB8::1]"), b"http://[2001:db8::1]:80/x"),
        (BaseUrl(b"https", b"legacy:443"), b"https://legacy/x"),
        (BaseUrl(b"https", b"legacy"), b"//legacy:443/x"),
    ],
)
def test_addresses_and_default_ports_compare_as_origins(site: BaseUrl, value: bytes) -> None:
    """cors.md 58: an origin is scheme, host and port, however they are spelled."""
    assert rewrite_link(value, Links((site,), PUBLIC)) == b"https://api.example.com/x"


REFRESHES = [
    (b"5; url=http://legacy/x", b"5; url=https://api.example.com/api/x"),
    (b"0;URL='/x'", b"0;URL='/api/x'"),
    (b'0, url = "/x" ; more', b'0, url = "/api/x" ; more'),
    (b"0; url='/x", b"0; url='/api/x"),
    (b" 1.5 url=/x ", b" 1.5 url=/api/x "),
    (b"0; /x", b"0; /api/x"),
    (b"0; http://legacy/", b"0; https://api.example.com/api/"),
    (b"5", b"5"),
    (b"5;", b"5;"),
    (b"0; url=https://evil.example/", b"0; url=https://evil.example/"),
    (b"x; url=/x", b"x; url=/x"),
    (b"5url=/x", b"5url=/x"),
    (b"", b""),
    (b"0; url=?q", b"0; url=?q"),
    (b"0; url=#f", b"0; url=#f"),
    (b"0; url=/x#f", b"0; url=/api/x#f"),
    (b"0; url='http://legacy#f'", b"0; url='https://api.example.com/api/#f'"),
    (b"0; url=http://evil.example#@legacy/", b"0; url=http://evil.example#@legacy/"),
]


@pytest.mark.parametrize(("value", "expected"), REFRESHES)
def test_refresh_maps_its_url_alone(value: bytes, expected: bytes) -> None:
    """cors.md 58: Refresh too; delay, quotes and what follows them stay byte for byte."""
    assert rewrite_refresh(value, STRIP) == expected


def test_each_field_is_parsed_by_its_own_grammar() -> None:
    """cors.md 58: Location and Content-Location contain a link, Refresh a delay and a link."""
    assert rewrite_field(b"Location", b"/x", STRIP) == b"/api/x"
    assert rewrite_field(b"content-location", b"/x", STRIP) == b"/api/x"
    assert rewrite_field(b"REFRESH", b"0;url=/x", STRIP) == b"0;url=/api/x"
    assert rewrite_field(b"Refresh", b"/x", STRIP) == b"/x"


@settings(max_examples=200, deadline=None)
@given(st.text("ahtp:/\\@legcy.evil0?#[] \t%", max_size=30))
def test_a_link_to_elsewhere_never_changes(text: str) -> None:
    """cors.md 58: unless the upstream is named, or a path, no byte changes."""
    value = text.encode()
    rewritten = rewrite_link(value, PLAIN)
    if b"legacy" not in value:
        assert rewritten == value
    assert rewritten == value or rewritten.startswith(b"https://")


@settings(max_examples=200, deadline=None)
@given(st.text("/\\v1aevil.?#:@", max_size=12), st.sampled_from([STRIP, BOTH, ADD]))
def test_a_path_never_becomes_another_host(text: str, links: Links) -> None:
    """forwarding.md H2 on the way back: a path of the upstream stays at the public origin."""
    value = ("/" + text).encode()
    rewritten = rewrite_link(value, links)
    if value[1:2] not in {b"/", b"\\"}:
        assert rewritten.startswith(b"https://api.example.com/") or (
            rewritten.startswith(b"/") and rewritten[1:2] not in {b"/", b"\\"}
        )


@pytest.mark.parametrize(
    "value", [b"0" + b" " * 60_000 + b"x", b"0;" + b"url " * 15_000, b"'" * 60_000]
)
def test_a_hostile_refresh_costs_linear_time(value: bytes) -> None:
    """The pattern is possessive: this returns at once, or practically never."""
    assert rewrite_refresh(value, STRIP) == value


PLACE = SourcePos("config.yaml", 2, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("api.example.com", "http:// or https://"),
        ("ftp://api.example.com", "http:// or https://"),
        ("HTTPS://api.example.com", "http:// or https://"),
        ("https://api.example.com/v1", "path"),
        ("https://api.example.com?x", "path"),
        ("https://api.example.com#x", "path"),
        ("https://a@api.example.com", "user name"),
        ("https://api.example.com:x", "65535"),
        ("https://api.example.com:0", "65535"),
        ("https://api.example.com:65536", "65535"),
        ("https://API.example.com", "lower-case"),
        ("https://", "not a valid lower-case name"),
        ("https://a b", "not a valid lower-case name"),
    ],
)
def test_an_invalid_public_url_is_reported(text: str, says: str) -> None:
    """L18 `public_url`: the origin that clients use."""
    (finding,) = check_public_url(SourceText(text, PLACE))
    assert finding.slug == "public_url_invalid"
    assert str(finding).startswith("config.yaml:2:3: error: ")
    assert says in str(finding)
    with pytest.raises(ValueError, match="is not a valid public URL"):
        compile_public_url(SourceText(text, PLACE))


@pytest.mark.parametrize(
    ("text", "site"),
    [
        ("https://api.example.com", PUBLIC),
        ("https://api.example.com/", PUBLIC),
        ("http://localhost:8080", BaseUrl(b"http", b"localhost:8080")),
        ("http://[::1]:8080", BaseUrl(b"http", b"[::1]:8080")),
        ("http://[::1]", BaseUrl(b"http", b"[::1]")),
    ],
)
def test_a_public_url_compiles(text: str, site: BaseUrl) -> None:
    """L18 `public_url`."""
    assert check_public_url(SourceText(text)) == []
    assert compile_public_url(SourceText(text)) == site
