"""Runs the product in its own process, from this checkout or another one."""

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.attacks.clients import get, status
from bench.attacks.waits import Target
from bench.cpu import cpu_seconds, forget_peak, peak_bytes, processes, resident_bytes

HERE: Final = Path(__file__).parents[2]
_ANNOUNCED: Final = re.compile(r"(listening|health) on \S*?:(\d+)(?:/|\s|$)")
_WARM_UP: Final = 30
_SETTLE: Final = 0.3


class WrongCode(Exception):  # noqa: N818 - it names what is wrong with a run
    """The code that ran is not from the checkout under attack."""


class DidNotStart(Exception):  # noqa: N818 - what happened
    """The product ended, or did not serve."""


class Checkout(NamedTuple):
    """A folder with the product's code; it need not be installed."""

    root: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which `python -m corsproxy` runs this checkout."""
        return {**os.environ, **(more or {}), "PYTHONPATH": str(self.root)}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end and return the result."""
        command = [sys.executable, *arguments]
        environment = self.environment()
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            capture_output=True,
            timeout=30,
            check=False,
        )

    def check(self) -> None:
        """Raise WrongCode unless a process that is started like the product imports this checkout."""
        if not (self.root / "corsproxy" / "__init__.py").is_file():
            raise WrongCode(f"{self.root} is not a checkout of corsproxy")
        found = (
            self.run("-c", "import corsproxy; print(corsproxy.__file__)").stdout.decode().strip()
        )
        if Path(found or ".").resolve() != (self.root / "corsproxy" / "__init__.py").resolve():
            raise WrongCode(f"{found or 'nothing'} would run, not the code in {self.root}")

    def knows(self, key: str) -> bool:
        """Return whether the configuration language of this version has a key of this name."""
        return f'"{key}"'.encode() in self.run("-m", "corsproxy", "schema").stdout


class Proxy:
    """The running product: its process and its ports."""

    def __init__(self, process: subprocess.Popen[str], checkout: Checkout) -> None:
        self.process = process
        self.ports: dict[str, int] = {}
        self.said: list[str] = []
        self._checkout = checkout
        self._idle = 0
        self._started = threading.Event()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def port(self) -> int:
        """The address of its listener."""
        return self.ports["listening"]

    @property
    def health(self) -> int:
        """The address of its health listener."""
        return self.ports["health"]

    def _listen(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - it is a pipe
        for line in self.process.stderr:
            self.said = [*self.said[-200:], line]
            if found := _ANNOUNCED.search(line):
                self.ports.setdefault(found[1], int(found[2]))
            if "health on" in line:
                self._started.set()
        self._started.set()

    async def started(self) -> None:
        """Wait until it listens, running its checkout. Raises DidNotStart or WrongCode."""
        await asyncio.to_thread(self._started.wait, 20)
        if self.process.poll() is not None or "health" not in self.ports:
            raise DidNotStart("".join(self.said)[-2000:])
        for pid in processes(self.process.pid):
            self._check_code(pid)

    def _check_code(self, pid: int) -> None:
        """Check that the workers, too, run this checkout: the product starts them itself."""
        root = self._checkout.root.resolve()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        is_there = Path(f"/proc/{pid}/cwd").resolve() == root
        if not is_there or b"PYTHONPATH=%b" % os.fsencode(self._checkout.root) not in environment:
            raise WrongCode(f"process {pid} of the product does not run from {root}")

    async def rest(
        self, request: bytes = get(b"/fine"), *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve a few requests, then record the memory at rest as the base of `memory_above_idle`.

        Raises DidNotStart if they are not served, because measurements would be meaningless.
        """
        for _ in range(_WARM_UP):
            if (code := await status(self.port, request, tls=tls)) != 200:
                raise DidNotStart(f"an honest request got {code or 'no response'}")
        await asyncio.sleep(_SETTLE)
        self._idle = resident_bytes(self.process.pid)
        forget_peak(self.process.pid)

    def memory_above_idle(self) -> float:
        """Return by how many MB the peak of the memory was above that at rest."""
        return (peak_bytes(self.process.pid) - self._idle) / 1e6

    def memory_kept(self) -> float:
        """Return by how many MB the memory is above that at rest now."""
        return (resident_bytes(self.process.pid) - self._idle) / 1e6

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that its processes have used so far."""
        return cpu_seconds(self.process.pid)

    def targets(self, path: bytes = b"/fine") -> dict[str, Target]:
        """Return the requests of other clients and of a probe."""
        return {
            "others": Target(self.port, get(path)),
            "livez": Target(self.health, get(b"/livez")),
        }

    def kill(self) -> None:
        """End its processes at once."""
        for pid in processes(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._listening.join()
        if self.process.stderr is not None:
            self.process.stderr.close()


class Scene(NamedTuple):
    """The environment of an attack: the code under attack and a folder for files."""

    checkout: Checkout
    folder: Path

    @asynccontextmanager
    async def proxy(
        self,
        config: str,
        *,
        files: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Proxy]:
        """Run the product for the duration of the context; `files` limits its open files, unless it is 0."""
        path = self.folder / "config.yaml"
        path.write_text(config)
        limit = f"ulimit -n {files}; " if files else ""
        command = f'{limit}exec "$0" -m corsproxy run -c "$1"'
        process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            ["/bin/sh", "-c", command, sys.executable, str(path)],
            cwd=self.checkout.root,
            env=self.checkout.environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        proxy = Proxy(process, self.checkout)
        try:
            await proxy.started()
            yield proxy
        finally:
            proxy.kill()


def config(
    port: int, *, server: str = "", upstream: str = "", route: str = "", more: str = ""
) -> str:
    """Return a configuration with one upstream on the loopback `port`.

    `server`, `upstream` and `route` are further keys in flow style, `more` further routes, a line
    each. It contains no key that only some versions have, except those given.
    """
    listen = "" if "listen:" in server else "listen: '127.0.0.1:0', "
    return f"""\
version: 1
server: {{{listen}{server}}}
health: {{listen: '127.0.0.1:0'}}
log: {{format: text, access: "off"}}
upstreams:
  legacy: {{url: 'http://127.0.0.1:{port}', {upstream}}}
routes:
  - {{name: all, upstream: legacy, cors: false, {route}}}
{more}"""
