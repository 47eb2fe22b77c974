"""check_policy(): one row for each mistake; valid policies have no problems (cors.md 20-31)."""

import string
from typing import Any

import pytest

from corsproxy.policy.cors.check import check_policy
from corsproxy.policy.cors.messages import KINDS
from corsproxy.policy.cors.pattern_syntax import correct, diagnose
from corsproxy.policy.cors.spec import PreflightSpec
from corsproxy.policy.source import SourcePos
from tests.support.policies import spec_of

LONG = "a" * 64

SPELLING: list[tuple[str, str, str | None]] = [
    # pattern, slug, what was meant
    ("", "origin_empty", None),
    ("https://App.example.com", "origin_uppercase", "https://app.example.com"),
    ("HTTPS://app.example.com", "origin_uppercase", "https://app.example.com"),
    ("NULL", "origin_uppercase", "null"),
    ("https://bücher.example", "origin_unicode", "https://xn--bcher-kva.example"),
    ("https://BÜCHER.example", "origin_unicode", "https://xn--bcher-kva.example"),
    ("https://straße.example", "origin_unicode", "https://xn--strae-oqa.example"),
    ("https://例え。jp", "origin_unicode", "https://xn--r8jz45g.jp"),
    ("https://app.example.com/", "origin_trailing_slash", "https://app.example.com"),
    ("https://app.example.com/a", "origin_path", "https://app.example.com"),
    ("https://app.example.com//", "origin_path", "https://app.example.com"),
    ("https://app.example.com\\a", "origin_path", "https://app.example.com"),
    ("https://app.example.com?a", "origin_query", "https://app.example.com"),
    ("https://app.example.com#a", "origin_fragment", "https://app.example.com"),
    ("https://me@app.example.com", "origin_userinfo", "https://app.example.com"),
    (" https://app.example.com", "origin_whitespace", "https://app.example.com"),
    ("https://app.example.com\n", "origin_whitespace", "https://app.example.com"),
    ("https://app\x00.example.com", "origin_whitespace", None),
    ("https://a.example,https://b.example", "origin_list", None),
    ("https://a..example", "origin_empty_label", None),
    ("https://.example.com", "origin_empty_label", None),
    (f"https://{LONG}.example", "origin_label_too_long", None),
    ("https://" + "a." * 126 + "bb", "origin_host_too_long", None),
    ("https://app.example.com:443", "origin_default_port", "https://app.example.com"),
    ("http://app.example.com:80", "origin_default_port", "http://app.example.com"),
    ("https://app.example.com:0", "origin_port_invalid", None),
    ("https://app.example.com:65536", "origin_port_invalid", None),
    ("https://app.example.com:08080", "origin_port_invalid", None),
    ("https://app.example.com:80*", "origin_port_invalid", None),
    ("https://app.example.com:", "origin_port_invalid", "https://app.example.com"),
    ("file:///home", "origin_file_scheme", None),
    ("file://", "origin_file_scheme", None),
    ("app.example.com", "origin_scheme_missing", "https://app.example.com"),
    ("localhost:3000", "origin_scheme_missing", "http://localhost:3000"),
    ("*.example.com", "origin_scheme_missing", "https://*.example.com"),
    ("1http://a.example", "origin_scheme_invalid", None),
    ("://a.example", "origin_scheme_invalid", None),
    ("https://", "origin_host_missing", None),
    ("https://a b.example", "origin_whitespace", None),
    ("https://a%20b.example", "origin_host_invalid", None),
    ("https://*", "origin_means_any", "*"),
    ("*://*", "origin_means_any", "*"),
    ("https://*.*", "origin_means_any", "*"),
    ("http://*:*", "origin_means_any", "*"),
    ("**", "origin_means_any", "*"),
    ("*.*", "origin_means_any", "*"),
    ("https://a.*.example", "origin_wildcard_misplaced", None),
    ("https://*.*.example", "origin_wildcard_misplaced", None),
    ("https://a-*-b-*.example.com", "origin_wildcard_misplaced", None),
    ("https://app*", "origin_wildcard_misplaced", None),
    ("http*://app.example.com", "origin_wildcard_misplaced", None),
    ("https://*.0.0.1", "origin_wildcard_on_ip", None),
    ("https://10.0.0.*", "origin_wildcard_on_ip", None),
    ("https://[2001:db8::*]", "origin_wildcard_on_ip", None),
    ("http://127.1", "origin_ipv4_invalid", None),
    ("http://127.0.0.01", "origin_ipv4_invalid", None),
    ("http://1.2.3.256", "origin_ipv4_invalid", None),
    ("http://0x7f000001", "origin_ipv4_invalid", None),
    ("http://2130706433", "origin_ipv4_invalid", None),
    ("http://127.0.0.1.", "origin_ipv4_invalid", None),
    ("http://[0:0:0:0:0:0:0:1]", "origin_ipv6_not_canonical", "http://[::1]"),
    ("http://[2001:db8:0::1]", "origin_ipv6_not_canonical", "http://[2001:db8::1]"),
    ("http://[::ffff:1.2.3.4]", "origin_ipv6_mapped", "http://1.2.3.4"),
    ("http://[fe80::1%eth0]", "origin_ipv6_zone", "http://[fe80::1]"),
    ("http://[::1", "origin_ipv6_invalid", "http://[::1]"),
    ("http://[::g]", "origin_ipv6_invalid", None),
    ("http://[::1]8080", "origin_ipv6_invalid", None),
    ("https://xn--a.example", "origin_punycode_invalid", None),
    ("https://xn--abc-.example", "origin_punycode_invalid", None),
]

