"""A short run of the isolation fuzz: forwarding.md S12, F1, F5, F7, P4.

`python -m bench.isolation` runs for minutes; docs/verification.md has its figures.
"""

import json
import subprocess
import sys

import pytest

from tests.process.running import ROOT

SECONDS = 25
# Minimums that even a busy machine reaches: without them a run that does almost nothing would pass.
AT_LEAST = {
    "plain": 1000,
    "pipelined": 1000,
    "early response": 100,
    "aborted": 50,
    "slow reader": 1000,
    "slow download": 5,
    "slow writer": 50,
    "expect": 50,
    "tunnel": 20,
    "malformed": 20,
    "error": 20,
    "excess": 50,
    "after excess": 50,
}
COUNTS = {"interim 103": 100, "bytes through tunnels": 100_000, "upstream requests": 5000}


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_no_byte_reaches_another_request(loop: str) -> None:
    """S12: two workers, reloads with another upstream, killed workers: every tag reaches its own request."""
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [
            *(sys.executable, "-m", "bench.isolation", "--loop", loop, "--seed", "7"),
            *("--seconds", str(SECONDS), "--kill-every", "8", "--reload-every", "4"),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS * 6,
        check=False,
    )
    said = run.stderr.decode(errors="replace")
    assert run.stdout, said
    told = json.loads(run.stdout)
    assert told["violations"] == {}, said
    assert told["errors of the product"] == [], said
    assert run.returncode == 0, said
    kinds, counts = told["by kind"], told["counts"]
    assert {
        name: kinds.get(name, 0) for name in AT_LEAST if kinds.get(name, 0) < AT_LEAST[name]
    } == {}
    assert {
        name: counts.get(name, 0) for name in COUNTS if counts.get(name, 0) < COUNTS[name]
    } == {}
    assert told["by outcome"]["complete"] > sum(kinds.values()) / 2
    assert (told["reloads"] >= 3, told["kills"] >= 2) == (True, True), told
