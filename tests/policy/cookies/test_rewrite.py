"""Set-Cookie rewritten line by line (cors.md 60, RFC 6265bis). Pure, no loop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.cookies.rewrite import Rewritten, compile_cookies, rewrite_cookie
from corsproxy.policy.cookies.spec import CookieSpec

EVERYTHING = CookieSpec(
    domain="remove",
    path=(("/app", "/api"),),
    secure=True,
    http_only=True,
    same_site="none",
    partitioned=True,
)


def rewritten(spec: CookieSpec, value: bytes) -> Rewritten:
    """Rewrite one line under one rule."""
    return rewrite_cookie(compile_cookies([spec]), value)


# The Set-Cookie lines of RFC 6265bis 3.1 and 4.1, and what becomes of them under EVERYTHING.
EXAMPLES = [
    (
        b"SID=31d4d96e407aad42",
        b"SID=31d4d96e407aad42; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    (
        b"SID=31d4d96e407aad42; Path=/; Domain=site.example",
        b"SID=31d4d96e407aad42; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    (
        b"SID=31d4d96e407aad42; Path=/; Secure; HttpOnly",
        b"SID=31d4d96e407aad42; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    (
        b"lang=en-US; Path=/; Domain=site.example",
        b"lang=en-US; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    (
        b"lang=en-US; Expires=Wed, 09 Jun 2021 10:18:14 GMT",
        (
            b"lang=en-US; Expires=Wed, 09 Jun 2021 10:18:14 GMT"
            b"; Secure; HttpOnly; SameSite=None; Partitioned"
        ),
    ),
    (
        b"lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
        (
            b"lang=; Expires=Sun, 06 Nov 1994 08:49:37 GMT"
            b"; Secure; HttpOnly; SameSite=None; Partitioned"
        ),
    ),
    (
        b"__Secure-SID=12345; Secure; Domain=site.example",
        b"__Secure-SID=12345; Secure; HttpOnly; SameSite=None; Partitioned",
    ),
    (
        b"__Host-SID=12345; Secure; Path=/",
        b"__Host-SID=12345; Secure; Path=/; HttpOnly; SameSite=None; Partitioned",
    ),
]


@pytest.mark.parametrize(("value", "expected"), EXAMPLES)
def test_the_examples_of_the_rfc(value: bytes, expected: bytes) -> None:
    """cors.md 60: only what the rule names changes; everything else keeps its bytes and order."""
    assert rewritten(EVERYTHING, value) == Rewritten(expected)


CASES = [
    # Values byte for byte, in whatever form servers send them.
    (CookieSpec(secure=True), b'a="x, y=z"', b'a="x, y=z"; Secure'),
    (CookieSpec(secure=True), b"a=\x85\xff==", b"a=\x85\xff==; Secure"),
    (CookieSpec(secure=True), b"novalue", b"novalue; Secure"),
    (CookieSpec(secure=True), b"=x", b"=x; Secure"),
    (CookieSpec(secure=True), b"", b"; Secure"),
    (CookieSpec(secure=True), b" a = b ;", b" a = b ; Secure"),
    (CookieSpec(secure=True), b"a=b;; Foo=1;Bar ; ", b"a=b;; Foo=1;Bar ; Secure"),
    # Flags.
    (CookieSpec(secure=True), b"a=b;secure;X", b"a=b;secure;X"),
    (CookieSpec(secure=False), b"a=b; SECURE; X; Secure=1", b"a=b; X"),
    (CookieSpec(secure=False), b"secure=b; X", b"secure=b; X"),
    (CookieSpec(http_only=True), b"a=b; Path=/", b"a=b; Path=/; HttpOnly"),
    (CookieSpec(http_only=False), b"a=b; httponly; Path=/", b"a=b; Path=/"),
    (CookieSpec(partitioned=True), b"a=b", b"a=b; Secure; Partitioned"),
    (CookieSpec(partitioned=False), b"a=b; Partitioned; Secure", b"a=b; Secure"),
    # SameSite.
    (CookieSpec(same_site="none"), b"a=b; SameSite=Lax; X", b"a=b; SameSite=None; X; Secure"),
    (CookieSpec(same_site="lax"), b"a=b;samesite=none", b"a=b; SameSite=Lax"),
    (CookieSpec(same_site="strict"), b"a=b", b"a=b; SameSite=Strict"),
    (CookieSpec(same_site="lax"), b"a=b;SameSite=Lax", b"a=b;SameSite=Lax"),
    (
        CookieSpec(same_site="lax"),
        b"a=b; SameSite=Lax; X; SameSite=None",
        b"a=b; SameSite=Lax; X",
    ),
    # Domain.
    (CookieSpec(domain="remove"), b"a=b; domain=x; Path=/; Domain=.y", b"a=b; Path=/"),
    (CookieSpec(domain="example.com"), b"a=b; Domain=.x; P", b"a=b; Domain=example.com; P"),
    (CookieSpec(domain="example.com"), b"a=b; Path=/", b"a=b; Path=/"),
    (CookieSpec(domain="example.com"), b"a=b; Domain=", b"a=b; Domain="),
    (CookieSpec(domain="keep", secure=True), b"a=b; Domain=x", b"a=b; Domain=x; Secure"),
    # Path.
    (CookieSpec(path=(("/app", "/api"),)), b"a=b; Path=/app", b"a=b; Path=/api"),
    (CookieSpec(path=(("/app/", "/api"),)), b"a=b; Path=/app", b"a=b; Path=/api"),
    (CookieSpec(path=(("/app", "/api"),)), b"a=b; Path=/app/", b"a=b; Path=/api/"),
    (CookieSpec(path=(("/app", "/api"),)), b"a=b; path=/app/x; X", b"a=b; Path=/api/x; X"),
    (CookieSpec(path=(("/app", "/api"),)), b"a=b; Path=/apple", b"a=b; Path=/apple"),
    (CookieSpec(path=(("/app", "/api"),)), b"a=b; Path=/", b"a=b; Path=/"),
    (CookieSpec(path=(("/app", "/api"),)), b"a=b", b"a=b"),
    (CookieSpec(path=(("/", "/api"),)), b"a=b; Path=/", b"a=b; Path=/api"),
    (CookieSpec(path=(("/", "/api"),)), b"a=b; Path=/x", b"a=b; Path=/api/x"),
    (CookieSpec(path=(("/", "/api"),)), b"a=b; Path=", b"a=b; Path="),
    (CookieSpec(path=(("/", "/api"),)), b"a=b; Path=x", b"a=b; Path=x"),
    (CookieSpec(path=(("/app", "/"),)), b"a=b; Path=/app", b"a=b; Path=/"),
    (CookieSpec(path=(("/app", "/"),)), b"a=b; Path=/app/x", b"a=b; Path=/x"),
    (CookieSpec(path=(("/a", "/1"), ("/a/b", "/2"))), b"a=b; Path=/a/b/c", b"a=b; Path=/2/c"),
    (CookieSpec(path=(("/a", "/1"),)), b"a=b; Path=/x; Path=/a", b"a=b; Path=/1"),
    # Names.
    (CookieSpec(name="sid", secure=True), b"SID=1", b"SID=1"),
    (CookieSpec(name="s*d", secure=True), b" sid =1", b" sid =1; Secure"),
    (CookieSpec(name="sid*", secure=True), b"xsid=1", b"xsid=1"),
]


@pytest.mark.parametrize(("spec", "value", "expected"), CASES)
def test_attributes_change_one_by_one(spec: CookieSpec, value: bytes, expected: bytes) -> None:
    """cors.md 60: each line on its own, unknown attributes and order kept."""
    assert rewritten(spec, value) == Rewritten(expected)


REFUSED = [
    (CookieSpec(domain="example.com"), b"__Host-a=b; Secure; Path=/; Domain=x", "host_prefix"),
    (CookieSpec(path=(("/", "/api"),)), b"__Host-a=b; Secure; Path=/", "host_prefix"),
    (CookieSpec(path=(("/", "/api"),)), b"__HOST-a=b; Secure; Path=/", "host_prefix"),
    (CookieSpec(secure=False), b"__Host-a=b; Secure; Path=/", "host_prefix"),
    (CookieSpec(secure=False), b"__Secure-a=b; Secure", "secure_prefix"),
    (CookieSpec(secure=False), b"__secure-a=b; Secure", "secure_prefix"),
    (CookieSpec(http_only=False), b"__Http-a=b; Secure; HttpOnly", "http_prefix"),
    (CookieSpec(http_only=False), b"__Host-Http-a=b; Secure; HttpOnly; Path=/", "http_prefix"),
    (CookieSpec(secure=False), b"a=b; Secure; SameSite=None", "same_site_none_insecure"),
    (CookieSpec(secure=False), b"a=b; Secure; Partitioned", "partitioned_insecure"),
]


@pytest.mark.parametrize(("spec", "value", "left"), REFUSED)
def test_a_cookie_that_browsers_would_reject_is_left_and_reported(
    spec: CookieSpec,
    value: bytes,
    left: str,
) -> None:
    """cors.md 60: a cookie stays as it is if it would violate constraints of its name or of SameSite."""
    assert rewritten(spec, value) == Rewritten(value, left)


def test_the_first_rule_whose_name_fits_applies() -> None:
    """cors.md 60: one rule per cookie; a cookie that matches none is unchanged."""
    rules = compile_cookies(
        [
            CookieSpec(name="session", http_only=True),
            CookieSpec(name="s*", secure=True),
        ],
    )
    assert rewrite_cookie(rules, b"session=1").value == b"session=1; HttpOnly"
    assert rewrite_cookie(rules, b"s=1").value == b"s=1; Secure"
    assert rewrite_cookie(rules, b"other=1").value == b"other=1"
    assert rewrite_cookie((), b"session=1").value == b"session=1"


cookies = st.lists(
    st.sampled_from(
        [
            b"Secure",
            b"Path=/app/x",
            b" Domain=a.b",
            b" Foo=\xff",
            b"",
            b" HttpOnly",
            b"SameSite=Lax",
        ],
    ),
    max_size=6,
).map(lambda attributes: b";".join([b"a=\x80 b=c", *attributes]))
rules = st.builds(
    CookieSpec,
    domain=st.sampled_from(["keep", "remove", "example.com"]),
    path=st.sampled_from([(), (("/app", "/api"),)]),
    secure=st.sampled_from([None, True]),
    http_only=st.sampled_from([None, True, False]),
    same_site=st.sampled_from([None, "lax", "none"]),
)


@settings(max_examples=200, deadline=None)
@given(cookies, rules)
def test_pair_and_unknown_attributes_survive_and_twice_is_once(
    value: bytes,
    spec: CookieSpec,
) -> None:
    """cors.md 60: the pair and unknown attributes keep their bytes; a second pass changes nothing."""
    once = rewritten(spec, value).value
    assert once.split(b";")[0] == b"a=\x80 b=c"
    assert once.count(b"; Foo=\xff") == value.count(b"; Foo=\xff")
    assert rewritten(spec, once).value == once


def test_a_rule_that_cannot_work_does_not_compile() -> None:
    """cors.md 60: a contradiction is a configuration error."""
    with pytest.raises(ValueError, match="secure: false contradicts same_site: none"):
        compile_cookies([CookieSpec(same_site="none", secure=False)])
