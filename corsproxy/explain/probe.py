"""Judges the real answers of any server as a browser would. Knows no network: the caller asks.

`outgoing` says what to send, `judge_replies` what the answers mean (`explain --live`).
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
from corsproxy.explain.predict import PredictedResponse, is_local_from_public, judge, sent_for
from corsproxy.policy.cors.reasons import Reason, Verdict, show
from corsproxy.policy.fields import Field

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
    BrowserRefusal.preflight_redirect: "answer the preflight itself; ask for the address it redirects to",
    BrowserRefusal.preflight_status: "answer OPTIONS with a status from 200 to 299, before any login",
    BrowserRefusal.methods_unreadable: "send method names, separated by commas",
    BrowserRefusal.headers_unreadable: "send header names, separated by commas",
    BrowserRefusal.method_not_allowed: "name {subject} in Access-Control-Allow-Methods",
    BrowserRefusal.header_not_allowed: "name {subject} in Access-Control-Allow-Headers",
}
_CAPS: Final = (("Chromium", 7200), ("Firefox", 86400), ("Safari", 600))


class Outgoing(NamedTuple):
    """A request to send as it stands; the caller adds Host and nothing else."""

    method: bytes
    url: str
    fields: tuple[Field, ...]


class Reply(NamedTuple):
    """What a server answered; `fields` in the order in which they came."""

    status: int
    fields: tuple[Field, ...]


def outgoing(asked: PageRequest) -> tuple[Outgoing | None, Outgoing | None]:
    """Return the preflight and the request that a browser would send, each None if it is not sent.

    The request is left out where its method is unsafe: explaining must not change what it asks about.
    """
    sent = sent_for(asked)
    method, origin = sent.asked.method, (b"Origin", asked.origin)
    site = b"cross-site" if sent.is_checked else b"same-origin"
    common = ((b"Accept", b"*/*"), (b"Sec-Fetch-Mode", b"cors"), (b"Sec-Fetch-Site", site))
    before = None
    if sent.before is not None:
        wanted: tuple[Field, ...] = ((b"Access-Control-Request-Method", method),)
        for line in sent.before.request_headers:
            wanted += ((b"Access-Control-Request-Headers", line),)
        before = Outgoing(b"OPTIONS", asked.url, (origin, *wanted, *common))
    if method not in SAFE_METHODS:
        return before, None
    return before, Outgoing(
        method, asked.url, (origin, *fetch_algorithm.sent_headers(asked), *common)
    )


def judge_replies(asked: PageRequest, before: Reply | None, reply: Reply | None) -> Explanation:
    """Return what a browser makes of the answers to what `outgoing` said to send.

    `reply` is None where the request was not sent: the preflight then decides alone.
    """
    sent = sent_for(asked)
    answers = _answers(before, reply)
    blocked = judge(sent, answers)
    first = blocked[0] if blocked else None
    return Explanation(
        request=f"{show(sent.asked.method)} {asked.url}",
        policy="",
        works=first is None,
        verdict=Verdict.refused if first else Verdict.allowed,
        reason=first.fault if first else Reason.allowed,
        words=_words(first),
        fix=_fix(asked, blocked),
        pos=None,
        steps=(*_steps(before, reply, blocked), browser_step(sent, blocked)),
        answers=answers,
        consoles=console(sent.asked, blocked),
        change=None,
        notes=tuple(_notes(sent.asked, before, reply, is_read=first is None)),
    )


def _answers(before: Reply | None, reply: Reply | None) -> tuple[PredictedResponse, ...]:
    first = (PredictedResponse("preflight", before.status, before.fields),) if before else ()
    return (*first, PredictedResponse("request", reply.status, reply.fields)) if reply else first


def _words(first: Blocked | None) -> str:
    if first is None:
        return "the page can read the answer"
    which = "the preflight's answer" if first.in_preflight else "the answer"
    return f"{which} fails the browser's check: {first.fault.replace('_', ' ')}"


def _fix(asked: PageRequest, blocked: Sequence[Blocked]) -> str:
    """Return all that is to do: a browser names one fault, and the next once that is gone."""
    if not blocked:
        return "nothing to do"
    origin = show(asked.origin)
    fixes = (_FIXES[one.fault].format(origin=origin, subject=show(one.subject)) for one in blocked)
    return "; ".join(fixes)


def _steps(before: Reply | None, reply: Reply | None, blocked: Sequence[Blocked]) -> list[Step]:
    failed_first = bool(blocked) and blocked[0].in_preflight
    steps = []
    if before is None:
        steps.append(Step("preflight", "skipped", "the browser does not ask: none is needed"))
    else:
        state = f"answered with status {before.status}"
        steps.append(Step("preflight", "failed" if failed_first else "ok", state))
    if failed_first:
        words = "a browser does not send it: the preflight failed"
        steps.append(Step("request", "skipped", words))
    elif reply is None:
        steps.append(Step("request", "skipped", "not sent: it could change something"))
    else:
        words = f"answered with status {reply.status}"
        steps.append(Step("request", "failed" if blocked else "ok", words))
    return steps


def _notes(
    asked: PageRequest, before: Reply | None, reply: Reply | None, *, is_read: bool
) -> list[str]:
    notes = []
    if is_local_from_public(asked):
        notes.append(LOCAL_NETWORK_NOTE)
    if before is not None:
        notes += _preflight_notes(asked, before)
    if reply is not None:
        if is_read:
            names = b", ".join(fetch_algorithm.exposed_names(asked, reply.fields)).decode("latin-1")
            notes.append(f"the page can read these headers: {names or 'none'}")
        if _may_poison_caches(reply):
            notes.append(
                "the answer names one origin but its Vary does not name Origin: a cache may give "
                "it to pages of other origins, which are then blocked"
            )
    return notes


def _preflight_notes(asked: PageRequest, before: Reply) -> list[str]:
    """Return what is to know of an answer that passes; others are not kept."""
    faults = {
        item.fault for item in fetch_algorithm.check_preflight(asked, before.status, before.fields)
    }
    if not faults <= fetch_algorithm.UNENFORCED:
        return []
    age = fetch_algorithm.max_age(before.fields)
    kept = ", ".join(f"{name} {min(age, cap)} s" for name, cap in _CAPS)
    notes = [f"the preflight's answer is kept: {kept}"]
    return (
        [AUTHORIZATION_NOTE, *notes] if BrowserRefusal.authorization_not_named in faults else notes
    )


def _may_poison_caches(reply: Reply) -> bool:
    allowed = fetch_algorithm.get(reply.fields, b"access-control-allow-origin")
    vary = (
        (fetch_algorithm.get(reply.fields, b"vary") or b"").lower().replace(b" ", b"").split(b",")
    )
    return allowed not in {None, b"*"} and b"origin" not in vary and b"*" not in vary
