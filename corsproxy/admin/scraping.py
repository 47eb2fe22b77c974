"""Renders what was counted: one text at a time, shared by all who wait for it. Knows no connections."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

from corsproxy.observe.exposition import render_each
from corsproxy.observe.snapshot import Snapshot

# Gives what was counted, over all workers.
Scrape = Callable[[], Awaitable[Snapshot]]
# A text and its content type.
Text = tuple[bytes, str]

# Rendering is work for the interpreter that serves: it gets a tenth of the time at most, unless
# somebody would wait for longer than this, in seconds.
_REST_PER_WORK: Final = 9.0
_LONGEST_REST: Final = 1.0


class Scraping:
    """Who asks waits for the next rendering to begin, with all others that do.

    `descriptor_lent` leaves a descriptor to what a rendering may have to open: the first one
    imports its modules.
    """

    def __init__(
        self, scrape: Scrape, descriptor_lent: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._scrape = scrape
        self._lent = descriptor_lent
        self._loop = asyncio.get_running_loop()
        self._awaited: dict[str, asyncio.Future[Text]] = {}
        self._rendering: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def text(self, accept: str) -> Text:
        """Return what is counted from now on, in the format that an Accept header asks for."""
        future = self._awaited.get(accept)
        if future is None:
            future = self._awaited[accept] = self._loop.create_future()
        if self._rendering is None:
            self._rendering = self._loop.create_task(self._render())
        return await asyncio.shield(future)

    async def _render(self) -> None:
        try:
            while self._awaited:
                await asyncio.sleep(self._rests_until - monotonic())
                awaited, self._awaited = self._awaited, {}
                await self._render_for(awaited)
        finally:
            self._rendering = None

    async def _render_for(self, awaited: dict[str, "asyncio.Future[Text]"]) -> None:
        began = monotonic()
        try:
            snapshot = await self._scrape()
            began = monotonic()
            with self._lent():
                texts = await asyncio.to_thread(render_each, snapshot, list(awaited))
        except BaseException as error:
            for future in awaited.values():
                future.set_exception(error)
                future.exception()  # who waited may have left
            if not isinstance(error, Exception):
                raise
        else:
            for accept, future in awaited.items():
                future.set_result(texts[accept])
        ended = monotonic()
        self._rests_until = ended + min(_REST_PER_WORK * (ended - began), _LONGEST_REST)

    async def close(self) -> None:
        """End what is being rendered, and all who wait for the next rendering."""
        if self._rendering is not None:
            self._rendering.cancel()
            await asyncio.gather(self._rendering, return_exceptions=True)
        for future in self._awaited.values():
            future.cancel()
