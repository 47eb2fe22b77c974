"""What is counted, summed and rendered: operations.md M2, cors.md 69."""

import json
import pickle
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from corsproxy.observe.exposition import render
from corsproxy.observe.metrics import METHODS, Metrics
from corsproxy.observe.snapshot import BOUNDS, FAMILIES, Snapshot, sum_snapshots
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.version import __version__

NAMED_CODES = {str(status.value) for status in HTTPStatus} | {"499"}
CLASSES = {f"{number}xx" for number in range(2, 10)}


class Request(NamedTuple):
    """One request to count."""

    route: str
    method: bytes
    status: int
    seconds: float
    upstream_seconds: float
    reason: Reason | None
    fault: str


requests = st.builds(
    Request,
    route=st.sampled_from(["api", "files"]),
    method=st.sampled_from([*sorted(METHODS), b"PURGE", b"get"]),
    status=st.integers(200, 999),
    # Exact in binary, so that sums do not depend on their order.
    seconds=st.integers(0, 2**12).map(lambda number: number / 64),
    upstream_seconds=st.integers(0, 2**12).map(lambda number: number / 64),
    reason=st.none() | st.sampled_from(Reason),
    fault=st.sampled_from(["", "upstream_timeout", "client_left"]),
)


def counted(found: Iterable[Request]) -> Snapshot:
    """Return what one worker has after these requests."""
    metrics = Metrics()
    for one in found:
        route = metrics.of(one.route)
        route.responded(one.method, one.status)
        route.lasted(one.seconds, one.upstream_seconds)
        if one.reason is not None:
            verdict = Verdict.allowed if one.reason is Reason.allowed else Verdict.refused
            decision = Decision(verdict, one.reason, b"", None, b"", b"", 0)
            route.decided(decision, preflight=False)
        if one.fault:
            route.failed(one.fault)
    return metrics.snapshot()


def _parse_openmetrics(text: str) -> Iterator[Metric]:
    families: Iterator[Metric] = parse_openmetrics(text)  # type: ignore[no-untyped-call] # its own
    return families


def parsed(snapshot: Snapshot) -> dict[str, Metric]:
    """Return `snapshot` as Prometheus reads it, by the family's name as it is parsed."""
    text = render(snapshot, "")[0].decode()
    return {family.name: family for family in parse(text)}


def figure(families: dict[str, Metric], sample: str, **labels: str) -> float:
    """Return the one sample of this name and these labels."""
    samples = [one for family in families.values() for one in family.samples]
    found = [one.value for one in samples if one.name == sample and one.labels == labels]
    assert len(found) == 1, f"{sample} {labels}: {found}"
    return float(found[0])


@given(st.binary(min_size=1, max_size=20), st.integers(200, 999))
def test_labels_are_bounded(method: bytes, status: int) -> None:
    """cors.md 69: a method is a registered one or `other`, a code a registered one or its class."""
    metrics = Metrics()
    metrics.of("api").responded(method, status)
    ((labels, figures),) = metrics.snapshot()["corsproxy_requests_total"]
    assert labels[0] == "api"
    assert labels[1] in {*(name.decode() for name in METHODS), "other"}
    assert labels[2] in NAMED_CODES | CLASSES
    assert figures == (1,)


def test_every_odd_method_is_one_series() -> None:
    """cors.md 69: a client cannot make new series by making up methods."""
    metrics = Metrics()
    for number in range(1000):
        metrics.of("api").responded(b"M%d" % number, 200 + number % 2 * 77)
    assert sorted(metrics.snapshot()["corsproxy_requests_total"]) == [
        (("api", "other", "200"), (500,)),
        (("api", "other", "2xx"), (500,)),
    ]


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [(0.0, "0.001"), (0.001, "0.001"), (0.0011, "0.0025"), (30.0, "30.0"), (31.0, "+Inf")],
)
def test_a_duration_counts_in_the_first_bucket_that_contains_it(seconds: float, bound: str) -> None:
    """A bucket counts what took at most its bound, as Prometheus defines `le`."""
    metrics = Metrics()
    metrics.of("api").lasted(seconds, 0.0)
    families = parsed(metrics.snapshot())
    samples = families["corsproxy_request_duration_seconds"].samples
    buckets = {one.labels["le"]: one.value for one in samples if one.name.endswith("_bucket")}
    assert list(buckets) == [*map(str, BOUNDS), "+Inf"]
    below = list(buckets)[: list(buckets).index(bound)]
    assert {buckets[one] for one in below} <= {0.0}
    assert buckets[bound] == 1.0
    assert figure(families, "corsproxy_request_duration_seconds_sum", route="api") == seconds


