"""What a supervisor and its workers say to each other, and how many cores there are."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from corsproxy.policy.compiled import TcpAddress
from corsproxy.runtime.channel import Channel, ChannelClosed, Message, answer_all
from corsproxy.runtime.cpus import usable_cpus
from corsproxy.runtime.sockets import CannotStart, ListenSockets


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """Return an asker, and the other end of its pair."""
    ours, its = socket.socketpair()
    asker = await Channel.on(ours)
    try:
        yield asker, its
    finally:
        await asker.close()
        its.close()


async def echo(message: Message) -> Message:
    """Answer with the question, after as many turns of the loop as it says."""
    for _ in range(message.get("turns", 0)):
        await asyncio.sleep(0)
    return message


async def test_each_question_gets_its_own_answer() -> None:
    """However many are asked at once, in the order in which they were asked."""
    async with asking() as (asker, its):
        answering = asyncio.ensure_future(answer_all(its, echo))
        answers = await asyncio.gather(*[asker.ask("q", turns=7 - n, n=n) for n in range(7)])
        assert [answer["n"] for answer in answers] == list(range(7))
        asker.tell("whatever")
        assert (await asker.ask("q", text="é\n\0" * 100_000))["text"] == "é\n\0" * 100_000
        await asker.close()
        await answering


async def test_an_answer_that_nobody_waits_for_misleads_nobody() -> None:
    """After a question that was given up the next one still gets its own answer."""
    async with asking() as (asker, its):
        given_up = asyncio.ensure_future(asker.ask("first"))
        await asyncio.sleep(0)
        given_up.cancel()
        answering = asyncio.ensure_future(answer_all(its, echo))
        assert (await asker.ask("second"))["question"] == "second"
        await asker.close()
        await answering


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_side_that_is_gone_is_told(when: str) -> None:
    """Questions that wait for an answer, and later ones, end with Gone; nothing waits for ever."""
    async with asking() as (asker, its):
        if when == "before":
            its.close()
        waiting = asyncio.ensure_future(asker.ask("q"))
        await asyncio.sleep(0)
        its.close()
        with pytest.raises(ChannelClosed):
            await waiting
        asker.tell("whatever")
        with pytest.raises(ChannelClosed):
            await asker.ask("q")


@pytest.mark.parametrize(
    ("quota", "most"),
    [
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("101000 100000\n", 2),
        ("max 100000\n", 10_000),
        ("", 10_000),
        (None, 10_000),
    ],
)
def test_a_container_has_the_cores_that_it_pays_for(
    quota: str | None,
    most: int,
    tmp_path: Path,
) -> None:
    """`workers: auto` on a node of 64 cores is not 64 in a container that may use one (config.md)."""
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    every = usable_cpus(tmp_path / "none")
    assert usable_cpus(file) == min(every, most)
    assert every >= 1


def test_shares_of_an_address_have_one_port_and_nobody_else_gets_it() -> None:
    """Sockets that share a port would let anybody of this user in; that is found out first."""
    listeners, others = ListenSockets(3), ListenSockets(2)
    bound = listeners.bind(TcpAddress("127.0.0.1", 0))
    try:
        assert isinstance(bound.address, TcpAddress)
        ports = {sock.getsockname()[1] for sock in bound.sockets}
        assert ports == {bound.address.port}
        assert len(bound.sockets) == 3
        for sock in bound.sockets:
            sock.listen()
        with pytest.raises(CannotStart, match="address already in use"):
            others.bind(bound.address)
    finally:
        listeners.close()
    with closing(ListenSockets(2)) as after:
        assert after.bind(bound.address).address == bound.address
