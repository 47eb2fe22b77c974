"""Checks real responses of any server as a browser would, for `explain --live`.

`live_requests` returns what the caller has to send, `explain_responses` explains the responses.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from corsproxy.explain import fetch_algorithm
from corsproxy.explain.console import console
from corsproxy.explain.explain import (
    AUTHORIZATION_NOTE,
    LOCAL_NETWORK_NOTE,
    Explanation,
    Step,
    browser_step,
)
from corsproxy.explain.fetch_algorithm import Blocked, BrowserRefusal, PageRequest
from corsproxy.explain.predict import (
    PredictedResponse,
    browser_fetch,
    check_responses,
    is_local_from_public,
)
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.fields import Field
from corsproxy.policy.printable import printable_ascii
from corsproxy.policy.tokens import list_elements

SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})

_FIXES: Final[dict[BrowserRefusal, str]] = {
    BrowserRefusal.allow_origin_missing: "send Access-Control-Allow-Origin: {origin}, on errors too",
    BrowserRefusal.allow_origin_multiple: (
        "send one Access-Control-Allow-Origin with one origin; look for a proxy that adds a second"
    ),
    BrowserRefusal.allow_origin_list: "send one origin, not a list: Access-Control-Allow-Origin: {origin}",
    BrowserRefusal.allow_origin_mismatch: "send Access-Control-Allow-Origin: {origin} for this origin",
    BrowserRefusal.wildcard_with_credentials: (
        "send Access-Control-Allow-Origin: {origin} instead of *, or send no credentials"
    ),
    BrowserRefusal.credentials_not_true: "send Access-Control-Allow-Credentials: true",
    BrowserRefusal.preflight_redirect: "respond to the preflight without a redirect, or request the final address",
    BrowserRefusal.preflight_status: "respond to OPTIONS with a status from 200 to 299, before any login",
    BrowserRefusal.methods_unreadable: "send method names, separated by commas",
    BrowserRefusal.headers_unreadable: "send header names, separated by commas",
    BrowserRefusal.method_not_allowed: "list {subject} in Access-Control-Allow-Methods",
    BrowserRefusal.header_not_allowed: "list {subject} in Access-Control-Allow-Headers",
}
_CAPS: Final = (("Chromium", 7200), ("Firefox", 86400), ("Safari", 600))


class LiveRequest(NamedTuple):
    """A request to send unchanged; the caller adds Host and nothing else."""

    method: bytes
    url: str
    fields: tuple[Field, ...]


class LiveResponse(NamedTuple):
    """The head of a server's response; `fields` in the order in which they arrived."""

    status: int
    fields: tuple[Field, ...]


def live_requests(page_request: PageRequest) -> tuple[LiveRequest | None, LiveRequest | None]:
    """Return the preflight and the request to send, as a browser would; None for one not to send.

    A request with an unsafe method is not sent (RFC 9110 9.2.1): explaining must change nothing.
    """
    fetch = browser_fetch(page_request)
    method, origin = fetch.page_request.method, (b"Origin", page_request.origin)
    site = b"cross-site" if fetch.is_checked else b"same-origin"
    common = ((b"Accept", b"*/*"), (b"Sec-Fetch-Mode", b"cors"), (b"Sec-Fetch-Site", site))
    preflight = None
    if fetch.preflight is not None:
        wanted: tuple[Field, ...] = ((b"Access-Control-Request-Method", method),)
        for line in fetch.preflight.request_headers:
            wanted += ((b"Access-Control-Request-Headers", line),)
        preflight = LiveRequest(b"OPTIONS", page_request.url, (origin, *wanted, *common))
    if method not in SAFE_METHODS:
        return preflight, None
    return preflight, LiveRequest(
        method, page_request.url, (origin, *fetch_algorithm.sent_headers(page_request), *common)
    )


