"""Requests through us, nginx and HAProxy before the same upstream: forwarding.md S1-S5, S9, S13.

The streams are generated: good, odd, malformed, and such as smuggle. A sentinel request stands at
the end of each, so that a border seen in another place changes what the upstream counts.
"""

import asyncio
import re
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.differential.generate import requests
from tests.differential.lanes import Lane
from tests.differential.oracles import haproxy, nginx, ours
from tests.differential.verdicts import REASONS, Reason, Verdict, table, verdicts

pytestmark = pytest.mark.nginx

LANES = 16


class Comparison(NamedTuple):
    """The outcome of all streams."""

    rows: Counter[tuple[bool, ...]]
    reasons: Counter[Reason]
    faults: list[str]


async def _compare(here: Path, seed: int, count: int) -> Comparison:
    random = Random(seed)
    streams = iter([requests(random) for _ in range(count)])
    result = Comparison(Counter(), Counter(), [])
    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(ours(LANES)),
            await stack.enter_async_context(nginx(here, LANES)),
            await stack.enter_async_context(haproxy(here, LANES)),
        ]

        async def follow(lanes: tuple[Lane, ...]) -> None:
            for stream in streams:
                heard = await asyncio.gather(*(lane.say(stream) for lane in lanes))
                found = verdicts(stream, [lane.recorder.seen for lane in lanes])
                _note(result, stream, found)
                result.faults.extend(_faults_of_ours(stream, lanes[0], heard[0], found))

        await asyncio.gather(*map(follow, zip(*proxies, strict=True)))
    return result


def _note(result: Comparison, stream: bytes, found: list[Verdict]) -> None:
    for verdict in found:
        result.rows[verdict.forwarded] += 1
        result.reasons.update(verdict.reasons)
        result.faults.extend(f"{fault}\n    in {stream!r}" for fault in verdict.faults)


def _faults_of_ours(stream: bytes, lane: Lane, heard: bytes, found: list[Verdict]) -> list[str]:
    faults = [f"our upstream was sent {one}\n    for {stream!r}" for one in lane.recorder.malformed]
    statuses = [int(one) for one in re.findall(rb"HTTP/1\.[01] ([0-9]{3})", heard)]
    is_missing = not found[-1].forwarded[0] and any(found[-1].forwarded)
    has_ended = b"\r\nConnection: close\r\n" in heard  # asked for beside keep-alive: it holds
    if is_missing and not has_ended and not any(status >= 400 for status in statuses):
        faults.append(f"we neither forward nor refuse, but answer {statuses}\n    to {stream!r}")
    return faults


def _shown(result: Comparison) -> str:
    reasons = "\n".join(
        f"{count:6} {why.oracle}: {why.words}" for why, count in result.reasons.most_common()
    )
    return f"{table(result.rows, 'forwards', 'refuses')}\n\nRefused by an oracle alone:\n{reasons}"


async def test_requests_are_understood_alike(tmp_path: Path) -> None:
    """S1-S5, S9, S13: 400 streams; what is forwarded is counted and framed alike, or refused by us."""
    result = await _compare(tmp_path, seed=400, count=400)
    assert result.faults == []
    assert result.rows[True, True, True] > 300


async def _read_in_pieces(seed: int, count: int) -> list[str]:
    """Return where cutting a stream into pieces changed what we made of it."""
    random = Random(seed)
    streams = iter([requests(random) for _ in range(count)])
    faults: list[str] = []

    async def follow(lane: Lane) -> None:
        for stream in streams:
            await lane.say(stream)
            whole = lane.recorder.seen
            cuts = sorted(random.randrange(len(stream)) for _ in range(random.randint(1, 6)))
            spans = zip([0, *cuts], [*cuts, len(stream)], strict=True)
            await lane.say(*(stream[start:end] for start, end in spans))
            if lane.recorder.seen != whole:
                faults.append(f"{stream!r}\n    cut at {cuts}: {lane.recorder.seen}, not {whole}")

    async with ours(LANES) as lanes:
        await asyncio.gather(*map(follow, lanes))
    return faults


async def test_how_a_stream_arrives_changes_nothing() -> None:
    """S1-S5, S9: 300 streams, whole and in pieces: the upstream sees the same requests."""
    assert await _read_in_pieces(seed=300, count=300) == []


@pytest.mark.slow
async def test_how_thousands_of_streams_arrive_changes_nothing() -> None:
    """S1-S5, S9: the same with 2000."""
    assert await _read_in_pieces(seed=2000, count=2000) == []


@pytest.mark.slow
async def test_thousands_of_requests_are_understood_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S1-S5, S9, S13: the same with 4000 streams; and no reason on the list is stale."""
    result = await _compare(tmp_path, seed=4000, count=4000)
    with capsys.disabled():
        print(f"\n{_shown(result)}")  # noqa: T201 - the table is what the run is for
    assert result.faults == []
    assert [why.words for why in REASONS if why not in result.reasons] == []
