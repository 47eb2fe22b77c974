"""The demo as a user starts it: a process of its own, its printed links, its log, its end."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Thread
from typing import IO

_LONG = 20.0


class DemoProcess:
    """`python -m corsproxy demo …`, and every line it printed so far."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "corsproxy", "demo", *arguments],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._lines: list[str] = []
        self._news = Condition()
        self._ended = False
        self._reader = Thread(target=self._read, args=(self.process.stdout,))
        self._reader.start()

    def _read(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """Everything printed so far."""
        with self._news:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Return the first match of `pattern` in a line from number `after` on; fail if none comes."""
        deadline = time.monotonic() + _LONG
        seen = after
        with self._news:
            while True:
                for line in self._lines[seen:]:
                    if found := re.search(pattern, line):
                        return found
                seen = max(seen, len(self._lines))
                if self._ended or not self._news.wait(deadline - time.monotonic()):
                    printed = "\n".join(self._lines)
                    raise AssertionError(f"no line matches {pattern!r} in:\n{printed}")

    def link(self, name: str) -> str:
        """Return the address that the greeting prints for `name`."""
        return self.wait_for(rf"^  {re.escape(name)} +(http://[^ ]+)")[1]

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code, once everything printed was read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(_LONG)
        finally:
            self.process.kill()
            self._reader.join()
        return code


@contextmanager
def demo(*arguments: str) -> Iterator[DemoProcess]:
    """Run the demo on free ports, and end it however the test went."""
    process = DemoProcess(*arguments)
    try:
        yield process
    finally:
        process.end()


FREE_PORTS = ("--page-port", "0", "--api-port", "0", "--proxy-port", "0")
