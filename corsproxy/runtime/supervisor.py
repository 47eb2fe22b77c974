"""Several workers on the same addresses: starts them, replaces dead ones, speaks for all of them.

Knows processes and what they are asked, no requests. The supervisor holds all sockets, so nothing
that waits for a worker is lost when it dies; until it is replaced another one serves its share.
"""

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from corsproxy.observe.snapshot import FAMILIES, Snapshot, sum_snapshots
from corsproxy.runtime.channel import ChannelClosed, Message
from corsproxy.runtime.frontend import NotApplied, Status, ValidConfig, addresses_of
from corsproxy.runtime.processes import Process, Processes, ends_of, how_it_ended, kill
from corsproxy.runtime.signals import call_on
from corsproxy.runtime.sockets import Bound, CannotStart, ListenSockets

if TYPE_CHECKING:
    from corsproxy.policy.compiled import Address, CompiledConfig

log: Final = logging.getLogger("corsproxy")

# Seconds: how long a worker may take to answer for its metrics, to end when it is told to, and to
# end beyond `server.drain`.
_SCRAPE_TIME: Final = 1.0
_GOODBYE_TIME: Final = 1.0
_ENDING_TIME: Final = 5.0
# A worker that lived for so many seconds is replaced at once; one that did not, ever later.
_STEADY: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0


