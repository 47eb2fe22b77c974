"""check_cookies(): what is not valid in a cookie rule, and how it is reported (cors.md 60)."""

import pytest

from corsproxy.policy.cookies.check import KINDS, check_cookies
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.source import SourcePos

PLACE = SourcePos("config.yaml", 9, 9)
FINE = CookieSpec(name="fine", secure=True)

BAD = [
    (CookieSpec(name="a b", secure=True), "cookie_name_invalid", '"a b"'),
    (CookieSpec(name="", secure=True), "cookie_name_invalid", '""'),
    (CookieSpec(domain=""), "cookie_domain_invalid", '""'),
    (CookieSpec(domain="Example.com"), "cookie_domain_invalid", "lower-case"),
    (CookieSpec(domain="a.com; Secure"), "cookie_domain_invalid", "a.com; Secure"),
    (CookieSpec(domain="https://a.com"), "cookie_domain_invalid", "https://a.com"),
    (CookieSpec(domain="a\r\n"), "cookie_domain_invalid", r"a\r\n"),
    (CookieSpec(path=(("app", "/api"),)), "cookie_path_invalid", '"app"'),
    (CookieSpec(path=(("/app", "/a;b"),)), "cookie_path_invalid", '"/a;b"'),
    (CookieSpec(path=(("/app", "/a\n"),)), "cookie_path_invalid", r"/a\n"),
    (CookieSpec(path=(("/a", "/b"), ("/a/", "/c"))), "cookie_path_repeated", "/a/"),
    (CookieSpec(same_site="none", secure=False), "cookie_secure_needed", "same_site: none"),
    (CookieSpec(partitioned=True, secure=False), "cookie_secure_needed", "partitioned: true"),
    (CookieSpec(name="__Host-*", domain="a.com"), "cookie_prefix_broken", "domain: a.com"),
    (CookieSpec(name="__host-a", path=(("/", "/b"),)), "cookie_prefix_broken", "another path"),
    (CookieSpec(name="__Secure-a", secure=False), "cookie_prefix_broken", "secure: false"),
    (CookieSpec(name="__Http-a", http_only=False), "cookie_prefix_broken", "http_only: false"),
    (CookieSpec(name="x"), "cookie_rule_idle", "changes nothing"),
    (CookieSpec(name="fine", http_only=True), "cookie_rule_unreached", "earlier rule for fine"),
]


@pytest.mark.parametrize(("spec", "slug", "says"), BAD)
def test_each_fault_is_reported_with_value_and_fix(spec: CookieSpec, slug: str, says: str) -> None:
    """cors.md 60: a rule that cannot work is an error, one without effect a warning."""
    (problem,) = check_cookies([FINE, spec])
    assert problem.slug == slug
    assert says in str(problem)
    assert "\n" not in str(problem)
    assert problem.advice


def test_every_slug_has_a_case() -> None:
    """The table contains no kind that is never found."""
    assert {slug for _, slug, _ in BAD} == set(KINDS)


def test_problems_have_the_position_of_their_rule() -> None:
    """L6: file:line:column."""
    (problem,) = check_cookies([CookieSpec(pos=PLACE)])
    assert str(problem).startswith("config.yaml:9:9: warning: ")


@pytest.mark.parametrize(
    "spec",
    [
        CookieSpec(domain="remove", path=(("/app", "/api"),), secure=True, same_site="none"),
        CookieSpec(domain="example.com", http_only=False),
        CookieSpec(domain=".example.com"),
        CookieSpec(name="__Host-*", domain="remove", path=(("/", "/"), ("/a", "/b"))),
        CookieSpec(secure=False),
        CookieSpec(path=(("/", "/api%20x"),), same_site="lax"),
    ],
)
def test_valid_rules_have_no_problems(spec: CookieSpec) -> None:
    """cors.md 60: nothing else is forbidden."""
    assert check_cookies([spec]) == []


@pytest.mark.parametrize(
    ("first", "second", "reached"),
    [
        ("*", "session", False),
        ("s*", "se*n", False),
        ("s*n", "s*on", False),
        ("session", "*", True),
        ("s*a", "s*", True),
        ("a*", "*a", True),
    ],
)
def test_a_rule_after_a_wider_one_is_never_reached(
    first: str,
    second: str,
    reached: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """cors.md 30 applied to cookies: only the first rule that matches is used."""
    specs = [CookieSpec(name=first, secure=True), CookieSpec(name=second, secure=True)]
    slugs = [problem.slug for problem in check_cookies(specs)]
    assert slugs == ([] if reached else ["cookie_rule_unreached"])
