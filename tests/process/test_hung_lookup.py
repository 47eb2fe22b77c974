"""A lookup that hangs and the end of the process (forwarding.md F9, P1)."""

import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, threading, LOOP
from corsproxy.proxy.upstream.resolve import Resolver

name = Resolver(lambda host: threading.Event().wait()).name("hung.test")

async def main():
    try:
        async with asyncio.timeout(0.1):
            await name.addresses()
    except TimeoutError:
        print([thread.name for thread in threading.enumerate()])

LOOP.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_f9_a_lookup_that_hangs_does_not_delay_the_end_of_the_process(loop: str) -> None:
    """F9, P1: the process does not wait for a thread that cannot be stopped."""
    script = SCRIPT.replace("LOOP", loop)
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "['MainThread', 'resolve hung.test']\n",
        "",
    )