class Supervisor:
    """Serves the requests of one configuration in `count` workers; `name` is its file's."""

    def __init__(self, valid: ValidConfig, name: str, count: int) -> None:
        self.config: CompiledConfig = valid.config
        self.addresses: tuple[Address, ...] = ()
        self._text = valid.text
        self._name = name
        self._count = count
        self._listeners = ListenSockets(count, addresses_of(valid.config))
        self._bound: tuple[Bound, ...] = ()
        self._processes = Processes()
        self._serving: dict[int, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._last: dict[int, Snapshot] = {}
        self._departed: Snapshot = {}
        self._deaths = 0
        self._changing = asyncio.Lock()
        self._last_reload_succeeded = True

    # --- starting and replacing ------------------------------------------------------------

    def bind(self) -> None:
        """Listen with a socket for each worker. Raises CannotStart."""
        listen = self.config.server.listen
        self._bound = tuple([self._listeners.bind(address) for address in listen])
        self.addresses = tuple([bound.address for bound in self._bound])
        for bound in self._bound:
            for sock in bound.sockets:
                sock.set_inheritable(True)

    async def start(self) -> None:
        """Start all workers. Raises CannotStart if one of them cannot serve."""
        call_on(signal.SIGCHLD, self._processes.reap)
        self._processes.reap()  # what ended before anybody listened
        processes = [await self._processes.start(slot) for slot in range(self._count)]
        for fault in await asyncio.gather(*[self._begin(process) for process in processes]):
            if fault:
                raise CannotStart(fault)
        self._keepers = [asyncio.ensure_future(self._keep(process)) for process in processes]

    async def _begin(self, process: Process) -> str:
        """Have a process serve the configuration in force; return what keeps it from that, or ""."""
        try:
            answer = await process.asker.ask(
                "serve",
                text=self._text,
                name=self._name,
                slot=process.slot,
                sockets=[[sock.fileno() for sock in bound.sockets] for bound in self._bound],
            )
        except ChannelClosed:
            return f"worker {process.slot + 1} {how_it_ended(await asyncio.shield(process.ended))} at its start"
        if "error" not in answer:
            self._serving[process.slot] = process
        return str(answer.get("error", ""))

    async def _keep(self, process: Process) -> None:
        """Replace the process of a slot whenever it dies, until cancelled (P4)."""
        pause, began = 0.0, time.monotonic()
        while True:
            status = await asyncio.shield(process.ended)
            await self._bury(process)
            steady = time.monotonic() - began >= _STEADY
            pause = 0.0 if steady else min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            log.error(
                "worker %d (process %d) %s; replaced in %g s",
                process.slot + 1,
                process.pid,
                how_it_ended(status),
                pause,
            )
            await asyncio.sleep(pause)
            began = time.monotonic()
            process = await self._successor(process.slot)

    async def _bury(self, process: Process) -> None:
        """Have others do the work of a process that died, and keep what it counted."""
        self._serving.pop(process.slot, None)
        self._deaths += 1
        self._remember(process.slot)
        self._cover_missing()
        await process.asker.close()

    async def _successor(self, slot: int) -> Process:
        """Start another process for a slot and have it serve; one that cannot is ended again."""
        while True:
            try:
                process = await self._processes.start(slot)
                break
            except OSError as error:  # most often: no more processes may be started
                reason = error.strerror or str(error)
                log.error("worker %d cannot be started: %s", slot + 1, reason)  # noqa: TRY400 - no bug of ours
                await asyncio.sleep(_LONGEST_PAUSE)
        async with self._changing:
            fault = await self._begin(process)
        if fault:
            log.error("worker %d cannot serve: %s", slot + 1, fault)
            kill([process])
        else:
            log.info("worker %d (process %d) serves", slot + 1, process.pid)
            await self._ask_all("uncover", slot=slot)
            self._cover_missing()
        return process

    def _cover_missing(self) -> None:
        """Have one worker take the connections that come to slots without any."""
        missing = set(range(self._count)) - self._serving.keys()
        for process in [*self._serving.values()][:1]:
            for slot in missing:
                process.asker.tell("cover", slot=slot)

    # --- all of them as one ----------------------------------------------------------------

    async def _ask_all(self, question: str, **details: object) -> dict[int, Message]:
        """Return the answers by slot; who ended meanwhile gives none."""
        asked = dict(self._serving)
        answers = await asyncio.gather(
            *[process.asker.ask(question, **details) for process in asked.values()],
            return_exceptions=True,
        )
        return {
            slot: answer
            for slot, answer in zip(asked, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    async def apply(self, valid: ValidConfig) -> None:
        """Have all workers serve according to `valid`, or none. Raises NotApplied."""
        async with self._changing:
            answers = await self._ask_all("prepare", text=valid.text, name=self._name)
            for slot, answer in answers.items():
                if "error" in answer:
                    raise NotApplied(f"worker {slot + 1} cannot take it: {answer['error']}")
            self.config, self._text = valid
            await self._ask_all("commit")

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the result of the last reload: each worker knows of those that it applied only."""
        self._last_reload_succeeded = succeeded

    async def scrape(self) -> Snapshot:
        """Return what all workers counted together, those that died included."""
        await asyncio.gather(*[self._look(process) for process in self._serving.values()])
        living = [self._last[slot] for slot in self._serving if slot in self._last]
        total = sum_snapshots([*living, self._departed])
        succeeded = int(self._last_reload_succeeded)
        total["corsproxy_config_last_reload_successful"] = [((), (succeeded,))]
        total["corsproxy_worker_deaths_total"] = [((), (self._deaths,))]
        return total

    async def _look(self, process: Process) -> None:
        """Ask a worker for what it counted; one that does not answer in time has its last figures."""
        with contextlib.suppress(ChannelClosed, TimeoutError):
            asked = process.asker.ask("snapshot")
            answer = await asyncio.wait_for(asked, _SCRAPE_TIME)
            self._last[process.slot] = answer["snapshot"]

    def _remember(self, slot: int) -> None:
        """Keep the counters of a worker that died: what was counted never becomes less."""
        last = self._last.pop(slot, {})
        counters = {name: found for name, found in last.items() if FAMILIES[name].kind != "gauge"}
        self._departed = sum_snapshots([self._departed, counters])

    def status(self) -> Status:
        """Return whether any worker serves, and how many do."""
        count = len(self._serving)
        word = "ok" if count else "no worker"
        return Status(count > 0, word, (f"{count} of {self._count} workers serve",))

    # --- the end ---------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Have all workers close client connections after their next response."""
        self._let_be()
        for process in self._processes.alive:
            process.asker.tell("begin_drain")

    async def finish_drain(self) -> None:
        """Have all workers stop accepting, and wait until they have ended."""
        self._listeners.close()
        for process in self._processes.alive:
            process.asker.tell("finish_drain")
        await ends_of(self._processes.alive, self.config.server.drain + _ENDING_TIME)

    def _let_be(self) -> None:
        """Replace nobody any more."""
        for keeper in self._keepers:
            keeper.cancel()

    async def close(self) -> None:
        """End all workers at once, if need be by SIGKILL."""
        self._let_be()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        left = self._processes.alive
        for process in left:
            process.asker.tell("end")
        await ends_of(left, _GOODBYE_TIME)
        kill(left)
        await ends_of(left, _ENDING_TIME)
        await asyncio.gather(*[process.asker.close() for process in left])
        self._listeners.close()
