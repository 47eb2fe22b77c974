"""Minutes of mixed traffic with faults: memory, descriptors and tasks have to stay flat.

    python -m bench.soak --seconds 600

Runs the proxy as a user does, with an upstream that misbehaves and clients of every kind, and reloads
its configuration now and then. Writes the samples as JSON, SVG and, if Chromium is installed, PNG.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import plot
from bench.cpu import cpu_seconds, resident_bytes
from bench.misbehave import upstream
from bench.mixed import visit
from bench.scenarios import ORIGIN

_OUT = Path(__file__).parent / "out"
_ROOT = Path(__file__).parent.parent
_EVERY = 2.0
_RELOAD_EVERY = 20.0
# The growth that is allowed between the second fifth of the time and the last one.
_MORE_MEMORY = 0.05
_REST = 8.0

_CONFIG = """\
version: 1
server:
  listen: 127.0.0.1:0
  timeouts: {{request_header: 2s}}
health: {{listen: 127.0.0.1:0}}
log: {{format: json}}
upstreams:
  legacy: {{url: 'http://127.0.0.1:{port}', circuit_breaker: {{failures: 50}}}}
routes:
  - name: legacy
    upstream: legacy
    cors:
      allow_origins: ["{origin}"]
      allow_methods: [GET, HEAD, POST, PUT]
      allow_credentials: true
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of the process's resources."""

    seconds: float
    megabytes: float
    descriptors: int
    tasks: float
    connections: float
    open_exchanges: float
    requests: float
    cpu_seconds: float


