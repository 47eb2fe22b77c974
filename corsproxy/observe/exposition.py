"""Renders a snapshot in the Prometheus text format or in OpenMetrics.

The first scrape imports prometheus-client, so that it does not delay the start.
"""

from itertools import accumulate
from typing import TYPE_CHECKING

from corsproxy.observe.snapshot import BOUNDS, FAMILIES, Series, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import HistogramMetricFamily, Metric


class _Collector:
    """Converts a snapshot to the metric families of prometheus-client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client import metrics_core  # noqa: PLC0415 - see the module's docstring

        for name, family in FAMILIES.items():
            found = self._snapshot.get(name, [])
            if family.kind == "histogram":
                histogram = metrics_core.HistogramMetricFamily(
                    name,
                    family.help,
                    labels=family.labels,
                )
                for series in found:
                    _add_histogram(histogram, series)
                yield histogram
                continue
            kinds = metrics_core.CounterMetricFamily, metrics_core.GaugeMetricFamily
            metric = kinds[family.kind == "gauge"](name, family.help, labels=family.labels)
            for labels, (figure,) in found:
                metric.add_metric(labels, figure)
            yield metric


def _add_histogram(metric: "HistogramMetricFamily", series: Series) -> None:
    """Add a series, with its buckets made cumulative: each counts all durations up to its bound."""
    labels, figures = series
    names = [*map(str, BOUNDS), "+Inf"]
    buckets = list(zip(names, accumulate(figures[:-1]), strict=True))
    metric.add_metric(labels, buckets, sum_value=figures[-1])


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """Render `snapshot` in the format that the Accept header selects; return it with its content type.

    Takes milliseconds, tens of them for hundreds of routes: do not call it in the event loop.
    """
    return render_each(snapshot, [accept])[accept]


def render_each(snapshot: Snapshot, accepts: "Iterable[str]") -> dict[str, tuple[bytes, str]]:
    """Return what `render` does for each Accept header; each format is rendered once."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    texts: dict[str, tuple[bytes, str]] = {}
    found: dict[str, tuple[bytes, str]] = {}
    for accept in accepts:
        encode, content_type = choose_encoder(accept)
        if content_type not in texts:
            texts[content_type] = encode(registry), content_type
        found[accept] = texts[content_type]
    return found
