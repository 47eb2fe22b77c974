"""The table of transitions is what the data path does: all of it is used, and nothing else is possible."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import product

import pytest

from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.phases import TRANSITIONS, IllegalTransition, Phase
from tests.support.proxy import Way, through
from tests.support.upstream import Script, black_hole, close, head_of_request, request, send
from tests.support.wire import eventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

Transition = tuple[Phase, Phase]

LEGAL = {(before, after) for before, nexts in TRANSITIONS.items() for after in nexts}


@contextmanager
def recorded() -> Iterator[set[Transition]]:
    """Record the transitions of all requests that are forwarded meanwhile."""
    made: set[Transition] = set()
    enter = Forwarding._enter

    def record(self: Forwarding, phase: Phase) -> None:
        before = self.phase
        enter(self, phase)
        made.add((before, phase))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forwarding, "_enter", record)
        yield made


def asking(*requests: bytes) -> Callable[[Way], Awaitable[None]]:
    """Return what makes these requests, one after the other."""

    async def ask(way: Way) -> None:
        for one in requests:
            await way.client.exchange(one)

    return ask


async def leave_while_uploading(way: Way) -> None:
    """Send half of a body, and reset the connection."""
    await way.client.send(POST + b"bo")
    await eventually(lambda: way.proxy.server.state.open_exchanges == 1, "half a body")
    way.client.reset()


async def ask_nobody(way: Way) -> None:
    """Ask for what has no upstream any more."""
    way.upstream.stop_listening()
    await way.client.exchange(GET)


# What the client does, and what the upstream does. Together they make every legal transition.
PLAYS: dict[str, tuple[Callable[[Way], Awaitable[None]], Script]] = {
    "a request, sent again on a new connection": (
        asking(GET, GET),
        [request(), send(OK), request(), close()],
    ),
    "a response that is not HTTP": (asking(GET), [request(), send(b"junk\r\n\r\n")]),
    "no upstream": (ask_nobody, []),
    "a body": (asking(POST + b"body"), [request(), send(OK)]),
    "a body that never ends": (leave_while_uploading, []),
    # The second upgrade is one too many, and the end of the first client ends its tunnel.
    "tunnels": (asking(UPGRADE), [head_of_request(), send(SWITCHED), black_hole()]),
}


async def play(name: str) -> None:
    """Run one of `PLAYS` to the end of all its exchanges."""
    act, script = PLAYS[name]
    keys = "pool: {idle: 60s, tunnels: 1}"
    async with through(script, script, upstream=keys) as way:
        await act(way)
        if name == "tunnels":
            async with await way.proxy.client() as other:
                assert (await other.exchange(UPGRADE)).problem()["error"] == "tunnels_full"
            way.client.reset()
        await eventually(lambda: way.proxy.server.state.open_exchanges == 0, "the end")


async def test_every_legal_transition_is_made_and_no_other() -> None:
    """A row of the table that nothing makes is stale; `_enter` itself rejects those that are missing."""
    with recorded() as made:
        for name in PLAYS:
            await play(name)
    assert made == LEGAL


@pytest.mark.parametrize(("before", "after"), sorted(set(product(Phase, Phase)) - LEGAL))
def test_an_illegal_transition_raises(before: Phase, after: Phase) -> None:
    """A bug is an assertion, with `python -O` as well, and leaves the phase as it is."""
    forwarding = Forwarding.__new__(Forwarding)
    forwarding.phase = before
    with pytest.raises(IllegalTransition, match=f"from .*{before.value}.* to .*{after.value}"):
        forwarding._enter(after)
    assert forwarding.phase is before


def test_the_table_has_every_phase() -> None:
    """Each phase has its row, and each but the first is reached from another one."""
    assert set(TRANSITIONS) == set(Phase)
    assert {after for _, after in LEGAL} == set(Phase) - {Phase.ADMITTED}
