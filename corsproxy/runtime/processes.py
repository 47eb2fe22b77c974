"""The processes of workers: their start, their end, and who else ends. Knows no configuration."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Collection
from typing import Final, NamedTuple

from corsproxy.runtime.channel import Channel

# Signals are the supervisor's matter; blocked, they cannot end a worker from its first instant on.
_NOT_FOR_WORKERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Process(NamedTuple):
    """A running worker: how to ask it, and how it ended (a status of waitpid) once it has."""

    slot: int
    pid: int
    asker: Channel
    ended: asyncio.Future[int]


class Processes:
    """The living workers of this process."""

    def __init__(self) -> None:
        self._alive: dict[int, Process] = {}

    @property
    def alive(self) -> list[Process]:
        """Those that have not ended, the oldest first."""
        return list(self._alive.values())

    async def start(self, slot: int) -> Process:
        """Start a process for a slot; it waits for its first question. Raises OSError."""
        ours, its = socket.socketpair()
        asker = await Channel.on(ours)
        with its:
            its.set_inheritable(True)
            try:
                pid = _spawn("worker", str(its.fileno()))
            except OSError:
                await asker.close()
                raise
        # Nothing was awaited since it started: it is known before its end can be.
        process = self._alive[pid] = Process(slot, pid, asker, asyncio.Future())
        return process

    def reap(self) -> None:
        """Take note of all that ended: workers, and as PID 1 everybody's orphans (P5)."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            process = self._alive.pop(pid, None)
            if process is not None:
                process.ended.set_result(status)


def _spawn(*arguments: str) -> int:
    """Start this program once more, in the way that it was started itself; return the process's id."""
    # What stands before our own arguments finds the same code, whatever the folder is.
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *program, *arguments],
        os.environ,
        setsigmask=_NOT_FOR_WORKERS,
    )


def kill(processes: Collection[Process]) -> None:
    """End those that have not ended, at once."""
    for process in processes:
        if not process.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


async def ends_of(processes: Collection[Process], seconds: float) -> None:
    """Wait until all have ended, for at most `seconds`."""
    ends = [process.ended for process in processes]
    if ends:
        await asyncio.wait(ends, timeout=seconds)


def how_it_ended(status: int) -> str:
    """Say in words what a status of waitpid means."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