GOOD = [
    "https://app.example.com",
    "http://localhost:3000",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
    "http://[::1]:8080",
    "http://127.0.0.1:5173",
    "https://*.example.com",
    "https://*.example.com.",
    "https://*.example.com:*",
    "http://localhost:*",
    "http://[::1]:*",
    "https://deploy-preview-*--shop.example.com",
    "https://xn--bcher-kva.example",
    "https://a_b.example.com",
    "https://example.com.",
    "https://*.internal",
    "http://*.localhost",
    "https://*.app.internal:8443",
    "https://1.2.3.4.example",
]


def slugs(*origins: str, **keys: Any) -> list[str]:  # noqa: ANN401 - any key of PolicySpec
    """Return the slugs of the problems in a policy."""
    return [problem.slug for problem in check_policy(spec_of(*origins, **keys))]


@pytest.mark.parametrize(("pattern", "slug", "meant"), SPELLING)
def test_each_misspelling_has_its_own_slug(pattern: str, slug: str, meant: str | None) -> None:
    """The slug, and the correct spelling if there is one (cors.md 17, 22)."""
    assert slug in slugs(pattern)
    assert correct(pattern) == meant
    if meant is not None and slug != "origin_means_any":
        [problem] = [item for item in check_policy(spec_of(pattern)) if item.slug == slug]
        assert meant in problem.advice


@pytest.mark.parametrize("pattern", GOOD)
def test_a_valid_pattern_has_no_problem(pattern: str) -> None:
    """All forms of cors.md 14-17; suffixes that no list knows do not count (cors.md 24)."""
    assert list(diagnose(pattern)) == []
    assert slugs(pattern) == []
    assert correct(pattern) is None


@pytest.mark.parametrize("meant", sorted({row[2] for row in SPELLING if row[2]} - {"null", "*"}))
def test_a_suggestion_is_itself_valid(meant: str) -> None:
    """A suggestion that is rejected in turn would be useless (cors.md 22)."""
    assert list(diagnose(meant)) == []


def test_all_mistakes_of_one_pattern_are_reported_together() -> None:
    """All at once, so that one run is enough (cors.md 22)."""
    found = slugs("HTTPS://me@App.example.com:443/a")
    assert found == ["origin_userinfo", "origin_path", "origin_uppercase", "origin_default_port"]
    assert correct("HTTPS://me@App.example.com:443/a") == "https://app.example.com"


