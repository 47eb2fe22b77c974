"""Explains why a policy allows or refuses a page's request, without sending it.

It calls the functions that serve requests, so an explanation cannot differ from the proxy
(cors.md 70). Unlike `decide` it runs every step, including those after the first that fails. The
browser's side is computed with the algorithms of the Fetch standard (`fetch_algorithm`).
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from corsproxy.explain import fetch_algorithm
from corsproxy.explain.console import Browser, console
from corsproxy.explain.fetch_algorithm import Blocked, BrowserRefusal, PageRequest
from corsproxy.explain.predict import (
    BrowserFetch,
    PredictedResponse,
    browser_fetch,
    check_responses,
    is_local_from_public,
    predict_decisions,
    predict_responses,
)
from corsproxy.explain.suggest_change import Change, suggest_change
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.reasons import REASON_TEXTS, Reason, Verdict, describe
from corsproxy.policy.cors.steps import ACTUAL_STEPS, PREFLIGHT_STEPS, STEP_NAMES
from corsproxy.policy.fetch_lists import is_forbidden_request_header
from corsproxy.policy.printable import printable_ascii
from corsproxy.policy.source import SourcePos

State = Literal["ok", "failed", "skipped"]

_PASSED: Final = frozenset({Reason.allowed, Reason.no_origin})

LOCAL_NETWORK_NOTE: Final = (
    "a page from the internet calls an address of the local machine or network: Chromium asks the "
    "user for permission (Local Network Access); no response header grants it"
)
REDIRECT_NOTE: Final = (
    "a browser that follows a redirect from one origin to another sends Origin: null; look for a "
    "redirect on the way, such as http to https or a missing slash"
)
AUTHORIZATION_NOTE: Final = (
    "the response has Access-Control-Allow-Headers: *, which by the standard does not cover "
    "authorization; browsers still accept it, but warn that they will not: list authorization "
    "in addition to *"
)
DROPPED_NOTE: Final = "browsers do not send headers that pages may not set: {names}"
MAX_AGE_NOTE: Final = "max_age is {age} s: Chromium caches a preflight for at most 7200 s, Safari 600 s, Firefox 86400 s"


class Step(NamedTuple):
    """One step and its outcome in words; `pos` is that of the deciding setting."""

    name: str
    state: State
    words: str
    pos: SourcePos | None = None


_NOT_CHECKED: Final = Step(
    "browser", "skipped", "it checks no response: no Origin, the page's own origin, or a WebSocket"
)


class Explanation(NamedTuple):
    """Why a request works or does not.

    `works`: the page can read the response. `verdict` and `reason` are those of the policy; without
    one, `reason` is why the browser blocks the response, or None. `fix` is what to do, in words;
    `change` is the smallest change of the configuration, None if none would help. `route` and
    `policy` are names, "" if there is none.
    """

    request: str
    policy: str
    works: bool
    verdict: Verdict
    reason: Reason | BrowserRefusal | None
    words: str
    fix: str
    pos: SourcePos | None
    steps: tuple[Step, ...]
    responses: tuple[PredictedResponse, ...]
    consoles: dict[Browser, list[str]]
    change: Change | None
    notes: tuple[str, ...]
    route: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the explanation as values that `json.dumps` accepts."""
        return {
            "request": self.request,
            "route": self.route,
            "policy": self.policy,
            "works": self.works,
            "verdict": str(self.verdict),
            "reason": self.reason and str(self.reason),
            "words": self.words,
            "fix": self.fix,
            "place": _pos_json(self.pos),
            "steps": [_step_json(step) for step in self.steps],
            "answers": [_response_json(response) for response in self.responses],
            "consoles": dict(self.consoles),
            "change": self.change
            and {
                "yaml": self.change.yaml(),
                "policy": self.change.policy,
                "place": _pos_json(self.change.pos),
                "new": self.change.is_new,
                "dangerous": self.change.is_dangerous,
            },
            "notes": list(self.notes),
        }