class Proxy:
    """The running process and its address."""

    def __init__(self, folder: Path, port: int) -> None:
        path = folder / "config.yaml"
        path.write_text(_CONFIG.format(port=port, origin=ORIGIN))
        with (folder / "access.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "corsproxy", "run", "-c", str(path)],
                cwd=_ROOT,
                stdout=log,
                stderr=subprocess.PIPE,
            )
        self.said = b""
        while b"health on" not in self.said:
            line = self._read_line()
            if not line:
                raise SystemExit(f"soak: the proxy did not start:\n{self.said.decode()}")
            self.said += line
        found = [line for line in self.said.splitlines() if b"http://" in line and b" on " in line]
        self.port, self.health = (int(line.rsplit(b":")[-1].split(b"/")[0]) for line in found)
        self._began = time.perf_counter()

    def _read_line(self) -> bytes:
        assert self.process.stderr is not None  # noqa: S101 - it is a pipe
        return self.process.stderr.readline()

    def read_on(self) -> None:
        """Read its output until it ends; to be run in a thread."""
        while line := self._read_line():
            self.said += line

    def sample(self) -> Sample:
        """Sample the process and its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/metrics") as answer:
            text = answer.read().decode()
        figures: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                figures[one.name] += one.value  # type: ignore[assignment] # a float counts as well
        pid = self.process.pid
        return Sample(
            seconds=time.perf_counter() - self._began,
            megabytes=resident_bytes(pid) / 1e6,
            descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            tasks=figures["corsproxy_tasks"],
            connections=figures["corsproxy_connections"],
            open_exchanges=figures["corsproxy_open_exchanges"],
            requests=figures["corsproxy_requests_total"],
            cpu_seconds=cpu_seconds(pid),
        )


async def _visit_on(port: int, seed: int, done: Counter[str]) -> None:
    chance = random.Random(seed)
    while True:
        await visit(port, chance, done)


async def _reload_on(proxy: Proxy) -> None:
    while True:
        await asyncio.sleep(_RELOAD_EVERY)
        proxy.process.send_signal(signal.SIGHUP)


async def soak(
    folder: Path, seconds: float, clients: int
) -> tuple[list[Sample], Counter[str], str]:
    """Return the samples, the last one after the clients have left; their actions; and the output."""
    done: Counter[str] = Counter()
    async with upstream() as port:
        proxy = await asyncio.to_thread(Proxy, folder, port)
        reading = asyncio.create_task(asyncio.to_thread(proxy.read_on))
        samples = [await asyncio.to_thread(proxy.sample)]
        busy = [asyncio.create_task(_visit_on(proxy.port, seed, done)) for seed in range(clients)]
        busy.append(asyncio.create_task(_reload_on(proxy)))
        while samples[-1].seconds < seconds:
            await asyncio.sleep(_EVERY)
            samples.append(await asyncio.to_thread(proxy.sample))
            print(f"\r{samples[-1]}"[:160], end="", file=sys.stderr, flush=True)
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await asyncio.sleep(_REST)  # longer than any idle connection to the upstream is kept
        samples.append(await asyncio.to_thread(proxy.sample))
        proxy.process.send_signal(signal.SIGINT)
        code = await asyncio.to_thread(proxy.process.wait)
        await reading
    said = proxy.said.decode(errors="replace") + f"exit code {code}\n"
    return samples, done, said


def judge(samples: list[Sample], said: str) -> dict[str, object]:
    """Return the figures that have to be flat, and whether they are."""
    under_load, after = samples[1:-1], samples[-1]
    fifth = max(1, len(under_load) // 5)
    early, late = under_load[fifth : 2 * fifth], under_load[-fifth:]
    memory = [statistics.mean(one.megabytes for one in part) for part in (early, late)]
    verdict = {
        "memory early and late, MB": [round(one, 1) for one in memory],
        "memory is flat": memory[1] <= memory[0] * (1 + _MORE_MEMORY),
        "descriptors before and after": [samples[0].descriptors, after.descriptors],
        "descriptors are closed": after.descriptors <= samples[0].descriptors + 2,
        "tasks before and after": [samples[0].tasks, after.tasks],
        "tasks end": after.tasks <= samples[0].tasks,
        "nothing in flight": after.open_exchanges == 0 and after.connections <= 1,
        "no error was logged": '"log.level":"error"' not in said and "Traceback" not in said,
        "exit code 0": said.endswith("exit code 0\n"),
    }
    verdict["passed"] = all(value for value in verdict.values() if isinstance(value, bool))
    return verdict


def write(samples: list[Sample], done: Counter[str], said: str) -> Path:
    """Write JSON, SVG and PNG; return the path of the JSON."""
    _OUT.mkdir(exist_ok=True)
    path = _OUT / time.strftime("soak-%Y%m%d-%H%M%S.json")
    told = {
        "verdict": judge(samples, said),
        "clients": dict(sorted(done.items())),
        "samples": [asdict(one) for one in samples],
        "said": said.splitlines(),
    }
    path.write_text(json.dumps(told, indent=1) + "\n")
    at = [one.seconds for one in samples]
    rates = [0.0] + [
        (two.requests - one.requests) / (two.seconds - one.seconds)
        for one, two in itertools.pairwise(samples)
    ]
    panels = [
        plot.Panel("Memory, MB", {"resident": [one.megabytes for one in samples]}),
        plot.Panel(
            "Open",
            {
                "descriptors": [float(one.descriptors) for one in samples],
                "connections of clients": [one.connections for one in samples],
                "tasks": [one.tasks for one in samples],
            },
        ),
        plot.Panel("Requests a second", {"answered": rates}),
    ]
    image = path.with_suffix(".svg")
    total = f"{samples[-1].requests:.0f} requests in {samples[-2].seconds:.0f} s"
    image.write_text(plot.svg(f"corsproxy, mixed traffic with faults: {total}", at, panels))
    with contextlib.suppress(subprocess.SubprocessError):
        plot.png(image)
    return path


def main() -> None:
    """Run the soak test; exit with 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600.0, help="default: 600")
    parser.add_argument("--clients", type=int, default=50, help="at a time; default: 50")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corsproxy-soak-") as folder:
        samples, done, said = asyncio.run(soak(Path(folder), given.seconds, given.clients))
    path = write(samples, done, said)
    verdict = judge(samples, said)
    print("\n" + "\n".join(f"{name}: {value}" for name, value in verdict.items()))
    print(f"all of it: {path}", file=sys.stderr)
    raise SystemExit(0 if verdict["passed"] else 1)


if __name__ == "__main__":
    main()