def test_what_had_no_upstream_is_not_in_its_histogram() -> None:
    """A preflight and a refusal of our own would make the upstream look fast."""
    metrics = Metrics()
    metrics.of("api").lasted(0.001, 0.0)
    assert "corsproxy_upstream_duration_seconds" not in metrics.snapshot()


@pytest.mark.parametrize("name", ["corsproxy_open_exchanges", "corsproxy_requests_in_flight"])
def test_what_is_under_way_adds_up(name: str) -> None:
    """The gauges of several workers are summed."""
    assert sum_snapshots([{name: [((), (2,))]}, {name: [((), (3,))]}]) == {name: [((), (5,))]}


@settings(max_examples=40)
@given(st.lists(requests, max_size=30), st.lists(requests, max_size=30))
def test_workers_add_up(one: list[Request], other: list[Request]) -> None:
    """The sum over workers is what one worker would have counted."""

    def as_sets(snapshot: Snapshot) -> dict[str, object]:
        return {
            name: sorted((tuple(labels), tuple(figures)) for labels, figures in series)
            for name, series in snapshot.items()
            if not name.startswith("corsproxy_config")
        }

    summed = sum_snapshots([counted(one), counted(other)])
    assert as_sets(summed) == as_sets(counted([*one, *other]))


@settings(max_examples=20)
@given(st.lists(requests, max_size=20))
def test_a_snapshot_travels(found: list[Request]) -> None:
    """A worker's snapshot survives JSON and pickle: that is how it reaches the supervisor."""
    snapshot = counted(found)
    by_json = sum_snapshots([json.loads(json.dumps(snapshot))])
    by_pickle = sum_snapshots([pickle.loads(pickle.dumps(snapshot))])  # noqa: S301 - our own
    assert by_json == by_pickle == sum_snapshots([snapshot])
    assert render(by_json, "") == render(snapshot, "")


def test_flags_and_timestamps_are_not_summed() -> None:
    """A reload has succeeded if it has in every worker; the version is one."""
    fine, broken = Metrics(), Metrics()
    broken.reloaded(ok=False)
    families = parsed(sum_snapshots([fine.snapshot(), broken.snapshot()]))
    assert figure(families, "corsproxy_config_last_reload_successful") == 0
    assert figure(families, "corsproxy_build_info", version=__version__) == 1


def test_a_failed_reload_keeps_the_time_of_the_one_before() -> None:
    """The timestamp is the time at which the configuration in force was read."""
    metrics = Metrics()
    name = "corsproxy_config_last_reload_success_timestamp_seconds"
    before = metrics.snapshot()[name]
    metrics.reloaded(ok=False)
    assert metrics.snapshot()[name] == before
    metrics.reloaded(ok=True)
    assert metrics.snapshot()[name] != before
    assert metrics.snapshot()["corsproxy_config_last_reload_successful"] == [((), (1,))]


def test_unknown_families_of_another_version_are_left_out() -> None:
    """During an upgrade a worker may send a family that its supervisor does not define."""
    assert sum_snapshots([{"corsproxy_of_tomorrow": [((), (1,))]}]) == {}


@settings(max_examples=20)
@given(st.lists(requests, max_size=20))
def test_both_formats_are_read_by_prometheus(found: list[Request]) -> None:
    """The text and the OpenMetrics form parse, contain every family, and agree."""
    snapshot = counted(found)
    text, text_type = render(snapshot, "")
    accepted = "application/openmetrics-text; version=1.0.0"
    opened, opened_type = render(snapshot, accepted)
    assert text_type.startswith("text/plain")
    assert opened_type.startswith("application/openmetrics-text")
    plain = {family.name: family for family in parse(text.decode())}
    open_families = {family.name: family for family in _parse_openmetrics(opened.decode())}
    names = {name.removesuffix("_total") for name in FAMILIES}
    assert set(plain) == set(open_families) == names
    for name, family in plain.items():
        values = [(one.name, one.labels, one.value) for one in family.samples]
        assert [(one.name, one.labels, one.value) for one in open_families[name].samples] == values


@settings(max_examples=30)
@given(st.lists(requests, min_size=1, max_size=30))
def test_histograms_hold_every_request_once(found: list[Request]) -> None:
    """Requests, buckets and counts are the same number."""
    families = parsed(counted(found))
    for route in {one.route for one in found}:
        ours = [one for one in found if one.route == route]
        name = "corsproxy_request_duration_seconds"
        assert figure(families, f"{name}_count", route=route) == len(ours)
        assert figure(families, f"{name}_bucket", route=route, le="+Inf") == len(ours)
        answered = families["corsproxy_requests"].samples
        assert sum(one.value for one in answered if one.labels["route"] == route) == len(ours)
