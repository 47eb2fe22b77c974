"""Runs several workers on the same addresses: starts them, replaces dead ones, sums their metrics.

The supervisor keeps all sockets open, so that connections in the backlog of a worker that dies are
not lost: another worker accepts them until it is replaced.
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

# Seconds: for a worker to respond with its metrics; to end on request; and, in addition to
# `server.drain`, to end after draining.
_SCRAPE_TIMEOUT: Final = 1.0
_END_TIMEOUT: Final = 1.0
_EXIT_TIMEOUT: Final = 5.0
# A worker that ran for this many seconds is replaced at once, any other after a pause that doubles.
_STABLE_AFTER: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0


class Supervisor:
    """Serves the requests of one configuration in `count` workers; `name` is that of its file."""

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
        self._of_dead: Snapshot = {}
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
        self._processes.reap()  # those that ended before there was a handler
        processes = [await self._processes.start(slot) for slot in range(self._count)]
        for fault in await asyncio.gather(*[self._begin(process) for process in processes]):
            if fault:
                raise CannotStart(fault)
        self._keepers = [asyncio.ensure_future(self._keep(process)) for process in processes]

    async def _begin(self, process: Process) -> str:
        """Make a process serve the configuration in force; return why it cannot, or ""."""
        try:
            response = await process.channel.request(
                "serve",
                text=self._text,
                name=self._name,
                slot=process.slot,
                sockets=[[sock.fileno() for sock in bound.sockets] for bound in self._bound],
            )
        except ChannelClosed:
            return f"worker {process.slot + 1} {how_it_ended(await asyncio.shield(process.ended))} during its start"
        if "error" not in response:
            self._serving[process.slot] = process
        return str(response.get("error", ""))

    async def _keep(self, process: Process) -> None:
        """Replace the process of a slot each time it dies, until cancelled (P4)."""
        pause, started = 0.0, time.monotonic()
        while True:
            status = await asyncio.shield(process.ended)
            await self._unregister(process)
            is_stable = time.monotonic() - started >= _STABLE_AFTER
            pause = 0.0 if is_stable else min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            log.error(
                "worker %d (process %d) %s; a replacement starts in %g s",
                process.slot + 1,
                process.pid,
                how_it_ended(status),
                pause,
            )
            await asyncio.sleep(pause)
            started = time.monotonic()
            process = await self._start_replacement(process.slot)

    async def _unregister(self, process: Process) -> None:
        """Let another worker accept the connections of a dead one, and keep the counters of the latter."""
        self._serving.pop(process.slot, None)
        self._deaths += 1
        self._keep_counters(process.slot)
        self._take_over_missing()
        await process.channel.close()

    async def _start_replacement(self, slot: int) -> Process:
        """Start another process for a slot and make it serve; kill it if it cannot."""
        while True:
            try:
                process = await self._processes.start(slot)
                break
            except OSError as error:  # most often the limit of processes
                reason = error.strerror or str(error)
                log.error("worker %d cannot be started: %s", slot + 1, reason)  # noqa: TRY400 - not a bug
                await asyncio.sleep(_LONGEST_PAUSE)
        async with self._changing:
            fault = await self._begin(process)
        if fault:
            log.error("worker %d cannot serve: %s", slot + 1, fault)
            kill([process])
        else:
            log.info("worker %d (process %d) serves", slot + 1, process.pid)
            await self._request_all("hand_back", slot=slot)
            self._take_over_missing()
        return process

    def _take_over_missing(self) -> None:
        """Let one worker accept the connections of all slots without a worker."""
        missing = set(range(self._count)) - self._serving.keys()
        for process in [*self._serving.values()][:1]:
            for slot in missing:
                process.channel.send("take_over", slot=slot)

    # --- all workers together ---------------------------------------------------------------

    async def _request_all(self, name: str, /, **arguments: object) -> dict[int, Message]:
        """Send a request to all workers; return the responses by slot, except of those that have ended."""
        serving = dict(self._serving)
        responses = await asyncio.gather(
            *[process.channel.request(name, **arguments) for process in serving.values()],
            return_exceptions=True,
        )
        return {
            slot: response
            for slot, response in zip(serving, responses, strict=True)
            if not isinstance(response, BaseException)
        }

    async def apply(self, valid: ValidConfig) -> None:
        """Make all workers serve according to `valid`, or none. Raises NotApplied."""
        async with self._changing:
            responses = await self._request_all("prepare", text=valid.text, name=self._name)
            for slot, response in responses.items():
                if "error" in response:
                    raise NotApplied(f"worker {slot + 1} cannot apply it: {response['error']}")
            self.config, self._text = valid
            await self._request_all("commit")

    def record_reload(self, *, succeeded: bool) -> None:
        """Record the result of the last reload: workers count only those that they applied."""
        self._last_reload_succeeded = succeeded

    async def scrape(self) -> Snapshot:
        """Return the sum of all workers' metrics, with the counters of those that died."""
        await asyncio.gather(*[self._scrape_worker(process) for process in self._serving.values()])
        living = [self._last[slot] for slot in self._serving if slot in self._last]
        total = sum_snapshots([*living, self._of_dead])
        succeeded = int(self._last_reload_succeeded)
        total["corsproxy_config_last_reload_successful"] = [((), (succeeded,))]
        total["corsproxy_worker_deaths_total"] = [((), (self._deaths,))]
        return total

    async def _scrape_worker(self, process: Process) -> None:
        """Request a worker's metrics; if there is no response in time, its last ones count."""
        with contextlib.suppress(ChannelClosed, TimeoutError):
            request = process.channel.request("snapshot")
            response = await asyncio.wait_for(request, _SCRAPE_TIMEOUT)
            self._last[process.slot] = response["snapshot"]

    def _keep_counters(self, slot: int) -> None:
        """Keep the counters of a worker that died: a counter never decreases."""
        last = self._last.pop(slot, {})
        counters = {name: series for name, series in last.items() if FAMILIES[name].kind != "gauge"}
        self._of_dead = sum_snapshots([self._of_dead, counters])

    def status(self) -> Status:
        """Return whether any worker serves, and how many do."""
        count = len(self._serving)
        word = "ok" if count else "no worker"
        return Status(count > 0, word, (f"{count} of {self._count} workers serve",))

    # --- the end ---------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """Make all workers close client connections after their next response."""
        self._stop_replacing()
        for process in self._processes.alive:
            process.channel.send("begin_drain")

    async def finish_drain(self) -> None:
        """Make all workers stop accepting, and wait until they have ended."""
        self._listeners.close()
        for process in self._processes.alive:
            process.channel.send("finish_drain")
        await ends_of(self._processes.alive, self.config.server.drain + _EXIT_TIMEOUT)

    def _stop_replacing(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()

    async def close(self) -> None:
        """End all workers at once, with SIGKILL if necessary."""
        self._stop_replacing()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        left = self._processes.alive
        for process in left:
            process.channel.send("end")
        await ends_of(left, _END_TIMEOUT)
        kill(left)
        await ends_of(left, _EXIT_TIMEOUT)
        await asyncio.gather(*[process.channel.close() for process in left])
        self._listeners.close()
