"""What a browser would send and get under a policy, and whether it would be content. Knows no words."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Literal, NamedTuple

from corsproxy.policy import fetch
from corsproxy.policy.compiled import Policy
from corsproxy.policy.decision import Decision, Facts, parse_lines
from corsproxy.policy.fetch import Asked, Blocked
from corsproxy.policy.origins import Origin, parse_origin
from corsproxy.policy.rewrite import rewrite
from corsproxy.policy.urls import read_url


class Answer(NamedTuple):
    """An answer as the browser would get it; status 0 stands for what the upstream will say."""

    to: Literal["preflight", "request"]
    status: int
    fields: tuple[tuple[bytes, bytes], ...]


def request_facts(
    asked: Asked, *, is_websocket: bool = False, own_origin: bytes | None = None
) -> Facts:
    """Return the facts of the request itself as a browser would send it.

    `own_origin` is the public one of its route, if that is configured (cors.md 55).
    """
    origin = (asked.origin,) if asked.origin else ()
    return Facts(
        asked.method,
        origin,
        is_websocket=is_websocket,
        own_origin=own_origin or origin_of(asked.url),
        fetch_site=b"same-origin" if is_same_origin(asked) else b"cross-site",
    )


def facts_of(
    asked: Asked, *, is_websocket: bool = False, own_origin: bytes | None = None
) -> tuple[Facts | None, Facts]:
    """Return the facts of the preflight, None where a browser sends none, and of the request."""
    facts = request_facts(asked, is_websocket=is_websocket, own_origin=own_origin)
    asks_first = is_checked(asked, facts) and fetch.needs_preflight(asked)
    return (preflight_facts(asked) if asks_first else None), facts


def is_checked(asked: Asked, facts: Facts) -> bool:
    """Whether a browser looks at the CORS headers of the answer at all."""
    return bool(asked.origin) and not facts.is_websocket and not is_same_origin(asked)


def is_same_origin(asked: Asked) -> bool:
    """Whether the page calls its own origin, so that no browser checks CORS (cors.md 5)."""
    return bool(asked.origin) and asked.origin == origin_of(asked.url)


def origin_of(url: str) -> bytes | None:
    """Return the origin of `url` as a browser writes it, None where it has none."""
    try:
        return read_url(url).origin
    except ValueError:
        return None


def is_local_from_public(asked: Asked) -> bool:
    """Whether a page of a public host calls a local address (cors.md 39)."""
    page, target = parse_origin(asked.origin), parse_origin(origin_of(asked.url) or b"")
    return bool(page and target) and not _is_local(page) and _is_local(target)


def _is_local(origin: Origin | None) -> bool:
    host = origin.host.decode("ascii").strip("[]").removesuffix(".") if origin else ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def preflight_facts(asked: Asked) -> Facts:
    """Return the facts of the preflight that a browser would send."""
    names = fetch.unsafe_header_names(fetch.sent_headers(asked))
    lines = (b",".join(names),) if names else ()
    return Facts(b"OPTIONS", (asked.origin,), (asked.method,), lines)


def answers_of(policy: Policy, decisions: Sequence[Decision], facts: Facts) -> tuple[Answer, ...]:
    """Return the answers under `decisions`, that of the request last, as if the upstream said 200."""
    answers = []
    if len(decisions) > 1:
        first = decisions[0]
        answers.append(Answer("preflight", first.status, first.headers))
    last = decisions[-1]
    # A socket that opens is a 101, which carries none of them (cors.md 54).
    status = 101 if facts.is_websocket and not last.status else last.status
    lines = rewrite(policy, last, status or 200, [], 0)
    answers.append(Answer("request", status, parse_lines(lines)))
    return tuple(answers)


def judge(asked: Asked, answers: Sequence[Answer]) -> list[Blocked]:
    """Return what browsers refuse, in the first answer that fails only.

    Of an upstream whose status is not known the best is assumed.
    """
    for answer in answers:
        status = answer.status or 200
        if answer.to == "preflight":
            found = fetch.check_preflight(asked, status, answer.fields)
        else:
            refused = fetch.check_answer(asked, status, answer.fields)
            found = [refused] if refused else []
        blocked = [item for item in found if item.fault not in fetch.UNENFORCED]
        if blocked:
            return blocked
    return []
