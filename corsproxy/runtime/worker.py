"""A worker: one of several processes that serve the same addresses for a supervisor.

It runs a service on the inherited sockets, does what the supervisor requests, and ends when the
supervisor does. The supervisor handles signals, too: they are blocked here, because a terminal and an
init system send them to every process.
"""

import asyncio
import os
import socket
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from corsproxy.config.load import Loaded, load_text
from corsproxy.observe import logs
from corsproxy.runtime.channel import Handler, Message, serve_requests
from corsproxy.runtime.frontend import ValidConfig
from corsproxy.runtime.service import Listening, Options, Service
from corsproxy.runtime.sockets import CannotStart

if TYPE_CHECKING:
    from collections.abc import Mapping

_DONE: Final[Message] = {}


class Worker:
    """Handles the supervisor's requests: first "serve", then those of `_Serving`; "end" at any time."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._serving: _Serving | None = None
        self._handlers: dict[str, Handler] = {"serve": self._serve, "end": self._end}
        self.ended = asyncio.Event()

    async def handle(self, message: Message) -> Message:
        """Handle a request; the response contains "error" if it failed."""
        return await self._handlers[message["request"]](message)

    async def _serve(self, message: Message) -> Message:
        """Start the service; "sockets" are the descriptors of all slots, for each address."""
        loaded = load_text(message["text"], message["name"], os.environ)
        if loaded.config is None:
            return {"error": _first_problem(loaded)}
        logs.configure(loaded.config.log, sys.stderr.fileno(), is_terminal=sys.stderr.isatty())
        sockets = [[socket.socket(fileno=fd) for fd in fds] for fds in message["sockets"]]
        slot = message["slot"]
        own = tuple([shared[slot % len(shared)].dup() for shared in sockets])
        options = Options(access_log=sys.stdout.fileno(), sockets=own)
        try:
            service = Service(loaded.config, options)
            self._stack.push_async_callback(service.close)
            await service.start()
        except CannotStart as error:
            return {"error": str(error)}
        self._serving = _Serving(service, sockets, self.ended)
        self._handlers.update(self._serving.handlers)
        return _DONE

    async def _end(self, _: Message) -> Message:
        self.ended.set()
        return _DONE

    async def drain(self) -> None:
        """Drain as on SIGINT: the supervisor is gone, and no other process would end this one."""
        if self._serving is not None:
            await self._serving.drain()


class _Serving:
    """Handles the requests that need a running service; sets `ended` once that has drained."""

    def __init__(
        self, service: Service, sockets: list[list[socket.socket]], ended: asyncio.Event
    ) -> None:
        self._service = service
        self._sockets = sockets
        self._ended = ended
        self._taken_over: dict[int, list[Listening]] = {}
        self._prepared: ValidConfig | None = None
        self._draining: asyncio.Task[None] | None = None
        self.handlers: Mapping[str, Handler] = {
            "prepare": self._prepare,
            "commit": self._commit,
            "take_over": self._take_over,
            "hand_back": self._hand_back,
            "snapshot": self._snapshot,
            "begin_drain": self._begin_drain,
            "finish_drain": self._finish_drain,
        }

    async def _prepare(self, message: Message) -> Message:
        """Read a configuration and keep it for `commit`."""
        text = message["text"]
        loaded = await asyncio.to_thread(load_text, text, message["name"], os.environ)
        self._prepared = None if loaded.config is None else ValidConfig(loaded.config, text)
        return {"error": _first_problem(loaded)} if self._prepared is None else _DONE

    async def _commit(self, _: Message) -> Message:
        """Apply the configuration that was prepared."""
        if self._prepared is not None:
            await self._service.apply(self._prepared)
            self._service.record_reload(succeeded=True)
            self._prepared = None
        return _DONE

    async def _take_over(self, message: Message) -> Message:
        """Accept the connections of a slot that no worker serves at the moment (P4)."""
        slot = message["slot"]
        if slot not in self._taken_over:
            # All slots share a unix socket: there is nothing to take over.
            its = [shared[slot].dup() for shared in self._sockets if len(shared) > 1]
            self._taken_over[slot] = [await self._service.listen(sock) for sock in its]
        return _DONE

    async def _hand_back(self, message: Message) -> Message:
        """Stop accepting the connections of a slot that has a worker again."""
        for listening in self._taken_over.pop(message["slot"], []):
            listening.close()
        return _DONE

    async def _snapshot(self, _: Message) -> Message:
        return {"snapshot": await self._service.scrape()}

    async def _begin_drain(self, _: Message) -> Message:
        self._service.begin_drain()
        return _DONE

    async def _finish_drain(self, _: Message) -> Message:
        """Stop accepting, and drain; the response does not wait for that."""
        self._draining = self._start_draining()
        return _DONE

    def _start_draining(self) -> asyncio.Task[None]:
        # A socket listens as long as any process has it open, so those of other slots are closed too.
        for shared in self._sockets:
            for sock in shared:
                sock.close()
        return asyncio.ensure_future(self._finish())

    async def _finish(self) -> None:
        await self._service.finish_drain()
        self._ended.set()

    async def drain(self) -> None:
        """Drain, unless a request has started that, and wait until it is done."""
        if self._draining is None:
            self._service.begin_drain()
            self._draining = self._start_draining()
        await self._draining


def _first_problem(loaded: Loaded) -> str:
    return next(str(problem) for problem in loaded.problems if problem.severity == "error")


async def work(descriptor: int) -> None:
    """Run a worker for the supervisor at the other end of the socket `descriptor`, until it ends."""
    async with AsyncExitStack() as stack:
        worker = Worker(stack)
        sock = socket.socket(fileno=descriptor)
        requests = asyncio.ensure_future(serve_requests(sock, worker.handle))
        ended = asyncio.ensure_future(worker.ended.wait())
        await asyncio.wait({requests, ended}, return_when=asyncio.FIRST_COMPLETED)
        if requests.done():
            await requests  # raises its exception
            await worker.drain()
        for task in (requests, ended):
            task.cancel()
        await asyncio.gather(requests, ended, return_exceptions=True)
