"""Reloads the configuration when its file changes or SIGHUP arrives.

The file has changed if its real path, inode, time or size has: Kubernetes updates a ConfigMap by
replacing a symlink, which a watch on the file itself would miss. If the file has any error, every
problem is logged and the configuration in force stays.
"""

import asyncio
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from corsproxy.config.load import Fingerprint, Loaded, fingerprint, load
from corsproxy.config.problems.format import format_problems
from corsproxy.runtime.frontend import Frontend, NotApplied, ValidConfig
from corsproxy.runtime.signals import call_on

log: Final = logging.getLogger("corsproxy")

POLL_SECONDS: Final = 1.0


class Reloader:
    """Watches the file at `path` and has `frontend` apply each valid configuration.

    The constructor installs the handler of SIGHUP: call it on the main thread, in the running loop.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        frontend: Frontend,
        seen: Fingerprint | None,
    ) -> None:
        self._path = path
        self._environ = environ
        self._frontend = frontend
        self._seen = seen
        self._requested = asyncio.Event()
        call_on(signal.SIGHUP, self._requested.set)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            if await self._is_due():
                await self.reload()

    async def _is_due(self) -> bool:
        """Wait for a signal or the next check of the file; return whether to read it."""
        try:
            await asyncio.wait_for(self._requested.wait(), POLL_SECONDS)
        except TimeoutError:
            now = fingerprint(self._path)
            # A missing file is being replaced: the next check finds the new one.
            return now is not None and now != self._seen
        self._requested.clear()
        return True

    async def reload(self) -> bool:
        """Read the file and apply it; return whether that succeeded."""
        self._seen = fingerprint(self._path)
        loaded = await asyncio.to_thread(load, self._path, self._environ)
        for problem in loaded.problems:
            level = logging.ERROR if problem.severity == "error" else logging.WARNING
            log.log(level, "%s", format_problems([problem], "concise").rstrip("\n"))
        succeeded = await self._apply(loaded)
        self._frontend.record_reload(succeeded=succeeded)
        return succeeded

    async def _apply(self, loaded: Loaded) -> bool:
        reason = f"{self._path} has errors"
        if loaded.config is not None:
            try:
                changed = await self._frontend.apply(ValidConfig(loaded.config, loaded.text))
            except NotApplied as refusal:
                reason = str(refusal)
            else:
                self._log_reloaded(changed)
                return True
        log.error("configuration not reloaded: %s; the previous one stays in force", reason)
        return False

    def _log_reloaded(self, restart_required: list[str]) -> None:
        log.info("configuration reloaded from %s", self._path)
        if restart_required:
            log.warning("restart to apply these changes: %s", ", ".join(restart_required))