def explain_responses(
    page_request: PageRequest, preflight: LiveResponse | None, response: LiveResponse | None
) -> Explanation:
    """Explain what a browser does with the responses to the requests of `live_requests`.

    `response` is None if the request was not sent: the result then depends on the preflight alone.
    """
    fetch = browser_fetch(page_request)
    responses = _responses(preflight, response)
    blocked = check_responses(fetch, responses)
    first = blocked[0] if blocked else None
    return Explanation(
        request=f"{printable_ascii(fetch.page_request.method)} {page_request.url}",
        policy="",
        works=first is None,
        verdict=Verdict.refused if first else Verdict.allowed,
        reason=first.refusal if first else Reason.allowed,
        words=_words(first),
        fix=_fix(page_request, blocked),
        pos=None,
        steps=(*_steps(preflight, response, blocked), browser_step(fetch, blocked)),
        responses=responses,
        consoles=console(fetch.page_request, blocked),
        change=None,
        notes=tuple(_notes(fetch.page_request, preflight, response, is_read=first is None)),
    )


def _responses(
    preflight: LiveResponse | None, response: LiveResponse | None
) -> tuple[PredictedResponse, ...]:
    first = (
        (PredictedResponse("preflight", preflight.status, preflight.fields),) if preflight else ()
    )
    return (
        (*first, PredictedResponse("request", response.status, response.fields))
        if response
        else first
    )


def _words(first: Blocked | None) -> str:
    if first is None:
        return "the page can read the response"
    which = "the response to the preflight" if first.in_preflight else "the response"
    return f"{which} fails the browser's check: {first.refusal.replace('_', ' ')}"


def _fix(page_request: PageRequest, blocked: Sequence[Blocked]) -> str:
    """Return every fix that is needed: a browser reports only the first failure at a time."""
    if not blocked:
        return "nothing to do"
    origin = printable_ascii(page_request.origin)
    fixes = (
        _FIXES[one.refusal].format(origin=origin, subject=printable_ascii(one.subject))
        for one in blocked
    )
    return "; ".join(fixes)


def _steps(
    preflight: LiveResponse | None, response: LiveResponse | None, blocked: Sequence[Blocked]
) -> list[Step]:
    failed_first = bool(blocked) and blocked[0].in_preflight
    steps = []
    if preflight is None:
        steps.append(Step("preflight", "skipped", "the browser sends none: it is not needed"))
    else:
        state = f"the response has status {preflight.status}"
        steps.append(Step("preflight", "failed" if failed_first else "ok", state))
    if failed_first:
        words = "a browser does not send it: the preflight failed"
        steps.append(Step("request", "skipped", words))
    elif response is None:
        steps.append(Step("request", "skipped", "not sent: it could change something"))
    else:
        words = f"the response has status {response.status}"
        steps.append(Step("request", "failed" if blocked else "ok", words))
    return steps


def _notes(
    page_request: PageRequest,
    preflight: LiveResponse | None,
    response: LiveResponse | None,
    *,
    is_read: bool,
) -> list[str]:
    notes = []
    if is_local_from_public(page_request):
        notes.append(LOCAL_NETWORK_NOTE)
    if preflight is not None:
        notes += _preflight_notes(page_request, preflight)
    if response is not None:
        if is_read:
            names = b", ".join(fetch_algorithm.exposed_names(page_request, response.fields)).decode(
                "latin-1"
            )
            notes.append(f"the page can read these headers: {names or 'none'}")
        if _may_poison_caches(response):
            notes.append(
                "the response allows one origin but its Vary does not list Origin: a cache may serve "
                "it to pages of other origins, which are then blocked"
            )
    return notes


def _preflight_notes(page_request: PageRequest, preflight: LiveResponse) -> list[str]:
    """Return notes about a preflight that passed; one that failed is not cached."""
    faults = {
        item.refusal
        for item in fetch_algorithm.check_preflight(
            page_request, preflight.status, preflight.fields
        )
    }
    if not faults <= fetch_algorithm.UNENFORCED:
        return []
    age = fetch_algorithm.max_age(preflight.fields)
    kept = ", ".join(f"{name} {min(age, cap)} s" for name, cap in _CAPS)
    notes = [f"browsers cache the response to the preflight: {kept}"]
    return (
        [AUTHORIZATION_NOTE, *notes] if BrowserRefusal.authorization_not_named in faults else notes
    )


def _may_poison_caches(response: LiveResponse) -> bool:
    allowed = fetch_algorithm.header_value(response.fields, b"access-control-allow-origin")
    vary = fetch_algorithm.header_value(response.fields, b"vary") or b""
    names = list_elements([vary.lower()])
    return allowed not in {None, b"*"} and b"origin" not in names and b"*" not in names
