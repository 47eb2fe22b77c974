"""What a test leaves behind: tasks, sockets, timers, and errors nobody handled."""

import asyncio
import os
import socket
import traceback
from pathlib import Path
from typing import Any

from tests.support.loops import pending_timers


def open_sockets() -> set[str]:
    """Return every socket that this process has open, by descriptor, inode and addresses.

    Except for nameless pairs: with one of these a loop wakes itself, and uvloop makes it anew for
    every run.
    """
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue  # the listing's own descriptor
        if target.startswith("socket:"):
            found.add(f"{descriptor.name} {target} {_addresses(int(descriptor.name))}")
    return {one for one in found if not one.endswith("pair")}


def _addresses(descriptor: int) -> str:
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        try:
            here, there = sock.getsockname(), sock.getpeername()
        except OSError:
            return f"at {sock.getsockname()}"
    return f"{here} to {there}" if here or there else "pair"


class Leaks:
    """Compares what is there at the end with what was there at the start (forwarding.md F6)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = asyncio.all_tasks()
        self._sockets = open_sockets()
        self._timers = set(map(id, pending_timers(self._loop)))
        self.errors: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self.errors.append(_told(context)))

    def remaining(self) -> list[str]:
        """Return a description of every task, socket and timer that is new."""
        tasks = asyncio.all_tasks() - self._tasks - {asyncio.current_task()}
        sockets = open_sockets() - self._sockets
        timers = [one for one in pending_timers(self._loop) if id(one) not in self._timers]
        return [*map(repr, tasks), *sorted(sockets), *map(repr, timers)]

    async def assert_none(self) -> None:
        """Fail unless, within a second, all is as it was and the loop reported no error."""
        deadline = self._loop.time() + 1.0
        while (left := self.remaining()) and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not left, f"left behind: {left}"
        assert not self.errors, "errors that reached the loop:\n" + "\n".join(self.errors)


def _told(context: dict[str, Any]) -> str:
    failure = context.get("exception")
    trace = traceback.format_exception(failure) if failure is not None else [repr(context)]
    return "".join([context["message"], "\n", *trace])
