"""Every test of the data path leaves no task, socket or timer behind and no error in the loop."""

from collections.abc import AsyncIterator

import pytest
from pytest_asyncio import is_async_test

from tests.support.leaks import Leaks

_LONGEST_ID = 90


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> None:
    """Check for leaks after each test that runs on a loop; pure functions leave nothing."""
    if is_async_test(request.node):
        request.getfixturevalue("leaks")


@pytest.fixture
async def leaks() -> AsyncIterator[None]:
    """Compare what is there after the test with what was there before it (forwarding.md F6)."""
    leaks = Leaks()
    yield
    await leaks.assert_none()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a parameter of bytes by a short, printable form of them."""
    if not isinstance(val, bytes):
        return None
    shown = ascii(val)[2:-1].replace("\\r\\n", "|")
    return shown if len(shown) <= _LONGEST_ID else f"{shown[:_LONGEST_ID]}..{len(val)}"
