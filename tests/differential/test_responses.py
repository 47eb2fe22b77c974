"""Responses through us, nginx and HAProxy, from the same upstream: forwarding.md S11, S12, F1, H12.

The first response on a client's connection is generated; the second is the upstream's ordinary one,
and must be nothing else whatever came before it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.differential.generate import SENTINEL, answer
from tests.differential.lanes import Lane, Reply
from tests.differential.oracles import NGINX, haproxy, nginx, ours
from tests.differential.reading import Got, Malformed, Seen, read_answers
from tests.differential.verdicts import NAMES, table

pytestmark = pytest.mark.nginx

LANES = 16
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"


class Heard(NamedTuple):
    """What a client received: the response it can use, None if there is none or it is visibly cut."""

    first: Got | None
    second: bytes | None = None
    malformed: str = ""


class Comparison(NamedTuple):
    """The outcome of all responses; `misread` counts what nginx is known to misread."""

    rows: Counter[tuple[bool, ...]]
    misread: Counter[str]
    faults: list[str]


def _replying(data: bytes) -> Iterator[Reply]:
    yield Reply(data, ends=True)
    while True:
        yield Reply(SECOND, ends=True)


async def _ask(lane: Lane, method: bytes, data: bytes) -> Heard:
    replies = _replying(data)

    def reply(seen: Seen) -> Reply:
        return Reply(SECOND, ends=True) if seen.target == b"/sentinel" else next(replies)

    lane.recorder.reply = reply
    length = b"Content-Length: 0\r\n" if method == b"POST" else b""
    first = b"%b /first HTTP/1.1\r\nHost: api.example\r\n%b\r\n" % (method, length)
    return _heard(await lane.say(first + SENTINEL), method)


def _heard(stream: bytes, method: bytes) -> Heard:
    try:
        answers = read_answers(stream, [method, b"GET"])
    except Malformed as fault:
        return Heard(None, malformed=str(fault))
    first = answers[0] if answers else None
    second = answers[1].body if len(answers) > 1 and answers[1].is_whole else None
    if first is None or not first.is_whole or first.status in {502, 503, 504}:
        return Heard(None, second)
    return Heard(first, second)


async def _compare(here: Path, seed: int, count: int) -> Comparison:
    random = Random(seed)
    answers = iter([answer(random) for _ in range(count)])
    result = Comparison(Counter(), Counter(), [])
    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(ours(LANES)),
            await stack.enter_async_context(nginx(here, LANES)),
            await stack.enter_async_context(haproxy(here, LANES)),
        ]

        async def follow(lanes: tuple[Lane, ...]) -> None:
            for method, data in answers:
                heard = await asyncio.gather(*(_ask(lane, method, data) for lane in lanes))
                result.rows[tuple(one.first is not None for one in heard)] += 1
                if _is_misread(data, heard[1]):
                    result.misread[NGINX] += 1
                    heard[1] = Heard(None)
                result.faults.extend(
                    f"{fault}\n    {method!r} answered {data!r}" for fault in _judge(heard)
                )

        await asyncio.gather(*map(follow, zip(*proxies, strict=True)))
    return result


def _is_misread(answered: bytes, heard: Heard) -> bool:
    """Return whether nginx ran two responses into one.

    Behind an interim response it forgets to delimit a body that only the connection's end delimits,
    and writes the next response right behind it.
    """
    body = b"" if heard.first is None else heard.first.body
    return answered.startswith(b"HTTP/1.1 10") and body.endswith(b"\r\n\r\nsecond")


def _judge(heard: list[Heard]) -> list[str]:
    mine = heard[0]
    faults = [f"our client was sent {mine.malformed}"] if mine.malformed else []
    if mine.second not in {None, b"second"}:
        faults.append(f"the second client request got {mine.second!r}")
    if mine.first is None:
        return faults
    for name, theirs in zip(NAMES[1:], heard[1:], strict=True):
        if theirs.first is not None and _essence(theirs.first) != _essence(mine.first):
            faults.append(f"we relay {mine.first}, {name} {theirs.first}")
    if heard[1].first is None and heard[2].first is None:
        faults.append(f"only we relay {mine.first}")
    return faults


def _essence(got: Got) -> tuple[int, bytes]:
    return got.status, got.body


async def test_responses_are_understood_alike(tmp_path: Path) -> None:
    """S11, S12, F1, H12: 300 responses; each that a client can use is parsed alike, or rejected by us."""
    result = await _compare(tmp_path, seed=300, count=300)
    assert result.faults == []
    assert result.rows[True, True, True] > 100


@pytest.mark.slow
async def test_thousands_of_responses_are_understood_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S11, S12, F1, H12: the same with 2000."""
    result = await _compare(tmp_path, seed=2000, count=2000)
    with capsys.disabled():
        print(f"\n{table(result.rows, 'relays', 'refuses')}")  # noqa: T201 - the run's purpose
    assert result.faults == []
    assert result.misread[NGINX] > 0
