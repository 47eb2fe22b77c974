"""Explanations: steps, browsers' messages, the smallest change, live responses (cors.md 67, 70)."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.cli.explanation import render
from corsproxy.explain.console import console
from corsproxy.explain.explain import (
    AUTHORIZATION_NOTE,
    LOCAL_NETWORK_NOTE,
    REDIRECT_NOTE,
    Explanation,
    explain,
)
from corsproxy.explain.fetch_algorithm import UNENFORCED, Blocked, BrowserRefusal, PageRequest
from corsproxy.explain.predict import is_local_from_public, origin_of, preflight_facts
from corsproxy.explain.probe import LiveResponse, explain_responses, live_requests
from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.policy import Policy, compile_policy
from corsproxy.policy.cors.reasons import REASON_TEXTS, Reason, Verdict, describe, reasons_table
from corsproxy.policy.printable import printable_ascii
from tests.support.policies import APP, EVIL, policy_of, spec_of

URL = "https://api.example.com/items"
GET = PageRequest(b"GET", URL, APP)
PUT = PageRequest(b"PUT", URL, APP, ((b"X-A", b"1"),))
WRONG = PageRequest(b"PATCH", URL, EVIL, ((b"X-B", b"1"), (b"x-c", b"2")))
POLICY = policy_of("https://app.example.com", allow_methods=["GET", "PUT"], allow_headers=["x-a"])
OPEN = policy_of("*", allow_headers=["*"])


def states(explanation: Explanation) -> dict[str, str]:
    """Return the state of each step by its name."""
    return {step.name: step.state for step in explanation.steps}


def test_a_request_that_works_is_ticked_off() -> None:
    """Every step passes, with the line that allowed it, and nothing is to do."""
    found = explain(POLICY, PUT)
    assert found.works
    assert states(found) == dict.fromkeys(["origin", "method", "headers", "browser"], "ok")
    assert found.steps[0].pos is not None
    assert found.steps[0].pos.line == 1
    assert found.change is None
    assert found.consoles == {"chromium": [], "firefox": [], "safari": []}
    assert [(response.to, response.status) for response in found.responses] == [
        ("preflight", 204),
        ("request", 0),
    ]


def test_every_step_is_run_after_the_first_that_fails() -> None:
    """Unlike the decision, which stops (cors.md 70)."""
    found = explain(POLICY, WRONG)
    assert not found.works
    assert states(found) == dict.fromkeys(["origin", "method", "headers", "browser"], "failed")
    assert found.reason is Reason.origin_not_allowed
    assert [response.to for response in found.responses] == ["preflight"]


def test_steps_that_no_browser_takes_are_skipped() -> None:
    """A simple request has no preflight (cors.md 1)."""
    found = explain(POLICY, GET._replace(origin=EVIL))
    assert states(found) == {
        "origin": "failed",
        "method": "skipped",
        "headers": "skipped",
        "browser": "failed",
    }


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([POLICY, OPEN]),
    st.sampled_from([b"GET", b"PUT", b"PATCH", b"TRACE", b"put"]),
    st.sampled_from([APP, EVIL, b"null", b"https://app.example.com:443"]),
    st.sampled_from([(), ((b"X-A", b"1"),), ((b"X-B", b"1"),)]),
)
def test_explain_agrees_with_decide(
    policy: Policy, method: bytes, origin: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """The very same function decides (cors.md 70)."""
    page_request = PageRequest(method, URL, origin, headers)
    found = explain(policy, page_request)
    if found.responses[0].to == "preflight":
        decision = decide(
            policy,
            preflight_facts(page_request._replace(method=method if method != b"put" else b"PUT")),
        )
        assert (found.verdict, found.reason) == (decision.verdict, decision.reason)
        assert found.responses[0].fields == decision.headers


CHROMIUM = (
    "Access to fetch at 'https://api.example.com/items' from origin '{origin}' has been blocked by "
    "CORS policy: {words}"
)
FIREFOX = (
    "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at "
    "https://api.example.com/items. (Reason: {words})."
)
FIREFOX_AFTER = FIREFOX.format(words="CORS request did not succeed") + " Status code: (null)."
IN_PREFLIGHT = "Response to preflight request doesn't pass access control check: "
MISSING = "No 'Access-Control-Allow-Origin' header is present on the requested resource."
VALID = " Have the server send the header with a valid value."


def curly(text: str) -> str:
    """Return `text` with the quotation marks that Firefox prints."""
    return text.replace("<", "\u2018").replace(">", "\u2019")


# What is wrong, then the words of Chromium, the reason of Firefox, the words of WebKit.
WORDS: list[tuple[Blocked, str, str, str]] = [
    (
        Blocked(BrowserRefusal.allow_origin_missing, b"", 200, in_preflight=False),
        MISSING,
        "CORS header <Access-Control-Allow-Origin> missing). Status code: 200.",
        f"Origin {APP.decode()} is not allowed by Access-Control-Allow-Origin. Status code: 200",
    ),
    (
        Blocked(BrowserRefusal.allow_origin_missing, b"", 204, in_preflight=True),
        IN_PREFLIGHT + MISSING,
        "CORS header <Access-Control-Allow-Origin> missing). Status code: 204.",
        f"Origin {APP.decode()} is not allowed by Access-Control-Allow-Origin. Status code: 204",
    ),
    (
        Blocked(
            BrowserRefusal.allow_origin_mismatch, b"https://x.example", 200, in_preflight=False
        ),
        "The 'Access-Control-Allow-Origin' header has a value 'https://x.example' that is not equal "
        "to the supplied origin." + VALID,
        "CORS header <Access-Control-Allow-Origin> does not match <https://x.example>).",
        f"Origin {APP.decode()} is not allowed by Access-Control-Allow-Origin. Status code: 200",
    ),
    (
        Blocked(BrowserRefusal.allow_origin_mismatch, b"app.example", 200, in_preflight=False),
        "The 'Access-Control-Allow-Origin' header contains the invalid value 'app.example'."
        + VALID,
        "CORS header <Access-Control-Allow-Origin> does not match <app.example>).",
        f"Origin {APP.decode()} is not allowed by Access-Control-Allow-Origin. Status code: 200",
    ),
    (
        Blocked(BrowserRefusal.allow_origin_multiple, b"a, a", 200, in_preflight=False),
        "The 'Access-Control-Allow-Origin' header contains multiple values 'a, a', but only one is "
        "allowed." + VALID,
        "Multiple CORS header <Access-Control-Allow-Origin> not allowed).",
        "Access-Control-Allow-Origin cannot contain more than one origin.",
    ),
    (
        Blocked(BrowserRefusal.credentials_not_true, b"false", 200, in_preflight=False),
        (
            "The value of the 'Access-Control-Allow-Credentials' header in the response is 'false' which "
            "must be 'true' when the request's credentials mode is 'include'."
        ),
        "expected <true> in CORS header <Access-Control-Allow-Credentials>).",
        'Credentials flag is true, but Access-Control-Allow-Credentials is not "true".',
    ),
    (
        Blocked(BrowserRefusal.preflight_status, b"", 404, in_preflight=True),
        IN_PREFLIGHT + "It does not have HTTP ok status.",
        "CORS preflight response did not succeed). Status code: 404.",
        "Preflight response is not successful. Status code: 404",
    ),
    (
        Blocked(BrowserRefusal.method_not_allowed, b"PUT", 204, in_preflight=True),
        "Method PUT is not allowed by Access-Control-Allow-Methods in preflight response.",
        "Did not find method in CORS header <Access-Control-Allow-Methods>).",
        "Method PUT is not allowed by Access-Control-Allow-Methods.",
    ),
    (
        Blocked(BrowserRefusal.header_not_allowed, b"x-a", 204, in_preflight=True),
        (
            "Request header field x-a is not allowed by Access-Control-Allow-Headers in preflight "
            "response."
        ),
        (
            "header <x-a> is not allowed according to header <Access-Control-Allow-Headers> from CORS "
            "preflight response)."
        ),
        "Request header field x-a is not allowed by Access-Control-Allow-Headers.",
    ),
    (
        Blocked(BrowserRefusal.methods_unreadable, b"P T", 204, in_preflight=True),
        "Cannot parse Access-Control-Allow-Methods response header field in preflight response.",
        "invalid token <P T> in CORS header <Access-Control-Allow-Methods>).",
        "Header Access-Control-Allow-Methods has an invalid value: P T",
    ),
]


@pytest.mark.parametrize(("blocked", "chromium", "firefox", "webkit"), WORDS)
def test_the_messages_of_browsers_are_word_for_word(
    blocked: Blocked, chromium: str, firefox: str, webkit: str
) -> None:
    """Word for word what Chromium 156, Firefox 153 and WebKitGTK 2.50 were seen to print."""
    first = FIREFOX.removesuffix(").").format(words=curly(firefox))
    assert console(GET, [blocked]) == {
        "chromium": [CHROMIUM.format(origin=APP.decode(), words=chromium)],
        "firefox": [first, FIREFOX_AFTER] if blocked.in_preflight else [first],
        "safari": [webkit, f"Fetch API cannot load {URL} due to access control checks."],
    }


def test_firefox_quotes_the_url_if_the_wildcard_meets_credentials() -> None:
    """The one message of Firefox that does (seen in Firefox 153)."""
    printed = explain(OPEN, GET._replace(credentials=True)).consoles
    [line] = printed["firefox"]
    assert curly("at <https://api.example.com/items>. (Reason: Credential is not supported") in line
    [line] = printed["chromium"]
    assert "must not be the wildcard '*' when the request's credentials mode is 'include'." in line
    star = "Cannot use wildcard in Access-Control-Allow-Origin when credentials flag is true."
    assert printed["safari"][0] == star


def test_safari_looks_at_the_status_of_a_preflight_first() -> None:
    """A 403 without headers: the others report the header, WebKit the status (seen in all three)."""
    printed = explain(POLICY, PUT._replace(origin=EVIL)).consoles
    assert printed["safari"][0] == "Preflight response is not successful. Status code: 403"
    assert MISSING in printed["chromium"][0]
    assert "missing). Status code: 403." in printed["firefox"][0]


def test_firefox_prints_three_lines_for_a_redirected_preflight() -> None:
    """The redirect, the status, and the failed request (seen in Firefox 153)."""
    redirected = Blocked(BrowserRefusal.preflight_redirect, b"", 302, in_preflight=True)
    lines = console(PUT, [redirected])["firefox"]
    assert "(Reason: CORS request external redirect not allowed)." in lines[0]
    assert "did not succeed). Status code: 302." in lines[1]
    assert lines[2] == FIREFOX_AFTER


def test_authorization_under_a_star_works_and_is_warned_of() -> None:
    """The standard refuses it, no browser does yet: the browser decides (cors.md 36)."""
    page_request = GET._replace(headers=((b"Authorization", b"x"),))
    found = explain(OPEN, page_request)
    assert found.works
    assert AUTHORIZATION_NOTE in found.notes
    star = ((b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Allow-Headers", b"*"))
    assert (
        AUTHORIZATION_NOTE
        in explain_responses(page_request, LiveResponse(204, star), LiveResponse(200, star)).notes
    )


@pytest.mark.parametrize("refusal", sorted(set(BrowserRefusal) - UNENFORCED))
def test_every_browser_has_a_message_for_every_refusal(refusal: BrowserRefusal) -> None:
    """No gap in the tables, and no placeholder left in the text."""
    printed = console(GET, [Blocked(refusal, b"{x}", 418, in_preflight=True)])
    assert all(lines and lines[0] for lines in printed.values())
    assert not any("{subject}" in line for lines in printed.values() for line in lines)


CHANGES: list[tuple[str, dict[str, Any], PageRequest, dict[str, Any]]] = [
    ("origin", {}, GET._replace(origin=EVIL), {"allow_origins": [EVIL.decode()]}),
    ("method", {}, GET._replace(method=b"DELETE"), {"allow_methods": ["DELETE"]}),
    ("method-quoted", {}, GET._replace(method=b"no"), {"allow_methods": ["no"]}),
    ("method-odd", {}, GET._replace(method=b"!*'#"), {"allow_methods": ["!*'#"]}),
    ("header", {"allow_methods": ["PUT"]}, PUT, {"allow_headers": ["x-a"]}),
    ("all", {}, WRONG, {"allow_origins": [EVIL.decode()], "allow_methods": ["PATCH"], "allow_headers": ["x-b", "x-c"]}),
    ("null", {}, GET._replace(origin=b"null"), {"allow_origins": ["null"], "dangerously_allow_null_origin": True}),
    ("credentials", {}, GET._replace(credentials=True), {"allow_credentials": True}),
    ("insecure", {"allow_credentials": True}, GET._replace(origin=b"http://a.example"), {"allow_origins": ["http://a.example"], "dangerously_allow_insecure_origins": True}),
    ("star-credentials", {"allow_origins": ["*"]}, GET._replace(credentials=True), {"allow_origins": [APP.decode()], "allow_credentials": True}),
    ("uncovered", {"allow_origins": ["*"], "allow_headers": ["*"]}, GET._replace(headers=((b"Authorization", b"x"),), credentials=True), {"allow_origins": [APP.decode()], "allow_credentials": True, "allow_headers": ["authorization"]}),
    ("odd-port", {}, GET._replace(origin=b"http://[::1]:8080"), {"allow_origins": ["http://[::1]:8080"]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "page_request", "edits"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_the_smallest_change_lets_the_request_work(
    keys: dict[str, Any], page_request: PageRequest, edits: dict[str, Any]
) -> None:
    """Its YAML parses to the same change, and with it the request works (cors.md 67)."""
    origins = keys.get("allow_origins", ["https://app.example.com"])
    terms = spec_of(
        *origins, **{key: value for key, value in keys.items() if key != "allow_origins"}
    )
    found = explain(compile_policy(terms), page_request)
    assert not found.works
    assert found.change is not None
    assert yaml.safe_load(found.change.yaml()) == edits
    assert explain(compile_policy(found.change.apply(terms)), page_request).works


NO_CHANGE: list[tuple[str, PageRequest]] = [
    ("default-port", GET._replace(origin=b"https://app.example.com:443")),
    ("case", GET._replace(origin=b"https://APP.example.com")),
    ("malformed", GET._replace(origin=b"https://app.example.com/")),
    ("list", GET._replace(origin=b"https://a.example, https://b.example")),
    ("forbidden-method", GET._replace(method=b"TRACE")),
    ("no-method", GET._replace(method=b"P T")),
    ("works", GET),
]


@pytest.mark.parametrize(
    "page_request", [row[1] for row in NO_CHANGE], ids=[row[0] for row in NO_CHANGE]
)
def test_no_change_is_suggested_if_only_the_client_can_help(page_request: PageRequest) -> None:
    """A change that would make the policy invalid is not suggested (cors.md 22, 25)."""
    assert explain(POLICY, page_request).change is None


def test_null_with_credentials_is_never_proposed() -> None:
    """It would be an error in the configuration (cors.md 22)."""
    policy = policy_of("https://app.example.com", allow_credentials=True)
    found = explain(policy, GET._replace(origin=b"null", credentials=True))
    assert not found.works
    assert found.change is None


def test_a_websocket_is_checked_by_its_origin_only() -> None:
    """No CORS, no browser check; 101 without headers, or 403 (cors.md 54)."""
    opened = explain(POLICY, GET, is_websocket=True)
    assert opened.works
    assert opened.responses[0].status == 101
    assert opened.responses[0].fields == ()
    refused = explain(POLICY, GET._replace(origin=EVIL), is_websocket=True)
    assert not refused.works
    assert refused.reason is Reason.websocket_origin_not_allowed
    assert states(refused)["websocket"] == "failed"
    assert refused.responses[0].status == 403
    assert refused.change is not None


def test_a_page_of_the_same_origin_is_not_checked() -> None:
    """Origin does not mean cross-origin (cors.md 5)."""
    found = explain(
        policy_of("https://app.example.com", on_refused="block"),
        PUT._replace(origin=b"https://api.example.com"),
    )
    assert found.works
    assert states(found)["browser"] == "skipped"


def test_blocked_requests_do_not_work() -> None:
    """403, and the request is not forwarded (cors.md 55)."""
    found = explain(
        policy_of("https://app.example.com", on_refused="block"), GET._replace(origin=EVIL)
    )
    assert found.responses[-1].status == 403


NOTES: list[tuple[Policy, PageRequest, str]] = [
    (POLICY, GET._replace(origin=b"null"), REDIRECT_NOTE),
    (POLICY, GET._replace(url="http://127.0.0.1:9000/"), LOCAL_NETWORK_NOTE),
    (OPEN, GET._replace(headers=((b"Authorization", b"x"),)), AUTHORIZATION_NOTE),
    (POLICY, GET._replace(headers=((b"Cookie", b"a"),)), "browsers do not send headers that pages may not set: Cookie"),
    (policy_of("https://app.example.com", max_age=3600), PUT, "max_age is 3600 s: Chromium caches a preflight for at most 7200 s, Safari 600 s, Firefox 86400 s"),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "page_request", "note"), NOTES)
def test_surprising_cases_have_a_note(policy: Policy, page_request: PageRequest, note: str) -> None:
    """Redirects, local networks, Authorization under `*`, caps (cors.md 29, 36, 39, 59)."""
    assert note in explain(policy, page_request).notes
    assert note not in explain(policy, GET).notes


@pytest.mark.parametrize(
    ("origin", "url", "local"),
    [
        (b"https://app.example.com", "http://localhost:9000/", True),
        (b"https://app.example.com", "http://[::1]/", True),
        (b"https://app.example.com", "http://192.168.1.1/", True),
        (b"https://app.example.com", "http://api.localhost./", True),
        (b"https://app.example.com", "http://api.localhost/", True),
        (b"https://app.example.com", "http://printer.local/", True),
        (b"https://app.example.com", "http://printer.local.:631/", True),
        (b"https://app.example.com", "https://api.corp.internal:8443/", True),
        (b"https://app.example.com", "https://API.corp.INTERNAL./", True),
        (b"https://app.example.com", "https://internal.example.com/", False),
        (b"https://app.example.com", "https://api.notinternal/", False),
        (b"https://app.example.com", "https://api.notlocal/", False),
        (b"https://app.example.com", "https://notlocalhost/", False),
        (b"https://app.example.com", "https://localhost.example.com/", False),
        (b"https://app.example.com", "http://93.184.216.34/", False),
        (b"https://app.example.com", "http://[fd00::1]/", True),
        (b"https://app.example.com", "https://api.example.com/", False),
        (b"https://app.corp.internal", "https://api.corp.internal/", False),
        (b"http://printer.local", "https://api.corp.internal/", False),
        (b"https://app.corp.internal", "https://api.example.com/", False),
        (b"http://localhost:3000", "http://127.0.0.1:9000/", False),
        (b"null", "http://127.0.0.1:9000/", False),
        (b"https://app.example.com", "http://[bad/", False),
        (b"https://app.example.com", "/only/a/path", False),
    ],
)
def test_local_addresses_are_distinguished_from_public_ones(
    origin: bytes,
    url: str,
    local: bool,  # noqa: FBT001 - an expectation
) -> None:
    """Local Network Access applies only if a public page calls a local address (cors.md 39)."""
    assert is_local_from_public(PageRequest(b"GET", url, origin)) is local


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.example.com:443/a?b", b"https://api.example.com"),
        ("http://api.example.com:8080/", b"http://api.example.com:8080"),
        ("http://[::1]:80/", b"http://[::1]"),
        ("http://a:99999/", None),
        ("http://[/", None),
        ("/a", None),
        ("https://bücher.example/", None),
    ],
)
def test_the_origin_of_a_url_is_written_as_browsers_do(url: str, origin: bytes | None) -> None:
    """Lower case, without a default port; None rather than an exception for an invalid URL."""
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "page_request",
    [GET, PUT, WRONG, GET._replace(origin=b""), GET._replace(origin=b"\xff\x1b[31m")],
)
def test_an_explanation_is_json_and_safe_text(page_request: PageRequest) -> None:
    """All of it; and no control character of a client reaches a terminal (cors.md 69)."""
    found = explain(POLICY, page_request)
    told = json.loads(json.dumps(found.as_json()))
    assert told["works"] is found.works
    assert len(told["steps"]) == 4
    text = render(found, color=False)
    assert text.endswith("\n")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\x1b[3" in render(found, color=True)


def test_the_keys_of_the_json_never_change() -> None:
    """Programs read them: a key that is renamed, missing or new breaks some of them."""
    shown = json.loads(json.dumps(explain(POLICY, WRONG).as_json()))
    assert list(shown) == [
        *(
            "request",
            "route",
            "policy",
            "works",
            "verdict",
            "reason",
            "words",
            "fix",
            "place",
            "steps",
        ),
        *("answers", "consoles", "change", "notes"),
    ]
    assert [list(step) for step in shown["steps"]] == [["name", "state", "words", "place"]] * 4
    assert [list(one) for one in shown["answers"]] == [["to", "status", "headers"]]
    assert list(shown["change"]) == ["yaml", "policy", "place", "new", "dangerous"]


def test_the_text_has_the_whole_explanation() -> None:
    """Ticks and crosses, the line, the consoles, the change."""
    text = render(explain(POLICY, WRONG), color=False)
    for part in (
        "✗ PATCH https://api.example.com/items is blocked under the policy spa",
        "✗ origin   the origin https://evil.example.org is not in allow_origins",
        "Chromium prints:",
        "Firefox prints:",
        "Safari prints:",
        "  allow_origins:  # add to the list\n    - https://evil.example.org",
    ):
        assert part in text
    assert "✓ origin   https://app.example.com is allowed  (config.yaml:1:7)" in render(
        explain(POLICY, PUT), color=False
    )


def test_outgoing_requests_are_a_browser_s() -> None:
    """Preflight with sorted names and without the headers themselves; unsafe methods are not sent."""
    preflight, request = live_requests(
        PUT._replace(headers=((b"X-B", b"2"), (b"Cookie", b"c"), (b"X-A", b"1")))
    )
    assert request is None
    assert preflight is not None
    assert preflight.method == b"OPTIONS"
    assert preflight.fields[:3] == (
        (b"Origin", APP),
        (b"Access-Control-Request-Method", b"PUT"),
        (b"Access-Control-Request-Headers", b"x-a,x-b"),
    )
    preflight, request = live_requests(
        GET._replace(method=b"get", headers=((b"X-A", b"1"), (b"Cookie", b"c")))
    )
    assert preflight is not None
    assert request is not None
    assert request.method == b"GET"
    assert request.fields[:2] == ((b"Origin", APP), (b"X-A", b"1"))
    assert live_requests(GET)[0] is None


ALLOW = ((b"Access-Control-Allow-Origin", APP), (b"Vary", b"Origin"))


def test_live_responses_are_checked_as_a_browser_would() -> None:
    """A correct server works; the notes name the caps and the exposed names."""
    found = explain_responses(
        GET, None, LiveResponse(200, (*ALLOW, (b"X-A", b"1"), (b"ETag", b"1")))
    )
    assert found.works
    assert found.verdict is Verdict.allowed
    assert "the page can read these headers: none" in found.notes
    assert states(found) == {"preflight": "skipped", "request": "ok", "browser": "ok"}


LIVE: list[tuple[PageRequest, LiveResponse | None, LiveResponse | None, str]] = [
    (GET, None, LiveResponse(500, ()), "send Access-Control-Allow-Origin: https://app.example.com, on errors too"),
    (GET, None, LiveResponse(200, ((b"access-control-allow-origin", b"https://a.example"),)), "send Access-Control-Allow-Origin: https://app.example.com for this origin"),
    (GET, None, LiveResponse(200, ALLOW + ALLOW), "send one Access-Control-Allow-Origin with one origin; look for a proxy that adds a second"),
    (GET._replace(credentials=True), None, LiveResponse(200, ALLOW), "send Access-Control-Allow-Credentials: true"),
    (PUT, LiveResponse(405, ALLOW), None, "respond to OPTIONS with a status from 200 to 299, before any login"),
    (PUT, LiveResponse(302, ALLOW), None, "respond to the preflight without a redirect, or request the final address"),
    (PUT, LiveResponse(200, ALLOW), None, "list PUT in Access-Control-Allow-Methods; list x-a in Access-Control-Allow-Headers"),
    (PUT, LiveResponse(405, ()), None, "send Access-Control-Allow-Origin: https://app.example.com, on errors too; respond to OPTIONS with a status from 200 to 299, before any login"),
    (PUT, LiveResponse(200, (*ALLOW, (b"Access-Control-Allow-Methods", b"PUT"))), None, "list x-a in Access-Control-Allow-Headers"),
]  # fmt: skip


@pytest.mark.parametrize(("page_request", "preflight", "response", "fix"), LIVE)
def test_a_failed_live_response_has_a_fix_for_the_server(
    page_request: PageRequest,
    preflight: LiveResponse | None,
    response: LiveResponse | None,
    fix: str,
) -> None:
    """Against any server, this proxy or not."""
    found = explain_responses(page_request, preflight, response)
    assert not found.works
    assert found.verdict is Verdict.refused
    assert found.fix == fix
    assert all(found.consoles.values())
    assert fix in render(found, color=False)


def test_a_request_after_a_failed_preflight_is_not_checked() -> None:
    """The browser would never have sent it."""
    page_request = GET._replace(headers=((b"X-A", b"1"),))
    found = explain_responses(page_request, LiveResponse(403, ()), LiveResponse(200, ALLOW))
    assert states(found) == {"preflight": "failed", "request": "skipped", "browser": "failed"}


def test_a_preflight_alone_is_enough() -> None:
    """An unsafe request is not sent: the response to the preflight decides."""
    lists = ((b"Access-Control-Allow-Methods", b"PUT"), (b"Access-Control-Allow-Headers", b"x-a"))
    found = explain_responses(
        PUT, LiveResponse(204, (*ALLOW, *lists, (b"Access-Control-Max-Age", b"9000"))), None
    )
    assert found.works
    assert states(found)["request"] == "skipped"
    assert (
        "browsers cache the response to the preflight: Chromium 7200 s, Firefox 9000 s, Safari 600 s"
        in found.notes
    )


@pytest.mark.parametrize(
    ("vary", "noted"), [(b"Accept", True), (b"Accept, origin", False), (b"*", False), (None, True)]
)
def test_a_response_without_vary_is_noted(vary: bytes | None, noted: bool) -> None:  # noqa: FBT001 - an expectation
    """A cache would serve it to other origins (cors.md 44)."""
    fields = ALLOW[:1] if vary is None else (ALLOW[0], (b"Vary", vary))
    found = explain_responses(GET, None, LiveResponse(200, fields))
    assert any("its Vary does not list Origin" in note for note in found.notes) is noted
    assert not any(
        "Vary" in note
        for note in explain_responses(
            GET, None, LiveResponse(200, ((b"Access-Control-Allow-Origin", b"*"),))
        ).notes
    )


def test_every_reason_has_words_and_a_fix() -> None:
    """In the order of the codes, each in the table for the documentation (cors.md 66)."""
    assert list(REASON_TEXTS) == list(Reason)
    assert [str(reason) for reason in Reason][:4] == [
        "allowed",
        "no_origin",
        "origin_multiple",
        "origin_malformed",
    ]
    table = reasons_table().splitlines()
    assert len(table) == len(Reason) + 2
    assert all(f"| `{reason}` |" in line for reason, line in zip(Reason, table[2:], strict=True))


def test_client_bytes_are_escaped_and_cut() -> None:
    """One line of printable ASCII, however long and whatever it contains (cors.md 69)."""
    assert printable_ascii(b"https://a\r\n\x1b\xff\\") == "https://a\\x0d\\x0a\\x1b\\xff\\x5c"
    assert printable_ascii(b"a" * 200) == "a" * 127 + "…"
    assert len(printable_ascii(b"\x00" * 128)) == 128
    assert (
        describe(Reason.method_invalid, b"")
        == 'Access-Control-Request-Method is not one valid method: "(empty)"'
    )
