"""Measures how long other clients wait, each on a fresh connection.

They run in their own thread and loop, so that the attacker does not delay them, and each starts on
time even if earlier ones still wait.
"""

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from bench.attacks.clients import fetch

# Seconds between two clients, and the longest that each of them waits.
_EVERY: Final = 0.05
_PATIENCE: Final = 15.0
_QUIET: Final = 1.5


class Waits:
    """The seconds that responses took, and the failures by name."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: Counter[str] = Counter()

    @property
    def failed(self) -> int:
        """The number of requests without a 200."""
        return self.failures.total()

    @property
    def asked(self) -> int:
        """The number of requests."""
        return self.failed + len(self.seconds)

    @property
    def why_failed(self) -> str:
        """The kinds of failures, the most frequent first."""
        return ", ".join(f"{kind} {count}" for kind, count in self.failures.most_common(3))

    @property
    def p99(self) -> float:
        """The 99th percentile of the seconds that responses took; 0 without a response."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0

    @property
    def longest(self) -> float:
        """The seconds that the slowest response took; 0 without a response."""
        return max(self.seconds, default=0.0)


class Target(NamedTuple):
    """The address and the request of a client."""

    port: int
    request: bytes
    tls: ssl.SSLContext | None = None


async def _ask(target: Target, waits: Waits) -> None:
    began = time.perf_counter()
    try:
        response = await fetch(target.port, target.request, tls=target.tls, patience=_PATIENCE)
    except (OSError, EOFError, TimeoutError) as failure:
        waits.failures[type(failure).__name__] += 1
        return
    if response.status == 200:
        waits.seconds.append(time.perf_counter() - began)
    else:
        waits.failures[str(response.status)] += 1


async def _ask_on(
    targets: dict[str, Target], waits: dict[str, Waits], stop: threading.Event
) -> None:
    async with asyncio.TaskGroup() as asking:
        while not stop.is_set():
            for name, target in targets.items():
                asking.create_task(_ask(target, waits[name]))
            await asyncio.sleep(_EVERY)


@asynccontextmanager
async def others(**targets: Target) -> AsyncIterator[dict[str, Waits]]:
    """Send requests to each of `targets` 20 times a second; on leaving, wait for all responses."""
    waits = {name: Waits() for name in targets}
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_ask_on(targets, waits, stop)))
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        # In a thread, because an upstream on this loop may still have to respond.
        await asyncio.to_thread(thread.join)


async def quiet(**targets: Target) -> dict[str, Waits]:
    """Return how long clients wait while nothing else happens."""
    async with others(**targets) as waits:
        await asyncio.sleep(_QUIET)
    return waits
