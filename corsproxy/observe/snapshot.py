"""Defines the metrics, and snapshots of their values that can be summed over workers.

A snapshot consists of strings, numbers and sequences, so that a worker can send it as JSON or pickled
to the supervisor, which sums them.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

# The upper bounds of the buckets of every duration, in seconds, without +Inf.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Family(NamedTuple):
    """One metric: its kind, help and labels, and how to join the values of several workers."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...]
    joined: Literal["sum", "min"] = "sum"


FAMILIES: Final[dict[str, Family]] = {
    "corsproxy_requests_total": Family(
        "counter",
        "Requests that ended; the route is - if none matched or the head could not be parsed.",
        ("route", "method", "code"),
    ),
    "corsproxy_request_duration_seconds": Family(
        "histogram",
        "Time from the head of a request to the end of its response; without tunnels.",
        ("route",),
    ),
    "corsproxy_upstream_duration_seconds": Family(
        "histogram",
        "Time from requesting an upstream connection to the end of the response; without tunnels.",
        ("route",),
    ),
    "corsproxy_cors_decisions_total": Family(
        "counter",
        "CORS decisions by verdict and reason; kind is preflight or actual.",
        ("route", "kind", "verdict", "reason"),
    ),
    "corsproxy_faults_total": Family(
        "counter",
        "Requests that failed or were rejected, by fault.",
        ("route", "fault"),
    ),
    "corsproxy_upstream_sent_cors_total": Family(
        "counter",
        "Upstream responses with CORS headers of their own, which the policy replaced (cors.md 50).",
        ("route",),
    ),
    "corsproxy_cookies_left_total": Family(
        "counter",
        "Cookies that were not rewritten, because browsers would reject the result (cors.md 60).",
        ("route", "reason"),
    ),
    "corsproxy_open_exchanges": Family(
        "gauge",
        "Requests whose response has not ended, including tunnels and bodies that are being buffered.",
        (),
    ),
    "corsproxy_requests_in_flight": Family(
        "gauge",
        "Requests that count for `max_requests_in_flight`: at an upstream or in its queue.",
        (),
    ),
    "corsproxy_connections": Family("gauge", "Client connections, including TLS handshakes.", ()),
    "corsproxy_tasks": Family(
        "gauge",
        "Tasks of the event loop; grows if tasks leak, since neither connections nor requests keep one.",
        (),
    ),
    "corsproxy_upstream_connections": Family(
        "gauge",
        "Connections to an upstream by state: connecting, active, idle or tunnel.",
        ("upstream", "state"),
    ),
    "corsproxy_upstream_circuit": Family(
        "gauge",
        "Workers whose circuit breaker for the upstream is in this state (forwarding.md O7).",
        ("upstream", "state"),
    ),
    "corsproxy_config_last_reload_successful": Family(
        "gauge",
        "Whether the last reload of the configuration succeeded: 1 or 0.",
        (),
        "min",
    ),
    "corsproxy_config_last_reload_success_timestamp_seconds": Family(
        "gauge",
        "When the active configuration was loaded, in Unix time.",
        (),
        "min",
    ),
    "corsproxy_worker_deaths_total": Family(
        "counter",
        "Workers that died and were replaced; only with several workers.",
        (),
    ),
    "corsproxy_build_info": Family("gauge", "Always 1.", ("version",), "min"),
}

# The values of the labels, and the figures: one number or, for a histogram, the count of each bucket
# (not cumulative) followed by the sum of seconds.
Series = tuple[Sequence[str], Sequence[float]]
Snapshot = dict[str, list[Series]]


def sum_snapshots(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Join snapshots into one: figures are summed, flags and timestamps joined by their minimum.

    Families that this version does not define are dropped.
    """
    joined: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {}
    for snapshot in snapshots:
        for name, found in snapshot.items():
            if name not in FAMILIES:
                continue
            join = min if FAMILIES[name].joined == "min" else _add
            known = joined.setdefault(name, {})
            for labels, figures in found:
                key = tuple(labels)
                before = known.get(key)
                known[key] = (
                    tuple(figures)
                    if before is None
                    else tuple(join(*pair) for pair in zip(before, figures, strict=True))
                )
    return {name: list(known.items()) for name, known in joined.items()}


def _add(one: float, other: float) -> float:
    return one + other


def families_table() -> str:
    """Return all families as a Markdown table, which docs/operations.md contains."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {family.kind} | {', '.join(family.labels)} | {family.help} |"
        for name, family in FAMILIES.items()
    ]
    return "\n".join(rows)
