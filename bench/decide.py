"""Microseconds per CORS decision, for one and for many allowed origins. Run: python bench/decide.py."""

import timeit
from collections.abc import Callable

from corsproxy.policy.cors.decide import decide
from corsproxy.policy.cors.decision import Decision, Facts
from corsproxy.policy.cors.policy import Policy, compile_policy
from corsproxy.policy.cors.spec import PolicySpec
from corsproxy.policy.source import SourceText

ROUNDS = 7
CALLS = 50_000
MANY = 10_000

ALLOWED = b"https://app0.example.com"
REFUSED = b"https://evil.example.org"
PREVIEW = b"https://a.preview0.example.com"


def policy_of(count: int) -> Policy:
    """Return a policy with `count` exact origins and as many wildcards."""
    exact = (f"https://app{number}.example.com" for number in range(count))
    wild = (f"https://*.preview{number}.example.com" for number in range(count))
    return compile_policy(
        PolicySpec(
            name="bench",
            allow_origins=tuple(SourceText(text) for text in (*exact, *wild)),
            allow_methods=tuple(SourceText(text) for text in ("GET", "POST", "PUT", "DELETE")),
            allow_headers=(SourceText("authorization"), SourceText("content-type")),
            expose_headers=(SourceText("x-request-id"),),
            allow_credentials=True,
            max_age=600,
        ),
    )


def facts_of(origin: bytes) -> dict[str, Facts]:
    """Return the requests that are timed: an actual one and a preflight."""
    asked = (b"authorization,content-type",)
    return {
        "actual": Facts(b"GET", (origin,)),
        "preflight": Facts(b"OPTIONS", (origin,), (b"PUT",), asked),
    }


def microseconds(call: Callable[[], Decision]) -> float:
    """Return the time of one call, the best of several rounds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def main() -> None:
    """Print one line for each kind of request and origin: µs with one, with many, their ratio."""
    one, many = policy_of(1), policy_of(MANY)
    print(f"{'µs per decision':<22}{'1 origin':>10}{MANY:>8} origins{'ratio':>8}")
    for label, origin in (("allowed", ALLOWED), ("wildcard", PREVIEW), ("refused", REFUSED)):
        for kind, facts in facts_of(origin).items():
            small = microseconds(lambda facts=facts: decide(one, facts))  # type: ignore[misc]
            large = microseconds(lambda facts=facts: decide(many, facts))  # type: ignore[misc]
            print(f"{label} {kind:<14}{small:>10.2f}{large:>16.2f}{large / small:>8.2f}")


if __name__ == "__main__":
    main()
