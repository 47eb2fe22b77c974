"""An upstream that is killed and restarted under load: forwarding.md F1, F2, F3, S12."""

import asyncio
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.support.client import RawClient
from tests.support.messages import Truncated
from tests.support.mortal import MortalUpstream
from tests.support.proxy import Proxy, one_route, running_proxy
from tests.support.wire import eventually

CLIENTS = 8
_BETWEEN = 40  # requests that reach the upstream between its start and its death

# What a client may learn about an upstream that died: it broke off, refused, or is slow to return.
TOLD = {502, 503, 504}


class Load:
    """Clients that ask again and again; each notes the outcome of every request."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._numbers = count()
        self.outcomes: dict[tuple[str, str], int] = {}
        self.wrong: list[str] = []
        self.is_over = False

    async def client(self) -> None:
        """Ask until it is over; on a connection that was cut no more is asked."""
        while not self.is_over:
            async with await self._proxy.client() as client:
                while not self.is_over and client.is_open and await self.ask(client):
                    pass

    async def ask(self, client: RawClient) -> bool:
        """Ask once; return whether the connection goes on."""
        number = next(self._numbers)
        method, target = ("POST", "GET")[number % 2], f"/tagged/{number}"
        length = f"Content-Length: {len(target)}\r\n" if method == "POST" else ""
        body = target if method == "POST" else ""
        text = f"{method} {target} HTTP/1.1\r\nHost: a\r\n{length}\r\n{body}"
        try:
            answer = await client.exchange(text.encode(), method)
        except Truncated as cut:
            # F1: the head had come, so that a client sees that the rest is missing.
            self._note(method, target, 0, "" if cut.head else f"cut without a head: {cut}")
            return False
        is_right = answer.body == target.encode() if answer.status == 200 else answer.status in TOLD
        fault = "" if is_right and not client.unread else f"{answer}, then {client.unread!r}"
        self._note(method, target, answer.status, fault)
        return answer.head.value("connection") != b"close"

    def _note(self, method: str, target: str, status: int, fault: str) -> None:
        assert (method, target) not in self.outcomes
        self.outcomes[method, target] = status
        if fault:
            self.wrong.append(f"{method} {target}: {fault}")


class Told(NamedTuple):
    """The statuses that clients got (0: cut), and how often a request was read by an upstream."""

    statuses: Counter[int]
    most_posts: int
    most_gets: int


async def _dying(notes: Path, deaths: int) -> Told:
    random = Random(deaths)
    async with (
        MortalUpstream(notes) as upstream,
        running_proxy(one_route(f"http://127.0.0.1:{upstream.port}")) as proxy,
    ):
        load = Load(proxy)
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(load.client())
            for _ in range(deaths):
                enough = upstream.noted().total() + _BETWEEN + random.randrange(20)
                await eventually(lambda: upstream.noted().total() >= enough, "the load")  # noqa: B023
                await upstream.kill()
                seen = len(load.outcomes)
                await eventually(lambda: len(load.outcomes) > seen + CLIENTS, "faults")  # noqa: B023
                await upstream.start()
            load.is_over = True
        assert load.wrong == []
        await _recovers(load, proxy)
        noted = upstream.noted()
    answered = [asked for asked, status in load.outcomes.items() if status == 200]
    assert [asked for asked in answered if not noted[asked]] == []
    times = {
        method: [n for (one, _), n in noted.items() if one == method] for method in ("POST", "GET")
    }
    return Told(Counter(load.outcomes.values()), max(times["POST"]), max(times["GET"]))


async def _recovers(load: Load, proxy: Proxy) -> None:
    """Fail unless, with the upstream back, every request of new clients is served (S12)."""
    load.outcomes, before = {}, load.outcomes
    clients = [await proxy.client() for _ in range(CLIENTS)]
    for _ in range(5):
        await asyncio.gather(*(load.ask(client) for client in clients))
    for client in clients:
        client.close()
    assert set(load.outcomes.values()) == {200}, load.outcomes
    load.outcomes |= before


async def test_an_upstream_that_dies_under_load_costs_each_request_at_most_itself(
    tmp_path: Path,
) -> None:
    """F1-F3, S12: 4 deaths; one response or one visible cut each, no POST twice, and it recovers."""
    told = await _dying(tmp_path / "notes", deaths=4)
    assert told.most_posts == 1
    assert told.most_gets <= 2
    assert told.statuses[502] > 0
    assert told.statuses[200] > 4 * _BETWEEN / 2


@pytest.mark.slow
async def test_an_upstream_that_dies_again_and_again(tmp_path: Path) -> None:
    """F1-F3, S12: the same with 30 deaths; some fall into the middle of a body."""
    told = await _dying(tmp_path / "notes", deaths=30)
    assert told.most_posts == 1
    assert told.most_gets <= 2
    assert told.statuses[0] > 0
    assert told.statuses[502] > 0
