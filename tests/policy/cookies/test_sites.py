"""Sites by the public suffix list, and the warning of cors.md 61."""

import pytest

from corsproxy.policy.cookies.rewrite import compile_cookies
from corsproxy.policy.cookies.sites import PublicNames, check_credentials, site_of
from corsproxy.policy.cookies.spec import CookieSpec
from corsproxy.policy.problems import NOWHERE
from corsproxy.policy.routing.links import BaseUrl
from corsproxy.policy.rules.apply import compile_rules
from corsproxy.policy.rules.spec import RuleSpec
from corsproxy.policy.source import SourcePos, SourceText


@pytest.mark.parametrize(
    ("authority", "site"),
    [
        ("api.example.com", "example.com"),
        ("API.Example.com:8443", "example.com"),
        ("example.com.", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("*.preview.example.com", "example.com"),
        ("shop.github.io", "shop.github.io"),
        ("github.io", "github.io"),
        ("deploy-*--shop.netlify.app", "deploy-*--shop.netlify.app"),
        ("localhost:3000", "localhost"),
        ("app.localhost", "app.localhost"),
        ("api.corp.internal", "corp.internal"),
        ("127.0.0.1:9000", "127.0.0.1"),
        ("[::1]:9000", "[::1]"),
    ],
)
def test_a_site_is_a_registrable_domain(authority: str, site: str) -> None:
    """RFC 6265bis 5.2: the public suffix and one more label; each address is its own site."""
    assert site_of(authority) == site


ORIGINS = ("https://app.example.com", "https://shop.example", "https://other.example")
PUBLIC = BaseUrl(b"https", b"api.example.com")


def warned(
    *origins: str,
    public: BaseUrl | None = PUBLIC,
    hosts: tuple[str, ...] = (),
    cookies: tuple[CookieSpec, ...] = (),
    rules: tuple[RuleSpec, ...] = (),
) -> list[str]:
    """Return the origins in the warnings."""
    specs = [
        SourceText(text, SourcePos("config.yaml", line, 7)) for line, text in enumerate(origins, 1)
    ]
    found = check_credentials(
        specs,
        PublicNames("api", public, hosts),
        compile_cookies(cookies),
        compile_rules(rules),
    )
    assert all(item.slug == "credentials_across_sites" and item.pos != NOWHERE for item in found)
    return [item.values["value"] for item in found]


def test_61_the_first_origin_of_another_site_is_reported() -> None:
    """cors.md 61: cookies stay SameSite=Lax, and the origin is on another site; one warning per route."""
    assert warned(*ORIGINS) == ["https://shop.example"]


def test_61_other_names_of_the_same_site_work() -> None:
    """Cookies are sent between subdomains and ports of one site, whatever SameSite is."""
    assert warned("https://app.example.com", "https://example.com:8443") == []


def test_61_hosts_count_if_there_is_no_public_url() -> None:
    """The public name is public_url, else the hosts of the match; with neither it is unknown."""
    assert warned(*ORIGINS, public=None, hosts=("*.shop.example",)) == ["https://app.example.com"]
    assert warned(*ORIGINS, public=None, hosts=("api.example.com", "shop.example")) == [
        "https://other.example",
    ]
    assert warned(*ORIGINS, public=None) == []


def test_61_a_rule_that_sets_same_site_ends_the_warning() -> None:
    """No warning if a rule makes some cookies SameSite=None, or changes Set-Cookie."""
    assert warned(*ORIGINS, cookies=(CookieSpec(name="sid", same_site="none"),)) == []
    assert warned(*ORIGINS, cookies=(CookieSpec(same_site="lax"),)) != []
    replace = RuleSpec(op="replace", name="Set-Cookie", find="Lax", value="None")
    assert warned(*ORIGINS, rules=(replace,)) == []
    assert warned(*ORIGINS, rules=(RuleSpec(op="remove", name="Server"),)) != []


def test_61_only_web_origins_have_a_site() -> None:
    """Extensions and apps have their own rules for cookies."""
    assert warned("chrome-extension://abc", "capacitor://localhost") == []
