"""Formats figures as tables: medians, ratios, Markdown and JSON."""

import json
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path

from bench.roster import Peer
from bench.scenarios import Scenario

OURS = "corsproxy"


class Figures:
    """Collects one figure per round by scenario and peer, and computes the medians."""

    def __init__(self) -> None:
        self._rounds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, scenario: str, peer: str, figure: float) -> None:
        """Record one round's `figure`."""
        self._rounds[scenario][peer].append(figure)

    def median(self, scenario: str, peer: str) -> float | None:
        """Return the median over the rounds, or None if there was none."""
        found = self._rounds.get(scenario, {}).get(peer)
        return statistics.median(found) if found else None

    def ratio(self, scenario: str, peer: str) -> float | None:
        """Return our cost as a fraction of the peer's: below 1 is cheaper than the peer."""
        ours, theirs = self.median(scenario, OURS), self.median(scenario, peer)
        return ours / theirs if ours is not None and theirs else None

    def as_json(self) -> dict[str, dict[str, list[float]]]:
        """Return all rounds: scenario, then peer, then the figures in the order of measurement."""
        return {scenario: dict(peers) for scenario, peers in self._rounds.items()}


def _row(cells: list[str], widths: list[int]) -> str:
    first, *rest = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *rest]) + " |"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table whose columns are also aligned as plain text."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([_row(head, widths), rule, *(_row(row, widths) for row in rows)])


def _shown(figure: float | None, digits: int) -> str:
    return "-" if figure is None else f"{figure:.{digits}f}"


def cpu_tables(figures: Figures, scenarios: list[Scenario], peers: list[Peer]) -> str:
    """Return the costs in CPU µs per request, and our cost as a fraction of each peer's."""
    head = ["CPU µs per request", *(scenario.title for scenario in scenarios)]
    rows = [
        [peer.title, *(_shown(figures.median(s.name, peer.name), 1) for s in scenarios)]
        for peer in peers
    ]
    text = table(head, rows)
    others = [peer for peer in peers if peer.name != OURS]
    if len(others) == len(peers) or not others:
        return text
    head[0] = "corsproxy costs, as a fraction of"
    rows = [
        [peer.title, *(_shown(figures.ratio(s.name, peer.name), 2) for s in scenarios)]
        for peer in others
    ]
    return f"{text}\n\n{table(head, rows)}"


def rest_table(figures: Figures, peers: list[Peer]) -> str:
    """Return memory at rest, memory per idle connection and the time to the first response."""
    head = ["at rest", "memory MB", "KB per idle connection", "start to first response s"]
    columns = (("memory", 1), ("connection", 1), ("start", 2))
    rows = [
        [peer.title, *(_shown(figures.median(name, peer.name), digits) for name, digits in columns)]
        for peer in peers
    ]
    return table(head, rows)


def write(folder: Path, figures: Figures, text: str) -> Path:
    """Write all rounds as JSON and the tables as Markdown into `folder`; return the JSON's path."""
    folder.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    machine = {"python": platform.python_version(), "kernel": platform.release()}
    path = folder / f"{stamp}.json"
    path.write_text(json.dumps({"machine": machine, "rounds": figures.as_json()}, indent=2) + "\n")
    path.with_suffix(".md").write_text(text + "\n")
    return path
