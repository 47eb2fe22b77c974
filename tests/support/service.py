"""`corsproxy run` as a user starts it: a process of its own, what it says, its end."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import IO

LONG = 20.0  # seconds: how long a test waits for a process before it says what it waited for
_ROOT = Path(__file__).parents[2]


def until(holds: Callable[[], object], what: str, seconds: float = LONG) -> None:
    """Wait until `holds()`, looking every few milliseconds; fail after `seconds` saying `what`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.002)


def catches(pid: int, number: signal.Signals) -> bool:
    """Return whether the process has a handler for the signal, as the kernel knows it (proc(5))."""
    status = _read(Path(f"/proc/{pid}/status"))
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)


def has_loaded(pid: int, library: str) -> bool:
    """Return whether the process has mapped a file whose path holds `library`."""
    return library in _read(Path(f"/proc/{pid}/maps"))


def children(pid: int) -> list[int]:
    """Return the living children of a process, the oldest first."""
    return [int(child) for child in _read(Path(f"/proc/{pid}/task/{pid}/children")).split()]


def is_gone(pid: int) -> bool:
    """Return whether there is no such process any more, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class _Said:
    """The lines of one of the process's streams so far."""

    def __init__(self, stream: IO[str], news: Condition) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._news = news
        self.reader = Thread(target=self._read, args=(stream,), daemon=True)
        self.reader.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()


class ServiceProcess:
    """`python -m corsproxy …`, every line it wrote to stderr (`errors`) and to stdout (`output`)."""

    def __init__(self, arguments: Sequence[str | bytes], program: Sequence[str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, *program, *arguments],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._news = Condition()
        self._stdout = _Said(self.process.stdout, self._news)
        self._stderr = _Said(self.process.stderr, self._news)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def errors(self) -> str:
        """Everything on stderr so far."""
        with self._news:
            return "\n".join(self._stderr.lines)

    @property
    def output(self) -> str:
        """Everything on stdout so far."""
        with self._news:
            return "\n".join(self._stdout.lines)

    def said(self) -> int:
        """Return the number of lines on stderr so far, to wait for later ones."""
        with self._news:
            return len(self._stderr.lines)

    def wait_for(self, pattern: str, after: int = 0, seconds: float = LONG) -> re.Match[str]:
        """Return the first match of `pattern` in a line of stderr from number `after` on."""
        return self._wait_for(self._stderr, pattern, after, seconds)

    def wait_for_output(self, pattern: str, seconds: float = LONG) -> re.Match[str]:
        """Return the first match of `pattern` in a line of stdout."""
        return self._wait_for(self._stdout, pattern, 0, seconds)

    def _wait_for(self, said: _Said, pattern: str, seen: int, seconds: float) -> re.Match[str]:
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for line in said.lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = max(seen, len(said.lines))
                if said.ended or not self._news.wait(deadline - time.monotonic()):
                    printed = "\n".join(said.lines)
                    raise AssertionError(f"no line matches {pattern!r} in:\n{printed}")

    @property
    def port(self) -> int:
        """The port of the first listener, once it was announced."""
        return int(self.wait_for(r"listening on http://\S+:(\d+)")[1])

    @property
    def health_port(self) -> int:
        """The port of the health listener, once it was announced."""
        return int(self.wait_for(r"health on http://\S+:(\d+)/")[1])

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def code(self) -> int:
        """Wait for the end by itself and return the exit code, once everything said was read."""
        code = self.process.wait(LONG)
        for said in (self._stdout, self._stderr):
            said.reader.join(LONG)
        return code

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.send(number)
        return self.code()

    def kill(self) -> None:
        """End it, however far it is; a supervisor's workers end with it."""
        self.process.kill()
        self.code()


@contextmanager
def corsproxy(
    *arguments: str | bytes,
    program: Sequence[str] = ("-m", "corsproxy"),
) -> Iterator[ServiceProcess]:
    """Run the command, and end it however the test went; `program` stands before its arguments."""
    process = ServiceProcess(arguments, program)
    try:
        yield process
    finally:
        process.kill()


def config(
    upstream: int | str,
    *,
    server: str = "",
    route: str = "",
    more: str = "",
) -> str:
    """Return a configuration on free ports with one route to the loopback port `upstream`.

    `server` holds further keys of that section and `route` of the route, in flow style; `more`
    further sections.
    """
    to = upstream if isinstance(upstream, str) else f"http://127.0.0.1:{upstream}"
    return (
        "version: 1\n"
        f"server: {{listen: '127.0.0.1:0'{server and ', '}{server}}}\n"
        "health: {listen: '127.0.0.1:0'}\n"
        "routes:\n"
        f"  - {{name: api, upstream: '{to}', "
        f"cors: {{allow_origins: ['https://app.example']}}{route and ', '}{route}}}\n"
        f"{more}"
    )
