"""What all tests share: every asynchronous one runs on asyncio and on uvloop."""

import asyncio
from collections.abc import Callable, Mapping

from tests.support.loops import LOOPS


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give pytest-asyncio both loops (each test runs once on each)."""
    return LOOPS
