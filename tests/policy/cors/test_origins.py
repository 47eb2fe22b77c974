"""Parsing origins and matching them against patterns: cors.md 8-19."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Facts
from corsproxy.policy.cors.origins import LONGEST_ORIGIN, Origin, OriginSet, parse_origin
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.source import SourceText
from tests.support.policies import policy_of

Trick = Callable[[bytes], bytes]

LONG_LABEL = b"a" * 63
LONG_HOST = b".".join([LONG_LABEL] * 3) + b"." + b"a" * 61

READABLE = [
    (b"https://app.example.com", Origin(b"https", b"app.example.com", b"")),
    (b"http://localhost:3000", Origin(b"http", b"localhost", b"3000")),
    (b"capacitor://localhost", Origin(b"capacitor", b"localhost", b"")),
    (b"chrome-extension://abcdef", Origin(b"chrome-extension", b"abcdef", b"")),
    (b"http://[::1]:8080", Origin(b"http", b"[::1]", b"8080")),
    (b"http://[2001:db8::1]", Origin(b"http", b"[2001:db8::1]", b"")),
    (b"https://a_b.example", Origin(b"https", b"a_b.example", b"")),
    (b"https://example.com.", Origin(b"https", b"example.com.", b"")),
    (b"https://127.0.0.1:65535", Origin(b"https", b"127.0.0.1", b"65535")),
    (b"https://" + LONG_HOST, Origin(b"https", LONG_HOST, b"")),
    (b"a" * 64 + b"://" + LONG_HOST + b":65535", Origin(b"a" * 64, LONG_HOST, b"65535")),
]

UNREADABLE = [
    b"",
    b"example.com",
    b"://example.com",
    b"https://",
    b"https:/example.com",
    b"https://example.com/",
    b"https://example.com/path",
    b"https://example.com?",
    b"https://example.com#a",
    b"https://user@example.com",
    b"https://user:pass@example.com",
    b"https://example.com:",
    b"https://example.com:0",
    b"https://example.com:080",
    b"https://example.com:65536",
    b"https://example.com:99999",
    b"https://example.com:123456",
    b"https://example.com:8a",
    b"https://example.com:-1",
    b"https://example.com:80:80",
    b"https://.example.com",
    b"https://a..b",
    b"https://example.com..",
    b"https://.",
    b"https://" + b"a" * 64 + b".example",
    b"https://" + LONG_HOST + b"a",
    b"a" * 65 + b"://example.com",
    b"1https://example.com",
    b"-https://example.com",
    b"HTTPS://example.com",
    b"https://Example.com",
    b"https://b\xc3\xbccher.example",
    b"https://ex%61mple.com",
    b"https://example.com\x00",
    b"https://example.com\r",
    b"https://*.example.com",
    b"https://*",
    b"https://[::1",
    b"https://::1]",
    b"https://[]",
    b"https://[::1]x",
    b"https://[::1]:",
    b"https://[::1%25eth0]",
    b"https://[fe80::1%eth0]",
    b"https://[1.2.3.4]",
    b"https://[g::1]",
    b"https://[:::1]",
    b"https://[1:2:3:4:5:6:7:8:9]",
    b"\xff\xfe",
]


@pytest.mark.parametrize(("value", "parts"), READABLE)
def test_a_valid_origin_is_parsed(value: bytes, parts: Origin) -> None:
    """Scheme, host and port of RFC 3986 within the lengths of the DNS (cors.md 10, 14)."""
    assert parse_origin(value) == parts


@pytest.mark.parametrize("value", UNREADABLE)
def test_anything_else_is_not_an_origin(value: bytes) -> None:
    """Paths, users, empty ports and foreign bytes are refused (cors.md 10)."""
    assert parse_origin(value) is None


def test_the_longest_origin_is_326_bytes() -> None:
    """64 + 3 + 253 + 1 + 5 (cors.md 9)."""
    assert len(READABLE[-1][0]) == LONGEST_ORIGIN == 326


REASONS = [
    ((b"https://a.example", b"https://a.example"), Reason.origin_multiple),
    ((b"https://app.example.com, https://evil.example",), Reason.origin_multiple),
    ((b"https://app.example.com https://evil.example",), Reason.origin_multiple),
    ((b"https://app.example.com\tx",), Reason.origin_multiple),
    ((b"https://app.example.com,",), Reason.origin_multiple),
    ((b"",), Reason.origin_malformed),
    ((b"https://app.example.com/",), Reason.origin_malformed),
    ((b"https://app.example.com:",), Reason.origin_malformed),
    ((b"NULL",), Reason.origin_malformed),
    ((b"https://" + b"a" * 319,), Reason.origin_too_long),
    ((b"a" * 8192,), Reason.origin_too_long),
    ((b"null",), Reason.origin_null),
    ((b"https://app.example.com:443",), Reason.origin_default_port),
    ((b"http://app.example.com:80",), Reason.origin_default_port),
    ((b"HTTPS://app.example.com",), Reason.origin_case),
    ((b"https://App.example.com",), Reason.origin_case),
    ((b"https://app.example.com.",), Reason.origin_not_allowed),
    ((b"http://app.example.com",), Reason.origin_not_allowed),
    ((b"https://app.example.com:8443",), Reason.origin_not_allowed),
    ((b"https://evil.example",), Reason.origin_not_allowed),
    ((), Reason.no_origin),
]


@pytest.mark.parametrize(("origins", "reason"), REASONS)
def test_the_reason_names_the_mistake_in_an_origin(
    origins: tuple[bytes, ...], reason: Reason
) -> None:
    """One reason for each kind of refusal (cors.md 8-12, 66)."""
    decision = decide(policy_of("https://app.example.com"), Facts(b"GET", origins))
    assert decision.reason is reason
    assert b"Access-Control" not in decision.block


PATTERNS = [
    # rule 14
    ("http://[::1]:8080", b"http://[::1]:8080", True),
    ("http://[::1]:8080", b"http://[::1]:8081", False),
    ("chrome-extension://abc", b"chrome-extension://abc", True),
    # rule 15
    ("https://*.example.com", b"https://a.example.com", True),
    ("https://*.example.com", b"https://a.b.example.com", True),
    ("https://*.example.com", b"https://a_b.example.com", True),
    ("https://*.example.com", b"https://example.com", False),
    ("https://*.example.com", b"https://aexample.com", False),
    ("https://*.example.com", b"https://.example.com", False),
    ("https://*.example.com", b"https://a..example.com", False),
    ("https://*.example.com", b"http://a.example.com", False),
    ("https://*.example.com", b"https://a.example.com:8443", False),
    ("https://*.example.com", b"https://a.example.com.evil.com", False),
    ("https://*.example.com", b"https://a.example.com.", False),
    ("https://*.example.com:8443", b"https://a.example.com:8443", True),
    ("https://*.example.com:8443", b"https://a.example.com", False),
    # rule 11: a root dot means just that
    ("https://*.example.com.", b"https://a.example.com.", True),
    ("https://*.example.com.", b"https://a.example.com", False),
    ("https://example.com.", b"https://example.com.", True),
    # rule 16
    ("http://localhost:*", b"http://localhost", True),
    ("http://localhost:*", b"http://localhost:80", True),
    ("http://localhost:*", b"http://localhost:1", True),
    ("http://localhost:*", b"http://localhost:65535", True),
    ("http://localhost:*", b"http://localhost:0", False),
    ("http://localhost:*", b"http://localhost:", False),
    ("http://localhost:*", b"http://localhost:65536", False),
    ("http://localhost:*", b"https://localhost:3000", False),
    ("http://localhost:*", b"http://localhost.evil.com", False),
    ("http://localhost:*", b"http://localhost:3000@evil.com", False),
    ("http://[::1]:*", b"http://[::1]:5173", True),
    ("http://[::1]:*", b"http://[::1]", True),
    ("http://127.0.0.1:*", b"http://127.0.0.1:5173", True),
    ("https://*.example.com:*", b"https://a.b.example.com:8443", True),
    ("https://*.example.com:*", b"https://a.example.com", True),
    ("https://*.example.com:*", b"https://example.com:8443", False),
    # rule 17
    ("https://pr-*--shop.example.com", b"https://pr-12--shop.example.com", True),
    ("https://pr-*--shop.example.com", b"https://pr---shop.example.com", False),
    ("https://pr-*--shop.example.com", b"https://pr-a.b--shop.example.com", False),
    ("https://pr-*--shop.example.com", b"https://pr-a_b--shop.example.com", False),
    ("https://pr-*--shop.example.com", b"https://xpr-1--shop.example.com", False),
    ("https://pr-*--shop.example.com", b"https://pr-1--shopx.example.com", False),
    ("https://pr-*.shop.example.com", b"https://pr-1.shop.example.com", True),
    ("https://pr-*.shop.example.com", b"https://pr-1.a.shop.example.com", False),
    ("https://*-pr.shop.example.com:*", b"https://7-pr.shop.example.com:444", True),
    ("https://*-pr.shop.example.com", b"https://-pr.shop.example.com", False),
]


@pytest.mark.parametrize(("pattern", "origin", "matches"), PATTERNS)
def test_a_pattern_matches_as_its_rule_describes(
    pattern: str,
    origin: bytes,
    matches: bool,  # noqa: FBT001 - an expectation
) -> None:
    """Every form of pattern, alone and among others (cors.md 14-17)."""
    alone = OriginSet([SourceText(pattern)])
    others = ["https://a.test", "https://*.b.test", "http://c.test:*", "https://d-*.e.test"]
    among = OriginSet([SourceText(text) for text in (*others, pattern)])
    assert (alone.match(origin) is not None) is matches
    assert (among.match(origin) is not None) is matches


def naive(pattern: str, origin: bytes) -> bool:
    """Match character by character, in the plainest way that can be written."""
    parts = parse_origin(origin)
    if parts is None:
        return False
    scheme, host, port = (part.decode() for part in parts)
    head, _, rest = pattern.partition("://")
    wanted, _, wanted_port = rest.partition(":")
    if scheme != head or (wanted_port not in {"*", port}):
        return False
    if wanted.startswith("*."):
        return host.endswith(wanted[1:]) and len(host) > len(wanted[1:]) and host[0] != "."
    left, star, right = wanted.partition("*")
    if not star:
        return host == wanted
    middle = host[len(left) : len(host) - len(right)]
    fits = host.startswith(left) and host.endswith(right) and len(host) > len(left) + len(right)
    return fits and all(char.isalnum() or char == "-" for char in middle)


LABELS = st.sampled_from(["a", "b", "ab", "a-b", "foo", "bar", "foobar", "barfoo", "x-1", "x_1"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
PORTS = st.sampled_from(["", ":80", ":443", ":8080", ":1"])
SCHEMES = st.sampled_from(["http", "https"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """Return any good pattern over a small alphabet, so that near misses are common."""
    host = draw(HOSTS)
    form = draw(st.sampled_from(["exact", "below", "inside"]))
    if form == "below":
        host = f"*.{host}"
    elif form == "inside":
        left, right = draw(st.sampled_from([("x-", ""), ("", "-b"), ("a", "r"), ("f", "o")]))
        host = f"{left}*{right}.{host}"
    return f"{draw(SCHEMES)}://{host}{draw(st.one_of(PORTS, st.just(':*')))}"


@st.composite
def origins_like(draw: st.DrawFn, allowed: list[str]) -> bytes:
    """Return an origin: a random one, or one made from a pattern and then bent."""
    if draw(st.booleans()):
        return f"{draw(SCHEMES)}://{draw(HOSTS)}{draw(PORTS)}".encode()
    text = draw(st.sampled_from(allowed)).replace(":*", draw(PORTS))
    text = text.replace("*", draw(st.sampled_from(["a", "a.b", "", "x-1", "x_1", "."])))
    at = draw(st.integers(0, len(text)))
    bend = draw(st.sampled_from(["", "", "a", ".", "-", "_", ":", "*", "/", "@", "A", "\x00"]))
    return (text[:at] + bend + text[at:]).encode()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_matching_equals_the_naive_matcher(data: st.DataObject) -> None:
    """Never a grant that the naive matcher refuses, nor the reverse (cors.md 19)."""
    allowed = data.draw(st.lists(patterns(), min_size=1, max_size=8))
    index = OriginSet([SourceText(text) for text in allowed])
    for _ in range(8):
        origin = data.draw(origins_like(allowed))
        assert (index.match(origin) is not None) == any(naive(text, origin) for text in allowed)


def test_suffixes_of_one_pattern_do_not_meet_prefixes_of_another() -> None:
    """`barfoo.com` is neither foo.com nor bar.com; optimised matchers have failed here (cors.md 19)."""
    index = OriginSet([SourceText(text) for text in ("https://foo.com", "https://bar.com")])
    for host in (b"barfoo.com", b"foobar.com", b"foo.combar.com", b"oo.com", b"ar.com"):
        assert index.match(b"https://" + host) is None


def hostile_origins(count: int) -> list[bytes]:
    """Return origins that look allowed: other suffixes, ports, users, look-alikes, control bytes."""
    chance = random.Random(20)
    good = [b"https://app.example.com", b"https://a.preview.example.com", b"http://localhost:3000"]
    evil = b"evil.test"
    tricks: list[Trick] = [
        lambda o: o + b"." + evil,
        # Under a wildcard this would be a subdomain, and allowed.
        lambda o: o.replace(b"://", b"://" + evil + (b"/" if b"preview" in o else b".")),
        lambda o: o + b"@" + evil,
        lambda o: o.replace(b"://", b"://user@"),
        lambda o: o + b"/",
        lambda o: o + b":0%d" % chance.randrange(1, 6000),
        lambda o: o + b":%d" % chance.randrange(65536, 10**7),
        lambda o: o + b":@" + evil,
        lambda o: o + bytes([chance.choice([0, 9, 10, 13, 32, 127, 128, 255])]),
        lambda o: bytes([chance.choice([0, 9, 10, 13, 32, 127])]) + o,
        lambda o: o.replace(b"example", b"ex\xd0\xb0mple").replace(b"localhost", b"l\xd0\xbecalhost"),
        lambda o: o.replace(b"example", b"xn--exmple-4nf").replace(b"localhost", b"xn--localhst-6fg"),
        lambda o: o.replace(b".", b"\xe3\x80\x82").replace(b"localhost", b"local\xe2\x80\x8bhost"),
        lambda o: o.replace(b"://", b"://["),
        lambda o: o.replace(b"://", b"://[") + b"]",
        lambda o: o.upper(),
        lambda o: o.replace(b"https", b"httpss").replace(b"http:", b"ftp:"),
        lambda o: o.replace(b"example", b"*").replace(b"localhost", b"*"),
        lambda o: o + b", " + o,
        lambda o: o + b" " + o,
        lambda o: b"null" + o,
        lambda o: o.replace(b"example.com", b"example.comm").replace(b"localhost", b"localhostt"),
        lambda o: o.replace(b"example.com", b"xample.com").replace(b"localhost", b"ocalhost"),
        lambda o: o.replace(b"example.com", b"example,com").replace(b"localhost", b"local,host"),
        lambda o: o.replace(b"://", b":///"),
        lambda o: o.replace(b"://", b":\\\\"),
        lambda o: o + b"\\." + evil,
        lambda o: o + b"%00." + evil,
        lambda o: o + b"?" + evil,
        lambda o: o + b"#" + evil,
        lambda o: o + b"..",
        lambda o: o[:0] + b"null",
        lambda o: o[:0] + b"file://",
        lambda o: o[:8] + b"a." * 120 + evil,
        lambda o: o * 400,
    ]  # fmt: skip
    made: list[bytes] = []
    while len(made) < count:
        origin = chance.choice(good)
        for trick in chance.sample(tricks, chance.choice([1, 1, 2, 3])):
            origin = trick(origin)
        made.append(origin)
    return made


def test_no_hostile_origin_is_granted() -> None:
    """10 000 origins that look allowed, and none is (cors.md 8-17)."""
    policy = policy_of(
        "https://app.example.com",
        "https://*.preview.example.com",
        "http://localhost:3000",
        allow_credentials=True,
    )
    granted = [
        origin
        for origin in hostile_origins(10_000)
        if decide(policy, Facts(b"GET", (origin,))).verdict is not Verdict.refused
    ]
    assert granted == []


class Counting:
    """A dictionary that counts look-ups."""

    def __init__(self, patterns: dict[bytes, SourceText]) -> None:
        self.patterns = patterns
        self.asked = 0

    def get(self, key: bytes) -> SourceText | None:
        """Look `key` up, and count it."""
        self.asked += 1
        return self.patterns.get(key)


@pytest.mark.parametrize("size", [1, 10_000])
def test_the_number_of_look_ups_does_not_grow_with_patterns_or_client(size: int) -> None:
    """Sub-linear in the patterns, bounded whatever the client sends (cors.md 13, 19)."""
    index = OriginSet(
        [SourceText(f"https://*.p{number}.example.com") for number in range(size)]
        + [SourceText(f"https://pr-*.p{number}.example.com:*") for number in range(size)]
    )
    counting = Counting(index._wild)
    index._wild = counting  # type: ignore[assignment]
    for origin in (b"https://" + b"a." * 126 + b"b", b"https://x.p0.example.org", b"h" * 8192):
        counting.asked = 0
        assert index.match(origin) is None
        assert counting.asked <= 2 * 5


def test_an_8_kilobyte_origin_is_refused_without_parsing() -> None:
    """Longer than 326 bytes is refused without parsing, and cut in what is reported (cors.md 9)."""
    decision = decide(policy_of("https://app.example.com"), Facts(b"GET", (b"https://" * 1024,)))
    assert decision.reason is Reason.origin_too_long
    assert len(decision.subject) == LONGEST_ORIGIN
