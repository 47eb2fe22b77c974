"""Renders the metrics, once at a time; all scrapes that wait share the next rendering."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from time import monotonic
from typing import Final

from corsproxy.observe.exposition import render_each
from corsproxy.observe.snapshot import Snapshot

# Returns the metrics of all workers.
Scrape = Callable[[], Awaitable[Snapshot]]
# A text and its content type.
Text = tuple[bytes, str]

# Rendering competes with requests for the interpreter: it gets at most a tenth of the time, but the
# rest after a rendering is at most this long, in seconds.
_REST_PER_WORK: Final = 9.0
_LONGEST_REST: Final = 1.0


class Scraping:
    """Renders the metrics once for all scrapes that arrive during the previous rendering.

    `descriptor_lent` leaves a descriptor free for files that a rendering has to open: the first one
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
        """Return metrics collected from now on, in the format that the Accept header prefers."""
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
                future.exception()  # retrieved here: the request that waited for it may be gone
            if not isinstance(error, Exception):
                raise
        else:
            for accept, future in awaited.items():
                future.set_result(texts[accept])
        ended = monotonic()
        self._rests_until = ended + min(_REST_PER_WORK * (ended - began), _LONGEST_REST)

    async def close(self) -> None:
        """Cancel the current rendering and all scrapes that wait for the next."""
        if self._rendering is not None:
            self._rendering.cancel()
            await asyncio.gather(self._rendering, return_exceptions=True)
        for future in self._awaited.values():
            future.cancel()