POLICIES: list[tuple[str, tuple[str, ...], dict[str, Any], list[str]]] = [
    ("20-none", (), {}, ["origins_missing"]),
    ("21-any", ("*",), {"allow_credentials": True}, ["credentials_with_any_origin"]),
    ("21-spelt", ("https://*",), {"allow_credentials": True}, ["credentials_with_any_origin"]),
    ("21-spelt-scheme", ("*://*",), {"allow_credentials": True}, ["credentials_with_any_origin"]),
    ("18-any-alone", ("*",), {}, []),
    ("18-beside", ("https://a.example", "*"), {}, ["origin_any_not_alone"]),
    ("22-null", ("null",), {}, ["origin_null"]),
    ("22-null-flag", ("null",), {"dangerously_allow_null_origin": True}, []),
    ("22-null-credentials", ("null",), {"allow_credentials": True, "dangerously_allow_null_origin": True}, ["credentials_with_null_origin"]),
    ("23-http", ("http://a.example",), {"allow_credentials": True}, ["credentials_with_insecure_origin"]),
    ("23-http-wildcard", ("http://*.a.example",), {"allow_credentials": True}, ["credentials_with_insecure_origin"]),
    ("23-ip", ("http://10.0.0.1",), {"allow_credentials": True}, ["credentials_with_insecure_origin"]),
    ("23-flag", ("http://a.example",), {"allow_credentials": True, "dangerously_allow_insecure_origins": True}, []),
    ("23-without", ("http://a.example",), {}, []),
    ("23-local", ("http://localhost:3000", "http://app.localhost", "http://*.localhost", "http://localhost.:1", "http://127.0.0.5", "http://[::1]:*", "capacitor://localhost"), {"allow_credentials": True}, []),
    ("23-not-local", ("http://localhost.example", "http://[2001:db8::1]"), {"allow_credentials": True}, ["credentials_with_insecure_origin"] * 2),
    ("24-com", ("https://*.com",), {"allow_credentials": True}, ["credentials_with_public_suffix_wildcard"]),
    ("24-github", ("https://*.github.io:*",), {"allow_credentials": True}, ["credentials_with_public_suffix_wildcard"]),
    ("24-vercel", ("https://shop-*.vercel.app",), {"allow_credentials": True}, ["credentials_with_public_suffix_wildcard"]),
    ("24-root-dot", ("https://*.com.",), {"allow_credentials": True}, ["credentials_with_public_suffix_wildcard"]),
    ("24-star-rule", ("https://*.ck",), {"allow_credentials": True}, ["credentials_with_public_suffix_wildcard"]),
    ("24-flag", ("https://*.github.io",), {"allow_credentials": True, "dangerously_allow_public_suffix_wildcards": True}, []),
    ("24-warning", ("https://*.github.io",), {}, ["public_suffix_wildcard"]),
    ("24-below", ("https://*.me.github.io", "https://pr-*.me.example.com"), {"allow_credentials": True}, []),
    ("17-joins", ("https://*example.com",), {}, ["origin_wildcard_joins_domain"]),
    ("17-joins-inside", ("https://shop-*.co.uk",), {"allow_credentials": True, "dangerously_allow_public_suffix_wildcards": True}, ["origin_wildcard_joins_domain"]),
    ("25-any-token", ("*",), {"allow_methods": ["PURGE", "M-SEARCH", "foo", "*", "DELETE"]}, []),
    ("25-no-token", ("*",), {"allow_methods": ["PUT, GET", "", "PÜT", "M" * 129]}, ["method_invalid"] * 4),
    ("25-forbidden", ("*",), {"allow_methods": ["CONNECT", "Trace", "track"]}, ["method_forbidden"] * 3),
    ("25-lower", ("*",), {"allow_methods": ["patch", "Get"]}, ["method_lowercase"] * 2),
    ("25-options", ("*",), {"allow_methods": ["OPTIONS"]}, ["method_options"]),
    ("26-forbidden", ("*",), {"allow_headers": ["Cookie", "sec-fetch-mode", "Proxy-Authorization", "access-control-request-foo", "Host", "DNT"]}, ["allow_header_forbidden"] * 6),
    ("26-response", ("*",), {"allow_headers": ["Access-Control-Allow-Origin"]}, ["allow_header_of_response"]),
    ("26-no-token", ("*",), {"allow_headers": ["x y", "", "x:"]}, ["allow_header_invalid"] * 3),
    ("26-good", ("*",), {"allow_headers": ["X-A", "authorization", "content-type"]}, []),
    ("27-forbidden", ("*",), {"expose_headers": ["Set-Cookie", "set-cookie2"]}, ["expose_header_forbidden"] * 2),
    ("27-needless", ("*",), {"expose_headers": ["Content-Type", "pragma"]}, ["expose_header_needless"] * 2),
    ("27-no-token", ("*",), {"expose_headers": ["x y"]}, ["expose_header_invalid"]),
    ("28-star", ("https://a.example",), {"expose_headers": ["*"], "allow_credentials": True}, []),
    ("29-zero", ("*",), {"max_age": 0}, []),
    ("29-2h", ("*",), {"max_age": 7200}, []),
    ("29-above-chromium", ("*",), {"max_age": 7201}, ["max_age_above_chromium"]),
    ("29-day", ("*",), {"max_age": 86400}, ["max_age_above_chromium"]),
    ("29-too-long", ("*",), {"max_age": 86401}, ["max_age_too_long"]),
    ("29-negative", ("*",), {"max_age": -1}, ["max_age_negative"]),
    ("30-star", ("*",), {"allow_headers": ["*"]}, ["allow_headers_without_authorization"]),
    ("30-star-named", ("*",), {"allow_headers": ["*", "Authorization"]}, []),
    ("31-status", ("*",), {"preflight": PreflightSpec(status=302)}, ["preflight_status_invalid"]),
    ("31-status-199", ("*",), {"preflight": PreflightSpec(status=199)}, ["preflight_status_invalid"]),
    ("31-refused-401", ("*",), {"preflight": PreflightSpec(refused_status=401)}, ["preflight_refused_status_invalid"]),
    ("31-refused-407", ("*",), {"preflight": PreflightSpec(refused_status=407)}, ["preflight_refused_status_invalid"]),
    ("31-refused-500", ("*",), {"preflight": PreflightSpec(refused_status=500)}, ["preflight_refused_status_invalid"]),
    ("31-refused-201", ("*",), {"preflight": PreflightSpec(refused_status=201)}, ["preflight_refused_status_invalid"]),
    ("31-good", ("*",), {"preflight": PreflightSpec(status=299, refused_status=499)}, []),
    ("31-good-200", ("*",), {"preflight": PreflightSpec(status=200, refused_status=200)}, []),
    ("53-empty", ("*",), {"timing_allow_origins": ()}, ["timing_origins_missing"]),
    ("53-spelling", ("*",), {"timing_allow_origins": ["https://a.example/"]}, ["origin_trailing_slash"]),
    ("53-beside", ("*",), {"timing_allow_origins": ["*", "https://a.example"]}, ["origin_any_not_alone"]),
    ("53-null", ("*",), {"timing_allow_origins": ["null"]}, ["origin_null"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("origins", "keys", "expected"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES]
)
def test_each_mistake_of_a_policy_is_found(
    origins: tuple[str, ...], keys: dict[str, Any], expected: list[str]
) -> None:
    """The number in the id is the rule; nothing else is found."""
    assert slugs(*origins, **dict(keys)) == expected


def test_all_mistakes_are_reported_in_the_order_of_the_keys() -> None:
    """One run reports everything (cors.md section 4)."""
    found = slugs(
        "https://a.example/",
        "http://b.example",
        allow_credentials=True,
        allow_methods=["TRACE"],
        allow_headers=["cookie"],
        expose_headers=["set-cookie"],
        max_age=-1,
    )
    assert found == [
        "origin_trailing_slash",
        "credentials_with_insecure_origin",
        "method_forbidden",
        "allow_header_forbidden",
        "expose_header_forbidden",
        "max_age_negative",
    ]


def test_a_problem_has_the_position_of_its_item() -> None:
    """Line and column of the item, or of the key."""
    spec = spec_of(
        "https://a.example",
        "https://b.example/",
        positions=(("max_age", SourcePos("f", 9, 9)),),
        max_age=-1,
    )
    first, second = check_policy(spec)
    assert first.pos == SourcePos("config.yaml", 2, 7)
    assert second.pos == SourcePos("f", 9, 9)
    assert str(first).startswith("config.yaml:2:7: error: ")


def test_the_did_you_mean_of_a_joined_domain() -> None:
    """`https://*example.com` matches `evilexample.com` (cors.md 17)."""
    [problem] = check_policy(spec_of("https://*example.com"))
    assert "did you mean https://*.example.com?" in problem.advice
    assert problem.severity == "error"


def test_every_kind_has_a_test() -> None:
    """No kind without a row here, and no row without a kind."""
    tested = {row[1] for row in SPELLING} | {slug for row in POLICIES for slug in row[3]}
    assert tested == set(KINDS)


@pytest.mark.parametrize("slug", KINDS)
def test_messages_are_complete_and_differ(slug: str) -> None:
    """Each has a message and an advice, with no other placeholders than value and detail."""
    kind = KINDS[slug]
    for text in (kind.message, kind.advice):
        fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
        assert text
        assert fields <= {"value", "detail"}
    assert [one for one in KINDS.values() if one.message == kind.message] == [kind]


def test_a_policy_without_wildcards_reads_no_suffix_list() -> None:
    """The list is read only if it is needed, so that commands start fast (cors.md 24)."""
    import subprocess  # noqa: PLC0415 - modules are only fresh in a process of its own
    import sys  # noqa: PLC0415

    code = (
        "import sys; from corsproxy.policy.cors.check import check_policy;"
        "from corsproxy.policy.cors.spec import PolicySpec; from corsproxy.policy.source import SourceText;"
        "list(check_policy(PolicySpec(name='a', allow_origins=(SourceText('https://a.example'),))));"
        "sys.exit('publicsuffixlist' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
