"""Rewriting the fields of a response: cors.md 28, 41-54."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, parse_lines
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.response_headers import merge_vary, rewrite
from corsproxy.policy.fields import FIELD_KINDS, Field
from tests.support.policies import APP, EVIL, actual, policy_of

A = APP.decode()
ACAO, ACAC = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
ACEH = "Access-Control-Expose-Headers"

STRIP = policy_of("https://app.example.com", expose_headers=["x-a"], allow_credentials=True)
KEEP = policy_of(
    "https://app.example.com",
    expose_headers=["x-a"],
    upstream_cors_headers="keep",
    resource_policy="same-site",
)
MERGE = policy_of(
    "https://app.example.com", expose_headers=["x-a", "x-b"], upstream_cors_headers="merge"
)
OPEN = policy_of("*", expose_headers=["x-a"])
EXPANDING = policy_of("https://app.example.com", expose_headers=["*"], allow_credentials=True)
EXPANDING_MERGE = policy_of(
    "https://app.example.com",
    expose_headers=["*"],
    allow_credentials=True,
    upstream_cors_headers="merge",
)
TIMED = policy_of(
    "https://app.example.com", timing_allow_origins="same", resource_policy="same-site"
)


def respond(
    policy: Policy,
    *fields: tuple[str, str],
    origin: bytes | None = APP,
    status: int = 200,
) -> list[tuple[str, str]]:
    """Return the fields that a client receives if the upstream sent `fields`."""
    raw = [(name.encode(), value.encode()) for name, value in fields]
    kinds = 0
    for name, _ in raw:
        kinds |= FIELD_KINDS[name]
    decision: Decision = decide(policy, actual(origin))
    lines = rewrite(policy, decision, status, raw, kinds)
    assert lines == b"" or lines.endswith(b"\r\n")
    return [(name.decode(), value.decode()) for name, value in parse_lines(lines)]


OURS = [(ACAO, A), (ACAC, "true"), (ACEH, "x-a")]
VARY = ("Vary", "Origin")
TYPE = ("Content-Type", "text/plain")
THEIRS = [
    ("access-control-allow-origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Access-Control-Allow-Methods", "GET"),
    ("ACCESS-CONTROL-MAX-AGE", "5"),
    ("Access-Control-Expose-Headers", "x-z"),
    ("Access-Control-Allow-Private-Network", "true"),
]


@pytest.mark.parametrize("status", [200, 206, 301, 304, 404, 500, 503])
def test_every_response_has_the_headers(status: int) -> None:
    """Success, redirect, 304 and error alike (cors.md 41, 44, 46, 58)."""
    assert respond(STRIP, TYPE, status=status) == [TYPE, VARY, *OURS]


@pytest.mark.parametrize("origin", [EVIL, None])
def test_a_refused_request_gets_no_headers_but_vary(origin: bytes | None) -> None:
    """No credentials, no exposed names either (cors.md 42, 44)."""
    assert respond(STRIP, TYPE, origin=origin) == [TYPE, VARY]


@pytest.mark.parametrize("origin", [APP, EVIL, None])
def test_any_origin_adds_nothing_to_vary(origin: bytes | None) -> None:
    """Nothing depends on the Origin, and the upstream's lines stay as they are (cors.md 43)."""
    theirs = [("Vary", "Accept"), ("vary", "*"), ("Vary", "Accept")]
    assert respond(OPEN, *theirs, origin=origin) == [*theirs, (ACAO, "*"), (ACEH, "x-a")]


@pytest.mark.parametrize("origin", [APP, EVIL, None])
def test_strip_removes_every_header_of_the_upstream(origin: bytes | None) -> None:
    """Only the policy sets CORS headers, whatever the verdict (cors.md 49)."""
    expected = [TYPE, VARY, *(OURS if origin == APP else [])]
    assert respond(STRIP, *THEIRS, TYPE, origin=origin) == expected


VARIES: list[tuple[list[str], list[str]]] = [
    ([], ["Origin"]),
    (["Accept"], ["Accept, Origin"]),
    (["Accept, Accept-Encoding"], ["Accept, Accept-Encoding, Origin"]),
    (["origin"], ["origin"]),
    (["Accept,ORIGIN , X"], ["Accept,ORIGIN , X"]),
    (["Accept", "Cookie"], ["Accept, Cookie, Origin"]),
    (["Accept", "Origin, Cookie"], ["Accept, Origin, Cookie"]),
    (["*"], ["*"]),
    (["Accept, *"], ["*"]),
    (["Accept", "*"], ["*"]),
    ([""], ["Origin"]),
    ([" , ,"], ["Origin"]),
    (["Origin-Trial"], ["Origin-Trial, Origin"]),
    (["X-Origin"], ["X-Origin, Origin"]),
]


