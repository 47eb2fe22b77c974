"""What all tests share: both loops, and invariants of the data path wherever it runs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from tests.support.invariants import Invariants, watched_invariants
from tests.support.loops import LOOPS

# By default Hypothesis fails an example that takes 200 ms, and a search that finds examples slowly;
# a busy machine may well do both.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give pytest-asyncio both loops (each test runs once on each)."""
    return LOOPS


@pytest.fixture(autouse=True)
def invariants() -> Iterator[Invariants]:
    """Check the invariants of the data path beside each test that runs it in this process."""
    with watched_invariants() as seen:
        yield seen
