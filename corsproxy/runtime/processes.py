"""Starts worker processes and reaps those that end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Collection
from typing import Final, NamedTuple

from corsproxy.runtime.channel import Channel

# Blocked in workers from their start, because the supervisor handles these signals.
_BLOCKED_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Process(NamedTuple):
    """A worker process: the channel to it, and a future with its status from waitpid."""

    slot: int
    pid: int
    channel: Channel
    ended: asyncio.Future[int]


class Processes:
    """The workers that this process started and that have not ended."""

    def __init__(self) -> None:
        self._alive: dict[int, Process] = {}

    @property
    def alive(self) -> list[Process]:
        """The workers that have not ended, the oldest first."""
        return list(self._alive.values())

    async def start(self, slot: int) -> Process:
        """Start a process for a slot; it waits for its first request. Raises OSError."""
        our_end, its_end = socket.socketpair()
        channel = await Channel.open(our_end)
        with its_end:
            its_end.set_inheritable(True)
            try:
                pid = _spawn("worker", str(its_end.fileno()))
            except OSError:
                await channel.close()
                raise
        # There was no await since it started, so `reap` cannot run before it is registered.
        process = self._alive[pid] = Process(slot, pid, channel, asyncio.Future())
        return process

    def reap(self) -> None:
        """Reap all children that have ended: workers, and as PID 1 adopted orphans (P5)."""
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
    """Start this program again with other arguments; return the process's id."""
    # Repeating the interpreter's options and the module or script finds the same code, whatever the
    # current directory.
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *program, *arguments],
        os.environ,
        setsigmask=_BLOCKED_SIGNALS,
    )


def kill(processes: Collection[Process]) -> None:
    """Send SIGKILL to those that have not ended."""
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
    """Describe a status from waitpid."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
