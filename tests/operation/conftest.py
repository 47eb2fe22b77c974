"""Tests inside this process leave no task, socket or timer behind and no error in the loop."""

from collections.abc import AsyncIterator

import pytest

from tests.support.leaks import Leaks


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Compare what is there after the test with what was there before it (forwarding.md F6)."""
    leaks = Leaks()
    yield
    await leaks.assert_none()