@pytest.mark.parametrize(("theirs", "expected"), VARIES)
def test_vary_is_merged_by_token(theirs: list[str], expected: list[str]) -> None:
    """Order and tokens kept, Origin once, several lines become one (cors.md 45)."""
    got = respond(STRIP, *(("Vary", value) for value in theirs), origin=None)
    assert got == [("Vary", value) for value in expected]


def test_the_merged_vary_takes_the_place_of_the_first() -> None:
    """Its name as the upstream wrote it (cors.md 45)."""
    got = respond(
        STRIP, ("A", "1"), ("vary", "X"), ("B", "2"), ("VARY", "Y"), ("C", "3"), origin=None
    )
    assert got == [("A", "1"), ("vary", "X, Y, Origin"), ("B", "2"), ("C", "3")]


NAMES = st.sampled_from([b"Vary", b"vary", b"VARY", b"X-A", b"Server"])
VALUES = st.lists(
    st.sampled_from([b"Origin", b"origin", b"Accept", b"*", b"", b" ", b"X-Origin"]), max_size=4
).map(b",".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_merging_vary_twice_is_merging_it_once(fields: list[Field]) -> None:
    """Idempotent; other fields keep their bytes and order; one Vary contains Origin once (cors.md 45)."""
    once = merge_vary(fields, b"Origin")
    assert merge_vary(once, b"Origin") == once
    others = [field for field in fields if field[0].lower() != b"vary"]
    assert [field for field in once if field[0].lower() != b"vary"] == others
    [(_, value)] = [field for field in once if field[0].lower() == b"vary"]
    tokens = [token.strip().lower() for token in value.split(b",")]
    assert value == b"*" or b"origin" in tokens


KEPT_CORP = ("Cross-Origin-Resource-Policy", "same-site")


@pytest.mark.parametrize("origin", [APP, EVIL, None])
def test_keep_keeps_the_upstream_s_headers(origin: bytes | None) -> None:
    """Nothing is added, not to Vary either; other headers are still the policy's (cors.md 44, 49, 53)."""
    vary = ("Vary", "Accept")
    assert respond(KEEP, *THEIRS, vary, TYPE, origin=origin) == [*THEIRS, vary, TYPE, KEPT_CORP]


def test_keep_collapses_exact_duplicates() -> None:
    """Two equal lines become one (cors.md 49)."""
    twice = [("Access-Control-Allow-Origin", A), ("access-control-allow-origin", A)]
    assert respond(KEEP, *twice, TYPE) == [twice[0], TYPE, KEPT_CORP]


@pytest.mark.parametrize(
    "theirs",
    [
        [(ACAO, A), (ACAO, "*")],
        [(ACAO, f"{A}, {A}")],
        [(ACAO, "https://a.example, https://b.example")],
        [("Access-Control-Allow-Methods", "GET")],
        [(ACEH, "x-z")],
    ],
)
def test_keep_replaces_upstream_headers_that_cannot_work(theirs: list[tuple[str, str]]) -> None:
    """Two that differ, a comma, or no Allow-Origin: ours replace them (cors.md 49)."""
    assert respond(KEEP, *theirs, TYPE) == [TYPE, VARY, (ACAO, A), (ACEH, "x-a"), KEPT_CORP]


def test_keep_adds_ours_if_the_upstream_sent_none() -> None:
    """Under `keep` a response without CORS headers gets those of the policy (cors.md 49)."""
    assert respond(KEEP, TYPE) == [TYPE, VARY, (ACAO, A), (ACEH, "x-a"), KEPT_CORP]


def test_merge_exposes_the_names_of_both() -> None:
    """Ours for origin and credentials, union for exposed names, each once (cors.md 49)."""
    theirs = [*THEIRS, (ACEH, "X-B, x-c"), (ACEH, "x-c")]
    got = respond(MERGE, *theirs)
    assert got == [VARY, (ACAO, A), (ACEH, "x-a, x-b, x-z, x-c")]
    assert respond(MERGE, *theirs, status=304) == got  # cors.md 46


@pytest.mark.parametrize("origin", [EVIL, None])
def test_merge_exposes_nothing_if_the_origin_is_not_allowed(origin: bytes | None) -> None:
    """The response to a refused request has no CORS headers (cors.md 42, 49)."""
    assert respond(MERGE, *THEIRS, origin=origin) == [VARY]


def test_merge_without_headers_of_the_upstream_is_plain() -> None:
    """Nothing to merge with (cors.md 49)."""
    assert respond(MERGE, TYPE) == [TYPE, VARY, (ACAO, A), (ACEH, "x-a, x-b")]


HIDDEN = [("Set-Cookie", "a=b"), ("Cache-Control", "no-store"), ("ETag", '"1"'), ("X-Total", "3")]


def test_a_star_with_credentials_lists_the_names_that_are_present() -> None:
    """Browsers take `*` literally there; safelisted and forbidden names are left out (cors.md 28)."""
    got = respond(EXPANDING, TYPE, *HIDDEN, ("x-total", "4"), *THEIRS)
    tail = [VARY, (ACAO, A), (ACAC, "true"), (ACEH, "ETag, X-Total, Vary")]
    assert got == [TYPE, *HIDDEN, ("x-total", "4"), *tail]


def test_a_304_carries_no_expansion() -> None:
    """It would overwrite the longer list of the stored response (cors.md 28, 46)."""
    expected = [HIDDEN[2], VARY, (ACAO, A), (ACAC, "true")]
    assert respond(EXPANDING, HIDDEN[2], status=304) == expected
    assert respond(EXPANDING_MERGE, HIDDEN[2], (ACEH, "x-z"), status=304) == expected


def test_expansion_and_merge_go_together() -> None:
    """The names present and those that the upstream exposes (cors.md 28, 49)."""
    got = respond(EXPANDING_MERGE, ("X-A", "1"), (ACEH, "x-z, X-a"))
    assert got[-1] == (ACEH, "X-A, Vary, x-z")


@pytest.mark.parametrize("origin", [EVIL, None])
def test_a_response_to_a_refused_request_is_not_expanded(origin: bytes | None) -> None:
    """No names for a page that may not read them (cors.md 42)."""
    assert respond(EXPANDING, HIDDEN[2], origin=origin) == [HIDDEN[2], VARY]


@pytest.mark.parametrize("policy", [STRIP, KEEP, MERGE, OPEN, EXPANDING, TIMED])
def test_101_carries_no_cors_header(policy: Policy) -> None:
    """Neither ours nor the upstream's (cors.md 54)."""
    upgrade = ("Sec-WebSocket-Accept", "x")
    assert respond(policy, *THEIRS, upgrade, status=101) == [upgrade]


def test_timing_and_resource_policy_of_the_upstream_are_replaced() -> None:
    """The policy's headers replace the upstream's (cors.md 53)."""
    theirs = [("Timing-Allow-Origin", "*"), ("Cross-Origin-Resource-Policy", "same-origin")]
    ours = [("Cross-Origin-Resource-Policy", "same-site"), ("Timing-Allow-Origin", A)]
    assert respond(TIMED, *theirs) == [VARY, (ACAO, A), *ours]
    assert respond(TIMED, *theirs, origin=EVIL) == [VARY, ours[0]]
    assert respond(OPEN, *theirs) == [*theirs, (ACAO, "*"), (ACEH, "x-a")]


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["Server", "Vary", "ETag", ACAO, ACAC, ACEH, "access-control-max-age"]),
        st.sampled_from(["*", "x", A, "x, y", "Origin", ""]),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([STRIP, KEEP, MERGE, OPEN, EXPANDING]),
    FIELDS,
    st.sampled_from([APP, EVIL, None]),
)
def test_there_is_never_a_second_allow_origin(
    policy: Policy, fields: list[tuple[str, str]], origin: bytes | None
) -> None:
    """At most one line, never with a comma, and foreign fields keep their order (cors.md 49)."""
    got = respond(policy, *fields, origin=origin)
    values = [value for name, value in got if name.lower() == ACAO.lower()]
    assert len(values) <= 1
    assert not any("," in value for value in values)
    foreign = {"server", "etag"}
    before = [field for field in fields if field[0].lower() in foreign]
    assert [field for field in got if field[0].lower() in foreign] == before


def test_a_response_without_fields_has_what_the_decision_adds() -> None:
    """The fast path handles an empty list."""
    assert respond(OPEN) == [(ACAO, "*"), (ACEH, "x-a")]
    assert respond(STRIP, origin=None) == [VARY]
