"""The channel between a supervisor and a worker; and how many cores there are."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from corsproxy.policy.compiled import TcpAddress
from corsproxy.runtime.channel import Channel, ChannelClosed, Message, serve_requests
from corsproxy.runtime.cpus import usable_cpus
from corsproxy.runtime.sockets import CannotStart, ListenSockets


@asynccontextmanager
async def channel_pair() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """Return a channel, and the other end of its pair."""
    ours, its = socket.socketpair()
    channel = await Channel.open(ours)
    try:
        yield channel, its
    finally:
        await channel.close()
        its.close()


async def echo(message: Message) -> Message:
    """Respond with the request itself, after as many turns of the loop as it specifies."""
    for _ in range(message.get("turns", 0)):
        await asyncio.sleep(0)
    return message


async def test_each_request_gets_its_own_response() -> None:
    """However many are sent at once, in the order in which they were sent."""
    async with channel_pair() as (channel, its):
        serving = asyncio.ensure_future(serve_requests(its, echo))
        responses = await asyncio.gather(
            *[channel.request("q", turns=7 - n, n=n) for n in range(7)]
        )
        assert [response["n"] for response in responses] == list(range(7))
        channel.send("whatever")
        assert (await channel.request("q", text="é\n\0" * 100_000))["text"] == "é\n\0" * 100_000
        await channel.close()
        await serving


async def test_the_response_to_a_cancelled_request_is_dropped() -> None:
    """After a request that was cancelled the next one still gets its own response."""
    async with channel_pair() as (channel, its):
        cancelled = asyncio.ensure_future(channel.request("first"))
        await asyncio.sleep(0)
        cancelled.cancel()
        serving = asyncio.ensure_future(serve_requests(its, echo))
        assert (await channel.request("second"))["request"] == "second"
        await channel.close()
        await serving


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_closed_end_raises(when: str) -> None:
    """Pending requests, and later ones, raise ChannelClosed; nothing waits forever."""
    async with channel_pair() as (channel, its):
        if when == "before":
            its.close()
        waiting = asyncio.ensure_future(channel.request("q"))
        await asyncio.sleep(0)
        its.close()
        with pytest.raises(ChannelClosed):
            await waiting
        channel.send("whatever")
        with pytest.raises(ChannelClosed):
            await channel.request("q")


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
def test_the_cpu_limit_of_a_container_counts(
    quota: str | None,
    most: int,
    tmp_path: Path,
) -> None:
    """`workers: auto` on a node of 64 cores is not 64 in a container that may use one (R9)."""
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    every = usable_cpus(tmp_path / "none")
    assert usable_cpus(file) == min(every, most)
    assert every >= 1


def test_sockets_of_an_address_share_one_port_exclusively() -> None:
    """Sockets that share a port admit other programs of this user, so binding checks for one first."""
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
