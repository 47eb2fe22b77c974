"""Several workers on the same addresses: starts them, replaces dead ones, speaks for all of them.

Knows processes and what they are asked, no requests. The supervisor holds all sockets, so nothing
that waits for a worker is lost when it dies; until it is replaced another one serves its share.
"""

import asyncio
import contextlib
import logging
import signal
import time
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from corsproxy.admin.health import HealthListener, Readiness, serve_health
from corsproxy.config.load import Loaded
from corsproxy.observe.snapshot import FAMILIES, Snapshot, sum_snapshots
from corsproxy.runtime.acceptor import Acceptor
from corsproxy.runtime.channel import ChannelClosed, Message
from corsproxy.runtime.processes import Process, Processes, ends_of, how_it_ended, kill
from corsproxy.runtime.reload import NotApplied
from corsproxy.runtime.service import addresses_of, restart_required
from corsproxy.runtime.signals import StopSignals, call_on
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
    """`count` workers that serve one configuration. To be used like a `Service`."""

    def __init__(self, loaded: Loaded, name: str, count: int) -> None:
        assert loaded.config is not None  # noqa: S101 - nobody starts without
        self.config: CompiledConfig = loaded.config
        self._started = loaded.config
        self._text = loaded.text
        self._name = name
        self._count = count
        addresses = addresses_of(loaded.config)
        self._listeners = ListenSockets(count, addresses)
        self._health_listeners = ListenSockets(addresses=addresses)
        self._health: HealthListener | None = None
        self._bound: tuple[Bound, ...] = ()
        self._processes = Processes()
        self._serving: dict[int, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._last: dict[int, Snapshot] = {}
        self._departed: Snapshot = {}
        self._deaths = 0
        self._changing = asyncio.Lock()
        self._stopping = False
        self.reload_failed = False
        self.addresses: tuple[Address, ...] = ()
        self.health_address: Address | None = None

    async def __aenter__(self) -> Self:
        """Listen and start all workers. Raise CannotStart, with nothing left, where one cannot."""
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything: no request is waited for, `drain` does that."""
        await self._end()

    # --- starting and replacing ------------------------------------------------------------

    async def _start(self) -> None:
        config = self.config
        self._bound = tuple([self._listeners.bind(address) for address in config.server.listen])
        self.addresses = tuple([bound.address for bound in self._bound])
        for bound in self._bound:
            for sock in bound.sockets:
                sock.set_inheritable(True)
        call_on(signal.SIGCHLD, self._processes.reap)
        self._processes.reap()  # what ended before anybody listened
        if config.health is not None:
            self.health_address, (sock,) = self._health_listeners.bind(config.health)
            self._health = await serve_health(partial(Acceptor, sock), self._readiness, self.scrape)
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

    async def apply(self, loaded: Loaded) -> list[str]:
        """Have all workers take what was read into force, or none; return what needs a restart.

        Raises NotAdopted.
        """
        assert loaded.config is not None  # noqa: S101 - nobody asks for another
        async with self._changing:
            answers = await self._ask_all("prepare", text=loaded.text, name=self._name)
            for slot, answer in answers.items():
                if "error" in answer:
                    raise NotApplied(f"worker {slot + 1} cannot take it: {answer['error']}")
            self.config, self._text = loaded.config, loaded.text
            await self._ask_all("commit")
        return restart_required(self._started, loaded.config)

    def reloaded(self, succeeded: bool) -> None:  # noqa: FBT001 - told by position, as an event
        """Note how the last reload went."""
        self.reload_failed = not succeeded

    async def scrape(self) -> Snapshot:
        """Return what all workers counted together, those that died included."""
        await asyncio.gather(*[self._look(process) for process in self._serving.values()])
        living = [self._last[slot] for slot in self._serving if slot in self._last]
        total = sum_snapshots([*living, self._departed])
        succeeded = 0 if self.reload_failed else 1
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

    def _readiness(self) -> Readiness:
        lines = ["stopping"] if self._stopping else ["ok"] if self._serving else ["no worker"]
        lines.append(f"{len(self._serving)} of {self._count} workers serve")
        if self.reload_failed:
            lines.append("the last reload failed: the configuration before it is in force")
        return Readiness(bool(self._serving) and not self._stopping, lines)

    # --- the end ---------------------------------------------------------------------------

    async def wait(self, stop: StopSignals) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second signal ends at once (P1)."""
        first = await stop.next()
        await stop.cut_short(self.drain(delayed=first is signal.SIGTERM))

    async def drain(self, *, delayed: bool) -> None:
        """Have all workers stop taking requests and finish those in flight."""
        server = self.config.server
        self._stopping = True
        self._let_be()
        for process in self._processes.alive:
            process.asker.tell("begin_drain")
        if delayed and server.drain_delay:
            log.info("stopping: still accepting for %g s", server.drain_delay)
            await asyncio.sleep(server.drain_delay)
        self._listeners.close()
        for process in self._processes.alive:
            process.asker.tell("finish_drain")
        await ends_of(self._processes.alive, server.drain + _ENDING_TIME)

    def _let_be(self) -> None:
        """Replace nobody any more."""
        for keeper in self._keepers:
            keeper.cancel()

    async def _end(self) -> None:
        self._stopping = True
        self._let_be()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        left = self._processes.alive
        for process in left:
            process.asker.tell("end")
        await ends_of(left, _GOODBYE_TIME)
        kill(left)
        await ends_of(left, _ENDING_TIME)
        await asyncio.gather(*[process.asker.close() for process in left])
        if self._health is not None:
            await self._health.close()
        self._listeners.close()
        self._health_listeners.close()
