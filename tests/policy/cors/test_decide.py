"""Decisions: a table of policies, each with requests and the exact status and headers."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, Facts, Outcome, is_preflight
from corsproxy.policy.cors.policy import Policy, compile_policy
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.cors.steps import ACTUAL_STEPS, PREFLIGHT_STEPS, headers_step
from corsproxy.policy.source import SourcePos
from tests.support.policies import APP, EVIL, actual, policy_of, preflight, spec_of

Lines = dict[str, str]

PLAIN = policy_of(
    "https://app.example.com",
    "https://*.preview.example.com",
    allow_methods=["GET", "PUT", "PURGE"],
    allow_headers=["Authorization", "Content-Type"],
)
SIGNED_IN = policy_of(
    "https://app.example.com",
    allow_methods=["GET", "PUT"],
    allow_headers=["content-type"],
    expose_headers=["x-request-id", "x-total"],
    allow_credentials=True,
    max_age=600,
)
OPEN = policy_of(
    "*", allow_methods=["*"], allow_headers=["*"], expose_headers=["x-request-id"], max_age=0
)
OPEN_AUTHORIZED = policy_of("*", allow_methods=["*"], allow_headers=["*", "Authorization"])
REFLECTING = policy_of(
    "https://app.example.com",
    allow_methods=["*"],
    allow_headers=["*"],
    allow_credentials=True,
)
REFLECTING_AUTHORIZED = policy_of(
    "https://app.example.com",
    allow_methods=["*"],
    allow_headers=["*", "authorization"],
    allow_credentials=True,
)
MINIMAL = policy_of(
    "https://app.example.com",
    allow_methods=["GET", "PUT", "PATCH"],
    allow_headers=["x-a", "x-b"],
    preflight={"style": "minimal"},
)
MINIMAL_OPEN = policy_of(
    "*", allow_methods=["*"], allow_headers=["*"], preflight={"style": "minimal"}
)
LEGACY = policy_of(
    "https://app.example.com",
    preflight={"status": 200, "refused_status": 404, "vary": False},
)
NULL = policy_of("null", "https://app.example.com", dangerously_allow_null_origin=True)
DEBUG = policy_of(
    "https://app.example.com",
    allow_methods=["GET", "PUT"],
    allow_headers=["x-a"],
    max_age=60,
    debug=True,
)
DEBUG_REFLECTING = policy_of(
    "https://app.example.com",
    allow_methods=["*", "PURGE"],
    allow_headers=["*", "x-a"],
    allow_credentials=True,
    debug=True,
)
DEBUG_STAR = policy_of(
    "https://app.example.com", allow_methods=["*"], allow_headers=["x-a"], debug=True
)
TIMED = policy_of(
    "https://app.example.com", timing_allow_origins="same", resource_policy="cross-origin"
)
TIMED_OPEN = policy_of("*", timing_allow_origins="same", resource_policy="same-site")
TIMED_OWN = policy_of("*", timing_allow_origins=["https://perf.example.com"])
TIMED_ANY = policy_of("https://app.example.com", timing_allow_origins=["*"])

VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
OPEN_VARY = "Access-Control-Request-Method, Access-Control-Request-Headers"
ACAO, ACAC = "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"
ACAM, ACAH = "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"
ACMA, ACEH = "Access-Control-Max-Age", "Access-Control-Expose-Headers"
A = APP.decode()


class Case(NamedTuple):
    """One request under one policy, and the expected decision."""

    id: str
    policy: Policy
    facts: Facts
    reason: Reason
    status: int
    headers: Lines


def allowed(id: str, policy: Policy, facts: Facts, headers: Lines, status: int = 0) -> Case:  # noqa: A002 - as pytest calls it
    """Return a case that is allowed."""
    return Case(id, policy, facts, Reason.allowed, status, headers)


PUT = preflight()
CASES = [
    # 41-44: actual requests
    allowed("41-actual", PLAIN, actual(), {ACAO: A}),
    allowed("41-credentials-exposed", SIGNED_IN, actual(), {ACAO: A, ACAC: "true", ACEH: "x-request-id, x-total"}),
    allowed("15-wildcard", PLAIN, actual(b"https://x.preview.example.com"), {ACAO: "https://x.preview.example.com"}),
    allowed("41-post", PLAIN, actual(method=b"POST"), {ACAO: A}),
    Case("42-refused", SIGNED_IN, actual(EVIL), Reason.origin_not_allowed, 0, {}),
    Case("42-no-origin", SIGNED_IN, actual(None), Reason.no_origin, 0, {}),
    allowed("43-any-origin", OPEN, actual(EVIL), {ACAO: "*", ACEH: "x-request-id"}),
    Case("43-any-no-origin", OPEN, actual(None), Reason.no_origin, 0, {ACAO: "*", ACEH: "x-request-id"}),
    allowed("8-any-unread", OPEN, Facts(b"GET", (b"\x00,", b"b")), {ACAO: "*", ACEH: "x-request-id"}),
    # 1-4: what a preflight is
    allowed("3-get-with-acrm", PLAIN, actual(request_method=(b"PUT",)), {ACAO: A}),
    allowed("2-options-without-acrm", PLAIN, actual(method=b"OPTIONS"), {ACAO: A}),
    Case("2-options-without-origin", PLAIN, Facts(b"OPTIONS", (), (b"PUT",)), Reason.no_origin, 0, {}),
    Case("4-empty-origin", PLAIN, preflight(origin=b""), Reason.origin_malformed, 403, {"Vary": VARY}),
    Case("4-empty-acrm", PLAIN, preflight(b""), Reason.method_invalid, 403, {"Vary": VARY}),
    # 31-38: preflights
    allowed("31-full", PLAIN, PUT, {ACAO: A, ACAM: "GET, PUT, PURGE", ACAH: "Authorization, Content-Type", "Vary": VARY}, 204),
    allowed("37-max-age", SIGNED_IN, preflight(headers=b"content-type"), {ACAO: A, ACAC: "true", ACAM: "GET, PUT", ACAH: "content-type", ACMA: "600", ACEH: "x-request-id, x-total", "Vary": VARY}, 204),
    allowed("35-any", OPEN, preflight(b"FOO", b"x-a"), {ACAO: "*", ACAM: "*", ACAH: "*", ACMA: "0", ACEH: "x-request-id", "Vary": OPEN_VARY}, 204),
    allowed("8-any-unread-preflight", OPEN, preflight(b"FOO", b"x-a", b"a, b"), {ACAO: "*", ACAM: "*", ACAH: "*", ACMA: "0", ACEH: "x-request-id", "Vary": OPEN_VARY}, 204),
    allowed("36-any-authorization", OPEN, preflight(b"PUT", b"authorization"), {ACAO: "*", ACAM: "*", ACAH: "*", ACMA: "0", ACEH: "x-request-id", "Vary": OPEN_VARY}, 204),
    allowed("35-any-with-authorization", OPEN_AUTHORIZED, preflight(b"PUT", b"authorization"), {ACAO: "*", ACAM: "*", ACAH: "*, authorization", "Vary": OPEN_VARY}, 204),
    allowed("35-reflect", REFLECTING, preflight(b"FOO", b"X-A, x-b,,x-a"), {ACAO: A, ACAC: "true", ACAM: "FOO", ACAH: "x-a, x-b", "Vary": VARY}, 204),
    allowed("35-reflect-no-headers", REFLECTING, preflight(b"GET"), {ACAO: A, ACAC: "true", ACAM: "GET", "Vary": VARY}, 204),
    Case("35-reflect-authorization", REFLECTING, preflight(b"PUT", b"authorization,x-a"), Reason.header_not_allowed, 403, {"Vary": VARY}),
    allowed("35-reflect-authorization-listed", REFLECTING_AUTHORIZED, preflight(b"PUT", b"authorization,x-a"), {ACAO: A, ACAC: "true", ACAM: "PUT", ACAH: "authorization, x-a", "Vary": VARY}, 204),
    allowed("35-minimal", MINIMAL, preflight(b"PUT", b"x-b"), {ACAO: A, ACAM: "PUT", ACAH: "x-b", "Vary": VARY}, 204),
    allowed("35-minimal-safelisted", MINIMAL, preflight(b"POST"), {ACAO: A, "Vary": VARY}, 204),
    allowed("35-minimal-any", MINIMAL_OPEN, preflight(b"PUT", b"x-b"), {ACAO: "*", ACAM: "*", ACAH: "*", "Vary": OPEN_VARY}, 204),
    allowed("31-38-statuses-no-vary", LEGACY, preflight(b"GET"), {ACAO: A, ACAM: "GET, HEAD, POST"}, 200),
    Case("31-refused-status", LEGACY, PUT, Reason.method_not_allowed, 404, {}),
    Case("31-refused-origin", SIGNED_IN, preflight(origin=EVIL), Reason.origin_not_allowed, 403, {"Vary": VARY}),
    # 33: methods
    allowed("33-safelisted-unlisted", PLAIN, preflight(b"POST"), {ACAO: A, ACAM: "GET, PUT, PURGE", ACAH: "Authorization, Content-Type", "Vary": VARY}, 204),
    Case("33-case-sensitive", PLAIN, preflight(b"put"), Reason.method_not_allowed, 403, {"Vary": VARY}),
    Case("33-get-in-lower-case", PLAIN, preflight(b"get"), Reason.method_not_allowed, 403, {"Vary": VARY}),
    Case("33-not-listed", PLAIN, preflight(b"PATCH"), Reason.method_not_allowed, 403, {"Vary": VARY}),
    Case("33-connect", OPEN, preflight(b"CONNECT"), Reason.method_forbidden, 403, {"Vary": OPEN_VARY}),
    Case("33-trace", OPEN, preflight(b"trace"), Reason.method_forbidden, 403, {"Vary": OPEN_VARY}),
    Case("33-track", OPEN, preflight(b"Track"), Reason.method_forbidden, 403, {"Vary": OPEN_VARY}),
    Case("33-no-token", OPEN, preflight(b"PU T"), Reason.method_invalid, 403, {"Vary": OPEN_VARY}),
    Case("33-comma", OPEN, preflight(b"PUT,GET"), Reason.method_invalid, 403, {"Vary": OPEN_VARY}),
    Case("33-129-bytes", OPEN, preflight(b"M" * 129), Reason.method_invalid, 403, {"Vary": OPEN_VARY}),
    Case("33-two-lines", OPEN, PUT._replace(request_method=(b"PUT", b"PUT")), Reason.method_invalid, 403, {"Vary": OPEN_VARY}),
    # 12: null
    allowed("12-null-listed", NULL, actual(b"null"), {ACAO: "null"}),
    Case("12-null-unlisted", PLAIN, actual(b"null"), Reason.origin_null, 0, {}),
    allowed("12-null-under-any", OPEN, actual(b"null"), {ACAO: "*", ACEH: "x-request-id"}),
    # 53: timing and resource policy, never on a preflight
    allowed("53-same", TIMED, actual(), {ACAO: A, "Cross-Origin-Resource-Policy": "cross-origin", "Timing-Allow-Origin": A}),
    Case("53-same-refused", TIMED, actual(EVIL), Reason.origin_not_allowed, 0, {"Cross-Origin-Resource-Policy": "cross-origin"}),
    Case("53-no-origin", TIMED, actual(None), Reason.no_origin, 0, {"Cross-Origin-Resource-Policy": "cross-origin"}),
    Case("53-any-no-origin", TIMED_OPEN, actual(None), Reason.no_origin, 0, {ACAO: "*", "Cross-Origin-Resource-Policy": "same-site", "Timing-Allow-Origin": "*"}),
    allowed("53-own-list", TIMED_OWN, actual(b"https://perf.example.com"), {ACAO: "*", "Timing-Allow-Origin": "https://perf.example.com"}),
    allowed("53-own-list-other", TIMED_OWN, actual(), {ACAO: "*"}),
    Case("53-own-any-refused", TIMED_ANY, actual(EVIL), Reason.origin_not_allowed, 0, {"Timing-Allow-Origin": "*"}),
    allowed("53-preflight", TIMED, preflight(b"GET"), {ACAO: A, ACAM: "GET, HEAD, POST", "Vary": VARY}, 204),
    # 68: debug
    allowed("68-actual", DEBUG, actual(), {ACAO: A, "X-CORS-Debug": "verdict=allowed; reason=allowed; route=api"}),
    Case("68-method", DEBUG, preflight(b"PATCH"), Reason.method_not_allowed, 204, {ACAO: A, ACAM: "GET, PUT", ACAH: "x-a", "Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=method_not_allowed; route=api"}),
    Case("68-header", DEBUG, preflight(b"PUT", b"x-b"), Reason.header_not_allowed, 204, {ACAO: A, ACAM: "GET, PUT", ACAH: "x-a", "Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=header_not_allowed; route=api"}),
    Case("68-reflecting-header", DEBUG_REFLECTING, preflight(b"FOO", b"authorization"), Reason.header_not_allowed, 204, {ACAO: A, ACAC: "true", ACAM: "FOO", ACAH: "x-a", "Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=header_not_allowed; route=api"}),
    Case("68-reflecting-method", DEBUG_REFLECTING, preflight(b"TRACE"), Reason.method_forbidden, 204, {ACAO: A, ACAC: "true", ACAM: "PURGE", ACAH: "x-a", "Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=method_forbidden; route=api"}),
    Case("68-star", DEBUG_STAR, preflight(b"FOO", b"x-b"), Reason.header_not_allowed, 204, {ACAO: A, ACAM: "*", ACAH: "x-a", "Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=header_not_allowed; route=api"}),
    Case("68-origin", DEBUG, preflight(origin=EVIL), Reason.origin_not_allowed, 403, {"Vary": VARY, "X-CORS-Debug": "verdict=refused; reason=origin_not_allowed; route=api"}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_case_of_the_table_is_decided_exactly(case: Case) -> None:
    """Reason, status and headers, exactly and in order; the number in the id is the rule."""
    decision = decide(case.policy, case.facts, b"api")
    got = [(name.decode(), value.decode()) for name, value in decision.headers]
    assert (decision.reason, decision.status) == (case.reason, case.status)
    assert got == list(case.headers.items())
    expected = {Reason.allowed: Verdict.allowed, Reason.no_origin: Verdict.none}
    assert decision.verdict is expected.get(case.reason, Verdict.refused)
    assert decision.block.endswith(decision.extra)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_decision_is_pure(case: Case) -> None:
    """The same policy and facts give the same decision, however often (cors.md 70)."""
    assert decide(case.policy, case.facts) == decide(case.policy, case.facts)


@pytest.mark.parametrize(
    ("policy", "vary"),
    [(PLAIN, b"Origin"), (SIGNED_IN, b"Origin"), (OPEN, b""), (TIMED_OWN, b"Origin")],
)
@pytest.mark.parametrize("origin", [APP, EVIL, None])
def test_vary_depends_on_the_policy_and_not_on_the_request(
    policy: Policy, vary: bytes, origin: bytes | None
) -> None:
    """Vary: Origin on every response unless none depends on it (cors.md 43, 44, 53)."""
    assert decide(policy, actual(origin)).vary == vary


HEADER_LISTS: list[tuple[str, bytes, Reason]] = [
    ("order", b"content-type,authorization", Reason.allowed),
    ("case", b"CONTENT-Type", Reason.allowed),
    ("duplicates", b"content-type,content-type", Reason.allowed),
    ("white-space", b"\t content-type ,\tauthorization ", Reason.allowed),
    ("empty", b"", Reason.allowed),
    ("16-empty", b"content-type" + b"," * 16, Reason.allowed),
    ("17-empty", b"content-type" + b"," * 17, Reason.headers_too_many),
    ("64-names", b",".join([b"content-type"] * 64), Reason.allowed),
    ("65-names", b",".join([b"content-type"] * 65), Reason.headers_too_many),
    ("4-kib", b"content-type" + b" " * 4084, Reason.allowed),
    ("above-4-kib", b"content-type" + b" " * 4085, Reason.headers_too_many),
    ("only-commas", b"," * 4096, Reason.headers_too_many),
    ("128-bytes", b"x" * 128, Reason.header_not_allowed),
    ("129-bytes", b"x" * 129, Reason.headers_malformed),
    ("no-token", b"content-type,x y", Reason.headers_malformed),
    ("no-token-after-refused", b"x-a,x(y", Reason.headers_malformed),
    ("not-utf-8", b"\xff", Reason.headers_malformed),
    ("control", b"content-type\x00", Reason.headers_malformed),
    ("not-listed", b"content-type,x-a", Reason.header_not_allowed),
]


@pytest.mark.parametrize(
    ("value", "reason"), [case[1:] for case in HEADER_LISTS], ids=[case[0] for case in HEADER_LISTS]
)
def test_requested_headers_are_parsed_as_a_list_within_bounds(value: bytes, reason: Reason) -> None:
    """Order, case, duplicates and white space do not matter; sizes do (cors.md 34)."""
    assert decide(PLAIN, preflight(headers=value)).reason is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"x" * 129, Reason.headers_malformed),
        (b"x y", Reason.headers_malformed),
        (b"," * 4096, Reason.headers_too_many),
        (b",".join([b"x"] * 65), Reason.headers_too_many),
        (b"x" * 128, Reason.allowed),
    ],
)
def test_the_bounds_hold_under_a_star_too(value: bytes, reason: Reason) -> None:
    """`*` allows names, not anything (cors.md 34)."""
    assert decide(OPEN, preflight(headers=value)).reason is reason


def test_several_lines_of_requested_headers_are_one_list() -> None:
    """All lines count, and the bounds apply to their sum (cors.md 34)."""
    facts = preflight()._replace(request_headers=(b"content-type", b"authorization"))
    assert decide(PLAIN, facts).reason is Reason.allowed
    facts = preflight()._replace(request_headers=(b"content-type", b"x-a"))
    assert decide(PLAIN, facts).subject == b"x-a"
    facts = preflight()._replace(request_headers=(b"content-type",) * 65)
    assert decide(PLAIN, facts).reason is Reason.headers_too_many
    facts = preflight()._replace(request_headers=(b" " * 2049, b" " * 2049))
    assert decide(PLAIN, facts).reason is Reason.headers_too_many


def test_the_bound_on_names_applies_to_the_shortest_ones() -> None:
    """65 names of one byte are too many, however few bytes they take (cors.md 34)."""
    policy = policy_of("https://app.example.com", allow_headers=["a"])
    reasons = [decide(policy, preflight(b"GET", b",".join([b"a"] * n))).reason for n in (64, 65)]
    assert reasons == [Reason.allowed, Reason.headers_too_many]


@pytest.mark.parametrize("spaces", [b"", b" "])
def test_the_fast_path_for_a_list_agrees_with_the_slow_one(spaces: bytes) -> None:
    """A short list without white space is looked up whole; the result is the same (cors.md 34)."""
    for names in ([b"content-type"], [b"authorization", b"content-type"], [b"x-a"], [b""]):
        facts = preflight(headers=(b"," + spaces).join(names))
        expected = Reason.header_not_allowed if names == [b"x-a"] else Reason.allowed
        assert headers_step(PLAIN, facts).reason is expected


WORST = preflight(b"PU T", b"x y", EVIL)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (WORST, Reason.origin_not_allowed),
        (WORST._replace(origin=(APP,)), Reason.method_invalid),
        (WORST._replace(origin=(APP,), request_method=(b"PUT",)), Reason.headers_malformed),
    ],
)
def test_the_first_step_that_fails_decides(facts: Facts, reason: Reason) -> None:
    """Origin, then method, then headers: the browser's order."""
    assert decide(PLAIN, facts).reason is reason


