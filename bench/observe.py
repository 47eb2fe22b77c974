"""Microseconds that counting and logging add to a request. Run: python -m bench.observe."""

import os
import timeit
from collections.abc import Callable

from corsproxy.observe.access_log import FORMATS, AccessLog
from corsproxy.observe.metrics import Metrics
from corsproxy.observe.record import Record
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.cors.reasons import Reason, Verdict

ROUNDS = 7
CALLS = 50_000

ALLOWED = Decision(Verdict.allowed, Reason.allowed, b"https://app.example.com", None, b"", b"", 0)
RECORD = Record(
    client=b"192.0.2.7",
    method=b"GET",
    target=b"/api/users/1?page=3",
    host=b"api.example.com",
    minor=1,
    status=200,
    bytes_sent=302,
    duration=0.00425,
    upstream_duration=0.00401,
    route="legacy",
    origin=b"https://app.example.com",
    decision=ALLOWED,
    request_id=b"9eff8636cff4-1a2b",
    traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    fault="",
    note="",
)


def microseconds(call: Callable[[], object]) -> float:
    """Return the time of one call, the best of several rounds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def count(metrics: Metrics) -> None:
    """Count one request as the server does."""
    route = metrics.of("legacy")
    route.responded(RECORD.method, RECORD.status)
    route.lasted(RECORD.duration, RECORD.upstream_duration)
    route.decided(ALLOWED, preflight=False)


def main() -> None:
    """Print one line for the metrics, and one for each log format, for formatting and writing."""
    metrics = Metrics()
    print(f"{'metrics':<24}{microseconds(lambda: count(metrics)):>8.2f} µs")
    for name, write in FORMATS.items():
        made = microseconds(lambda write=write: write(RECORD))  # type: ignore[misc]
        print(f"{'line of ' + name:<24}{made:>8.2f} µs")
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a file
        log = AccessLog(nowhere.fileno(), "json", "all")
        print(f"{'made and written, json':<24}{microseconds(lambda: log(RECORD)):>8.2f} µs")
        log.close()


if __name__ == "__main__":
    main()
