"""Keeps a running proxy at what its file says. Knows files and configurations, not requests.

The file is read anew on SIGHUP, and when its real path, inode, time or size changed: a ConfigMap is
swapped by replacing a symlink, which no watch on the file itself would see. A file with any problem
changes nothing: the configuration in force stays, and every problem is logged.
"""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from corsproxy.config.load import Fingerprint, Loaded, fingerprint, load
from corsproxy.config.problems.problem import format_problems
from corsproxy.runtime.signals import call_on

log: Final = logging.getLogger("corsproxy")

POLL_SECONDS: Final = 1.0

# Takes what was read into force; returns the keys that changed but only count after a restart.
# Raises NotAdopted.
Apply = Callable[[Loaded], Awaitable[list[str]]]
# Learns whether a reload succeeded.
Tell = Callable[[bool], None]


class NotApplied(Exception):  # noqa: N818 - it is what the log is told
    """A valid configuration did not come into force; the text says why."""


class Reloader:
    """Watches the file at `path` and hands each valid configuration to `apply`.

    Takes SIGHUP from its making on, which has to be on the main thread, in the loop.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        *,
        apply: Apply,
        tell: Tell,
        seen: Fingerprint | None,
    ) -> None:
        self._path = path
        self._environ = environ
        self._adopt = apply
        self._tell = tell
        self._seen = seen
        self._asked = asyncio.Event()
        call_on(signal.SIGHUP, self._asked.set)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if await self._is_due():
                await self.reload()

    async def _is_due(self) -> bool:
        """Wait for a signal or the next look at the file; tell whether to read it."""
        try:
            await asyncio.wait_for(self._asked.wait(), POLL_SECONDS)
        except TimeoutError:
            now = fingerprint(self._path)
            # A file that is gone for a moment is being replaced: its successor will be seen.
            return now is not None and now != self._seen
        self._asked.clear()
        return True

    async def reload(self) -> bool:
        """Read the file and take it into force; return whether it was fit for that."""
        self._seen = fingerprint(self._path)
        loaded = await asyncio.to_thread(load, self._path, self._environ)
        for problem in loaded.problems:
            level = logging.ERROR if problem.severity == "error" else logging.WARNING
            log.log(level, "%s", format_problems([problem], "concise").rstrip("\n"))
        succeeded = await self._take(loaded)
        self._tell(succeeded)
        return succeeded

    async def _take(self, loaded: Loaded) -> bool:
        why = f"{self._path} has problems"
        waiting: list[str] = []
        if loaded.config is not None:
            try:
                waiting = await self._adopt(loaded)
            except NotApplied as refusal:
                why = str(refusal)
            else:
                self._say_reloaded(waiting)
                return True
        log.error("configuration not reloaded: %s; the one before stays in force", why)
        return False

    def _say_reloaded(self, waiting: list[str]) -> None:
        log.info("configuration reloaded from %s", self._path)
        if waiting:
            log.warning("restart to have these changes in force: %s", ", ".join(waiting))
