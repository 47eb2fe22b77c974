"""Measures the CPU cost per request of corsproxy and its peers, in one run.

    python -m bench.run --only corsproxy,nginx,usual --scenarios get,preflight --rounds 5 --seconds 2

The proxy is pinned to one core, wrk and the upstream nginx to the other ones. Rounds are interleaved:
every proxy is measured once before one is measured again, so that a slow minute affects
all of them. Compare ratios within a run; absolute figures depend on the machine.
"""

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import idle, report
from bench.cpu import cores, cpu_seconds
from bench.load import LoadError, put, sample, wait_for_answer
from bench.roster import ROSTER, UPSTREAM, Peer, Running, Site, said, started, write_files
from bench.scenarios import SCENARIOS, Scenario

_OUT = Path(__file__).parent / "out"
_AT_REST = ("memory", "start")
_WARM_UP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run: where the proxies are, where the load comes from, how many rounds of how many seconds."""

    site: Site
    load_core: str
    rounds: int
    seconds: float

    def cost(self, scenario: Scenario, running: Running, *, seconds: float) -> float:
        """Return the CPU microseconds that `running` spends on each request of `scenario`."""
        before = cpu_seconds(running.pid)
        load = put(
            scenario,
            port=running.port,
            seconds=seconds,
            core=self.load_core,
            folder=self.site.folder,
        )
        return (cpu_seconds(running.pid) - before) / load.requests * 1e6


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _start(peer: Peer, site: Site, stack: ExitStack) -> Running:
    running = stack.enter_context(started(peer, site))
    try:
        wait_for_answer(running.port, alive=running.alive)
    except LoadError as error:
        raise LoadError(f"{peer.title} did not start: {error}\n{said(peer, site)}") from error
    return running


def _warm(bench: Bench, scenarios: list[Scenario], running: list[Running]) -> None:
    # A wrong response is cheap, so a proxy is measured only if its responses are right.
    for proxy in running:
        for scenario in scenarios:
            if fault := sample(scenario, port=proxy.port):
                raise LoadError(f"{proxy.peer.title} responds to {scenario.name} wrongly: {fault}")
            bench.cost(scenario, proxy, seconds=_WARM_UP)


def measure_cpu(
    bench: Bench,
    scenarios: list[Scenario],
    peers: list[Peer],
    figures: report.Figures,
) -> None:
    """Measure the CPU cost of each scenario for each peer, round by round."""
    with ExitStack() as stack:
        running = [_start(peer, bench.site, stack) for peer in peers]
        _warm(bench, scenarios, running)
        for number in range(1, bench.rounds + 1):
            for scenario in scenarios:
                for proxy in running:
                    cost = bench.cost(scenario, proxy, seconds=bench.seconds)
                    figures.add(scenario.name, proxy.peer.name, cost)
            _progress(f"round {number} of {bench.rounds}")


def measure_memory(bench: Bench, peers: list[Peer], figures: report.Figures) -> None:
    """Measure memory at rest and memory per idle connection."""
    for peer in peers:
        _progress(f"memory of {peer.title}")
        megabytes, kilobytes = idle.memory(peer, bench.site)
        figures.add("memory", peer.name, megabytes)
        figures.add("connection", peer.name, kilobytes)


def measure_start(bench: Bench, peers: list[Peer], figures: report.Figures) -> None:
    """Measure the time from the start of the process to its first forwarded response."""
    for number in range(1, bench.rounds + 1):
        for peer in peers:
            figures.add("start", peer.name, idle.seconds_to_first_answer(peer, bench.site))
        _progress(f"start {number} of {bench.rounds}")


def _chosen(wanted: str, known: list[str], what: str) -> list[str]:
    names = wanted.split(",") if wanted else known
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"bench: no {what} {', '.join(unknown)}; there are: {', '.join(known)}")
    return names


def _peers(wanted: str) -> list[Peer]:
    names = _chosen(wanted, [peer.name for peer in ROSTER], "proxy")
    peers = [peer for peer in ROSTER if peer.name in names]
    for peer in peers:
        if peer.program is None:
            _progress(f"{peer.title} is not installed and left out ({peer.hint})")
    return [peer for peer in peers if peer.program is not None]


def _check_tools() -> None:
    missing = [tool for tool in ("wrk", "taskset") if shutil.which(tool) is None]
    if missing or UPSTREAM.program is None:
        names = ", ".join([*missing, *([] if UPSTREAM.program else ["nginx"])])
        raise SystemExit(f"bench: {names} missing: apt-get install wrk nginx-light util-linux")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    scenarios = ",".join([s.name for s in SCENARIOS] + list(_AT_REST))
    parser.add_argument(
        "--only",
        default="",
        metavar="PROXIES",
        help=f"of {','.join(peer.name for peer in ROSTER)}; default: each that is installed",
    )
    parser.add_argument("--scenarios", default="", help=f"of {scenarios}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=int, default=2, help="of load a measure; default: 2")
    return parser.parse_args()


def _run(bench: Bench, names: list[str], peers: list[Peer]) -> None:
    figures, texts = report.Figures(), []
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in names]
    if scenarios:
        measure_cpu(bench, scenarios, peers, figures)
        texts.append(report.cpu_tables(figures, scenarios, peers))
    if "memory" in names:
        measure_memory(bench, peers, figures)
    if "start" in names:
        measure_start(bench, peers, figures)
    if set(names) & set(_AT_REST):
        texts.append(report.rest_table(figures, peers))
    text = "\n\n".join(texts)
    path = report.write(_OUT, figures, text)
    print(text)
    _progress(f"all rounds: {path}")


def main() -> None:
    """Run the benchmark as the command line asks."""
    given = _arguments()
    names = _chosen(given.scenarios, [*(s.name for s in SCENARIOS), *_AT_REST], "scenario")
    peers = _peers(given.only)
    _check_tools()
    try:
        proxy_core, load_core = cores()
        with tempfile.TemporaryDirectory(prefix="corsproxy-bench-") as name, ExitStack() as stack:
            folder = Path(name)
            write_files(folder)
            upstream = _start(UPSTREAM, Site(folder=folder, upstream_port=0, core=load_core), stack)
            site = Site(folder=folder, upstream_port=upstream.port, core=proxy_core)
            bench = Bench(
                site=site,
                load_core=load_core,
                rounds=given.rounds,
                seconds=given.seconds,
            )
            _run(bench, names, peers)
    except (LoadError, RuntimeError) as error:
        raise SystemExit(f"bench: {error}") from error


if __name__ == "__main__":
    main()
