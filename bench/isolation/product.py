"""Runs `corsproxy run` with workers under the fuzz test; reloads it and kills workers."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from bench.isolation.errands import Book, now

_ROOT: Final = Path(__file__).parents[2]
_PROGRAMS: Final = {"uvloop": "corsproxy", "asyncio": "bench.isolation.on_asyncio"}
_START: Final = 30.0
# Two settings of the pool, and two ports: each reload switches to the other.
_POOLS: Final = ("max_connections: 64, max_idle: 64, idle: 5s", "max_connections: 200, idle: 2s")
_CONFIG: Final = """\
version: 1
server:
  listen: 127.0.0.1:0
  workers: {workers}
  timeouts: {{request_header: 5s, request_body_idle: 5s, write_idle: 10s}}
health: {{listen: off}}
log: {{access: off}}
upstreams:
  main:
    url: http://127.0.0.1:{main}
    timeouts: {{response_header: 3s, idle: 10s}}
    pool: {{{pool}}}
  excess:
    url: http://127.0.0.1:{excess}
    timeouts: {{response_header: 3s, idle: 10s}}
    pool: {{{excess_pool}}}
routes:
  - {{match: {{path: /t/}}, upstream: main, cors: {{allow_origins: ["https://app.example"]}}}}
  - {{match: {{path: /x/}}, upstream: excess, cors: {{allow_origins: ["https://app.example"]}}}}
"""


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Product:
    """The running process.

    `ports` are those of the upstream that each reload changes, and of the one that sends excess.
    """

    def __init__(
        self,
        folder: Path,
        ports: tuple[int, int, int],
        *,
        workers: int,
        never: bool,
    ) -> None:
        self._path = folder / "config.yaml"
        self._ports = ports
        self._workers = workers
        self._never = never
        self._reloads = 0
        self._said: list[str] = []
        self._process: subprocess.Popen[str]
        self.port = 0

    def _write(self) -> None:
        turn = self._reloads % 2
        never = ", reuse: never" if self._never else ""
        text = _CONFIG.format(
            workers=self._workers,
            main=self._ports[turn],
            excess=self._ports[2],
            pool=_POOLS[turn],
            excess_pool=_POOLS[0] + never,
        )
        new = self._path.with_suffix(".new")
        new.write_text(text)
        new.replace(self._path)

    def start(self, loop: str) -> None:
        """Start it and wait until it listens. Raises SystemExit if it does not."""
        self._write()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAMS[loop], "run", "-c", str(self._path)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        listening = threading.Event()
        threading.Thread(target=self._read, args=(listening,), daemon=True).start()
        if not listening.wait(_START) or not self.port:
            self.end()
            raise SystemExit("isolation: the proxy did not start:\n" + "\n".join(self._said))

    def _read(self, listening: threading.Event) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it is a pipe
        for line in self._process.stderr:
            if len(self._said) < 10_000:
                self._said.append(line.rstrip())
            if "listening on" in line:
                self.port = int(line.rpartition(":")[2].split("/")[0].split()[0])
                listening.set()
        listening.set()

    async def reload_on(self, seconds: float) -> None:
        """Change the upstream's port and pool, periodically."""
        while True:
            await asyncio.sleep(seconds)
            self._reloads += 1
            self._write()
            self._process.send_signal(signal.SIGHUP)

    async def kill_on(self, seconds: float, book: Book, chance: random.Random) -> None:
        """Kill a worker, periodically."""
        while True:
            await asyncio.sleep(seconds)
            workers = _children(self._process.pid)
            if len(workers) == self._workers > 1:
                book.kills.append(now())
                os.kill(chance.choice(workers), signal.SIGKILL)

    @property
    def reloads(self) -> int:
        """The number of reloads that it has reported."""
        return sum("configuration reloaded" in line for line in self._said)

    @property
    def errors(self) -> list[str]:
        """The log lines that it should not have written."""
        return [line for line in self._said if "Traceback" in line or "not reloaded" in line]

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """Stop it, with SIGKILL after 15 seconds."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
