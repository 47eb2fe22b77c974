"""A real Chromium beside a real demo process. Without an installed Chromium the tests are skipped.

playwright's route() is never used: with it Chromium sends no preflight and lets everything pass.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.support.demo import FREE_PORTS, DemoProcess, demo
from tests.support.programs import program

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def running() -> Iterator[DemoProcess]:
    """Return a demo on free ports."""
    with demo(*FREE_PORTS) as process:
        process.wait_for("The proxy's configuration")
        yield process


# Of the module, not of the session: playwright's loop must have ended before asynchronous tests run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return the installed Chromium, started."""
    path = program("chromium", "chromium", "chromium-browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Return a profile of its own: no cookie and no remembered preflight of another test."""
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    made.set_default_timeout(20_000)
    yield made
    made.close()