def explain(
    policy: Policy,
    page_request: PageRequest,
    *,
    route: bytes = b"",
    own_origin: bytes | None = None,
    is_websocket: bool = False,
) -> Explanation:
    """Explain whether the page's request works under `policy`.

    `is_websocket`: the page opens a WebSocket. `own_origin` is the public origin of the route, if
    one is configured (cors.md 55).
    """
    fetch = browser_fetch(page_request, is_websocket=is_websocket, own_origin=own_origin)
    decisions = predict_decisions(policy, fetch, route)
    decided = next((one for one in decisions if one.verdict is Verdict.refused), decisions[0])
    responses = predict_responses(policy, fetch, decisions)
    blocked = check_responses(fetch, responses)
    return Explanation(
        request=f"{printable_ascii(fetch.page_request.method)} {page_request.url}",
        policy=policy.name,
        works=not blocked and not any(decision.status >= 400 for decision in decisions),
        verdict=decided.verdict,
        reason=decided.reason,
        words=describe(decided.reason, decided.subject),
        fix=_fix(decided.reason, blocked),
        pos=decided.pos,
        steps=(*_steps(policy, fetch, decided), browser_step(fetch, blocked)),
        responses=responses,
        consoles=console(fetch.page_request, blocked),
        change=suggest_change(policy, fetch),
        notes=tuple(_notes(policy, fetch)),
        route=route.decode(),
    )


def _steps(policy: Policy, fetch: BrowserFetch, decided: Decision) -> list[Step]:
    first = fetch.first
    steps = []
    for step in PREFLIGHT_STEPS:
        name = STEP_NAMES[step]
        if fetch.preflight is None and step not in ACTUAL_STEPS:
            steps.append(Step(name, "skipped", "the browser sends no preflight"))
            continue
        outcome = step(policy, first)
        state: State = "ok" if outcome.reason in _PASSED else "failed"
        subject = outcome.subject or b", ".join(first.request_headers) or b"the request"
        steps.append(Step(name, state, describe(outcome.reason, subject), outcome.pos))
    if fetch.request.is_websocket and decided.verdict is Verdict.refused:
        words = describe(decided.reason, decided.subject)
        steps.append(Step("websocket", "failed" if decided.status else "ok", words, decided.pos))
    return steps


def browser_step(fetch: BrowserFetch, blocked: Sequence[Blocked]) -> Step:
    """Return the last step: whether the browser lets the page read the response."""
    if not fetch.is_checked:
        return _NOT_CHECKED
    if not blocked:
        return Step("browser", "ok", "the page can read the response")
    first = blocked[0]
    what = "response to the preflight" if first.in_preflight else "response"
    return Step("browser", "failed", f"it blocks the {what}: {first.refusal.replace('_', ' ')}")


def _fix(reason: Reason, blocked: Sequence[Blocked]) -> str:
    """Return what to do if the policy refuses the request, or allows it and the browser blocks it."""
    if reason not in _PASSED or not blocked:
        return REASON_TEXTS[reason].fix
    return "set allow_credentials: true with named origins, or let the page send no credentials"


def _notes(policy: Policy, fetch: BrowserFetch) -> list[str]:
    page_request = fetch.page_request
    notes = []
    if fetch.request.origin == (b"null",) and not policy.any_origin:
        notes.append(REDIRECT_NOTE)  # cors.md 59
    if is_local_from_public(page_request):
        notes.append(LOCAL_NETWORK_NOTE)  # cors.md 39
    dropped = [
        name.decode("latin-1")
        for name, value in page_request.headers
        if is_forbidden_request_header(name, value)
    ]
    if dropped:
        notes.append(DROPPED_NOTE.format(names=", ".join(dropped)))
    if fetch.preflight is None:
        return notes
    asks_authorization = b"authorization" in fetch_algorithm.unsafe_header_names(
        page_request.headers
    )
    star = policy.any_header and not policy.spec.allow_credentials
    if asks_authorization and star and b"authorization" not in policy.headers:
        notes.append(AUTHORIZATION_NOTE)  # cors.md 36
    age = policy.spec.max_age
    if age is not None and age > 600:
        notes.append(MAX_AGE_NOTE.format(age=age))  # cors.md 29
    return notes


def _pos_json(pos: SourcePos | None) -> dict[str, object] | None:
    return pos._asdict() if pos else None


def _step_json(step: Step) -> dict[str, object]:
    return {
        "name": step.name,
        "state": step.state,
        "words": step.words,
        "place": _pos_json(step.pos),
    }


def _response_json(response: PredictedResponse) -> dict[str, object]:
    fields = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.fields]
    return {"to": response.to, "status": response.status, "headers": fields}