def test_steps_after_the_one_that_fails_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`decide` stops; the order is that of the tuple, and origin is first for every request."""
    ran: list[str] = []

    def spy(
        step: Callable[[Policy, Facts], Outcome],
    ) -> Callable[[Policy, Facts], Outcome]:
        def run(policy: Policy, facts: Facts) -> Outcome:
            ran.append(step.__name__)
            return step(policy, facts)

        return run

    monkeypatch.setattr(
        "corsproxy.policy.cors.decide.PREFLIGHT_STEPS", tuple(spy(step) for step in PREFLIGHT_STEPS)
    )
    decide(PLAIN, WORST._replace(origin=(APP,)))
    assert ran == ["origin_step", "method_step"]
    assert [step.__name__ for step in PREFLIGHT_STEPS] == [
        "origin_step",
        "method_step",
        "headers_step",
    ]
    assert PREFLIGHT_STEPS[:1] == ACTUAL_STEPS


WEBSOCKET: list[tuple[str, Policy, bytes | None, Reason, int]] = [
    ("allowed", PLAIN, APP, Reason.allowed, 0),
    ("refused", PLAIN, EVIL, Reason.websocket_origin_not_allowed, 403),
    ("null", PLAIN, b"null", Reason.websocket_origin_not_allowed, 403),
    ("no-origin", PLAIN, None, Reason.no_origin, 0),
    ("any", OPEN, EVIL, Reason.allowed, 0),
    ("unchecked", policy_of("https://app.example.com", check_websocket_origin=False), EVIL, Reason.origin_not_allowed, 0),
    ("unchecked-block", policy_of("https://app.example.com", check_websocket_origin=False, on_refused="block"), EVIL, Reason.origin_not_allowed, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "origin", "reason", "status"),
    [case[1:] for case in WEBSOCKET],
    ids=[case[0] for case in WEBSOCKET],
)
def test_a_websocket_handshake_needs_an_allowed_origin(
    policy: Policy, origin: bytes | None, reason: Reason, status: int
) -> None:
    """No browser would block it, so the proxy does (cors.md 54)."""
    decision = decide(policy, actual(origin, is_websocket=True))
    assert (decision.reason, decision.status) == (reason, status)


def test_the_own_origin_alone_opens_no_websocket() -> None:
    """Under DNS rebinding the attacker chooses the Host, and so our own origin (cors.md 54)."""
    facts = actual(EVIL, is_websocket=True, own_origin=EVIL, fetch_site=b"same-origin")
    assert decide(PLAIN, facts).status == 403


BLOCKING = policy_of("https://app.example.com", on_refused="block")
BLOCK: list[tuple[str, Facts, int]] = [
    ("refused", actual(EVIL), 403),
    ("null", actual(b"null"), 403),
    ("malformed", actual(b""), 403),
    ("two-lines", Facts(b"GET", (APP, APP)), 403),
    ("allowed", actual(), 0),
    ("no-origin", actual(None), 0),
    ("own-origin", actual(b"https://api.example.com", own_origin=b"https://api.example.com"), 0),
    ("other-than-own", actual(EVIL, own_origin=b"https://api.example.com"), 403),
    ("own-unknown", actual(EVIL, own_origin=None), 403),
    ("same-origin-site", actual(b"null", fetch_site=b"same-origin"), 0),
    ("navigation", actual(EVIL, fetch_site=b"none"), 0),
    ("same-site", actual(EVIL, fetch_site=b"same-site"), 403),
    ("cross-site", actual(EVIL, fetch_site=b"cross-site"), 403),
]


@pytest.mark.parametrize(
    ("facts", "status"), [case[1:] for case in BLOCK], ids=[case[0] for case in BLOCK]
)
def test_on_refused_block_stops_cross_site_requests_only(facts: Facts, status: int) -> None:
    """Same-origin requests and navigations work (cors.md 5, 55)."""
    assert decide(BLOCKING, facts).status == status


def test_a_refused_request_is_forwarded_by_default() -> None:
    """A request is never refused for its Origin unless the policy blocks (cors.md 5)."""
    assert decide(PLAIN, actual(EVIL, b"DELETE")).status == 0


PLACES: list[tuple[Facts, int]] = [
    (actual(), 1),
    (actual(b"https://a.preview.example.com"), 2),
    (actual(EVIL), 10),
    (preflight(b"PATCH"), 20),
    (preflight(b"PUT", b"x-a"), 30),
    (preflight(b"PUT"), 1),
]


@pytest.mark.parametrize(("facts", "line"), PLACES)
def test_a_decision_names_the_line_that_decided(facts: Facts, line: int) -> None:
    """The pattern that matched, or the key that had none (cors.md 67)."""
    keys = ("allow_origins", 10), ("allow_methods", 20), ("allow_headers", 30)
    policy = compile_policy(
        spec_of(
            "https://app.example.com",
            "https://*.preview.example.com",
            allow_methods=["GET", "PUT"],
            pos=SourcePos("config.yaml", 99, 1),
            positions=tuple((key, SourcePos("config.yaml", at, 1)) for key, at in keys),
        )
    )
    pos = decide(policy, facts).pos
    assert pos is not None
    assert pos.line == line


def test_a_key_that_was_not_written_points_at_the_policy() -> None:
    """There is always a line to look at (cors.md 67)."""
    policy = policy_of("https://app.example.com", pos=SourcePos("config.yaml", 99, 1))
    assert decide(policy, preflight(b"PATCH")).pos == SourcePos("config.yaml", 99, 1)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (preflight(), True),
        (preflight(b""), True),
        (preflight(origin=b""), True),
        (Facts(b"OPTIONS", (APP,)), False),
        (Facts(b"OPTIONS", (), (b"PUT",)), False),
        (Facts(b"GET", (APP,), (b"PUT",)), False),
        (Facts(b"options", (APP,), (b"PUT",)), False),
    ],
)
def test_a_preflight_is_options_with_origin_and_acrm(facts: Facts, expected: bool) -> None:  # noqa: FBT001 - an expectation
    """Nothing else is, and presence decides (cors.md 1-4)."""
    assert is_preflight(facts) is expected


@pytest.mark.parametrize(
    "origins",
    [(), ("*", "https://a.example"), ("https://a.example/",), ("HTTPS://a.example",)],
)
def test_a_bad_policy_cannot_be_compiled(origins: tuple[str, ...]) -> None:
    """The exception contains its first mistake (cors.md 20-30)."""
    with pytest.raises(ValueError, match="error: "):
        compile_policy(spec_of(*origins))


def test_credentials_never_go_to_every_origin() -> None:
    """No decision under any policy has `*` together with credentials (cors.md 21, 32)."""
    for case in CASES:
        block = decide(case.policy, case.facts).block
        assert not (b"Allow-Origin: *\r\n" in block and b"Allow-Credentials" in block)


def test_a_decision_shows_its_headers_as_pairs() -> None:
    """`headers` parses `block`."""
    decision: Decision = decide(SIGNED_IN, actual())
    assert decision.headers[1] == (b"Access-Control-Allow-Credentials", b"true")
    assert b"".join(b"%b: %b\r\n" % pair for pair in decision.headers) == decision.block
