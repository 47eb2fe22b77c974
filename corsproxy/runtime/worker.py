"""One of several processes that serve the same addresses. Knows its service and what it is asked.

It serves what its supervisor gives it, by the sockets that it inherited, and ends with it. Signals
are the supervisor's matter: a terminal and an init system send them to every process there is.
"""

import asyncio
import os
import socket
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from corsproxy.config.load import Loaded, load_text
from corsproxy.observe import logs
from corsproxy.runtime.channel import Message, answer_all
from corsproxy.runtime.frontend import ValidConfig
from corsproxy.runtime.service import Listening, Options, Service
from corsproxy.runtime.sockets import CannotStart

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_FINE: Final[Message] = {}


class Worker:
    """Answers the supervisor's questions; each is a method."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._service: Service
        self._sockets: list[list[socket.socket]] = []
        self._covering: dict[int, list[Listening]] = {}
        self._prepared: ValidConfig | None = None
        self._ending: asyncio.Task[None] | None = None
        self._questions: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "serve": self._serve,
            "prepare": self._prepare,
            "commit": self._commit,
            "cover": self._cover,
            "uncover": self._uncover,
            "snapshot": self._snapshot,
            "begin_drain": self._begin_drain,
            "finish_drain": self._finish_drain,
            "end": self._end_at_once,
        }
        self.ended = asyncio.Event()

    async def answer(self, message: Message) -> Message:
        """Return the answer to a question; it has "error" in it where what was asked failed."""
        return await self._questions[message["question"]](message)

    async def _serve(self, message: Message) -> Message:
        """Begin: `sockets` are descriptors, for each address those of all slots."""
        loaded = load_text(message["text"], message["name"], os.environ)
        if loaded.config is None:
            return {"error": _first_problem(loaded)}
        logs.configure(loaded.config.log, sys.stderr.fileno(), is_terminal=sys.stderr.isatty())
        self._sockets = [[socket.socket(fileno=fd) for fd in fds] for fds in message["sockets"]]
        slot = message["slot"]
        own = tuple([shared[slot % len(shared)].dup() for shared in self._sockets])
        options = Options(access_log=sys.stdout.fileno(), sockets=own)
        try:
            self._service = Service(loaded.config, options)
            self._stack.push_async_callback(self._service.close)
            await self._service.start()
        except CannotStart as error:
            return {"error": str(error)}
        return _FINE

    async def _prepare(self, message: Message) -> Message:
        """Read a configuration and keep it for `commit`."""
        text = message["text"]
        loaded = await asyncio.to_thread(load_text, text, message["name"], os.environ)
        self._prepared = None if loaded.config is None else ValidConfig(loaded.config, text)
        return {"error": _first_problem(loaded)} if self._prepared is None else _FINE

    async def _commit(self, _: Message) -> Message:
        if self._prepared is not None:
            await self._service.apply(self._prepared)
            self._service.record_reload(succeeded=True)
            self._prepared = None
        return _FINE

    async def _cover(self, message: Message) -> Message:
        """Take the connections of a slot that nobody serves at the moment (P4)."""
        slot = message["slot"]
        if slot not in self._covering:
            # A unix socket is one for all: there is nothing to take over.
            mine = [shared[slot].dup() for shared in self._sockets if len(shared) > 1]
            self._covering[slot] = [await self._service.listen(sock) for sock in mine]
        return _FINE

    async def _uncover(self, message: Message) -> Message:
        for listener in self._covering.pop(message["slot"], []):
            listener.close()
        return _FINE

    async def _snapshot(self, _: Message) -> Message:
        return {"snapshot": await self._service.scrape()}

    async def _begin_drain(self, _: Message) -> Message:
        self._service.begin_drain()
        return _FINE

    async def _finish_drain(self, _: Message) -> Message:
        """Stop listening for everybody's sake, and end when all is done; the answer does not wait."""
        for shared in self._sockets:
            for sock in shared:
                sock.close()
        self._ending = asyncio.ensure_future(self._drain())
        return _FINE

    async def _drain(self) -> None:
        await self._service.finish_drain()
        self.ended.set()

    async def _end_at_once(self, _: Message) -> Message:
        self.ended.set()
        return _FINE

    async def orphaned(self) -> None:
        """End as on a signal: the supervisor is gone, and nobody else would end this process."""
        if self._ending is None and hasattr(self, "_service"):
            await self._begin_drain({})
            await self._finish_drain({})
        if self._ending is not None:
            await self._ending


def _first_problem(loaded: Loaded) -> str:
    return next(str(problem) for problem in loaded.problems if problem.severity == "error")


async def work(descriptor: int) -> None:
    """Serve as the supervisor at the other end of `descriptor` says, until that is over."""
    async with AsyncExitStack() as stack:
        worker = Worker(stack)
        asked = asyncio.ensure_future(answer_all(socket.socket(fileno=descriptor), worker.answer))
        ended = asyncio.ensure_future(worker.ended.wait())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            await asked  # for its exception
            await worker.orphaned()
        for task in (asked, ended):
            task.cancel()
        await asyncio.gather(asked, ended, return_exceptions=True)
