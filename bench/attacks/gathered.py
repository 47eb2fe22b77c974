"""Bodies that are buffered before the request is forwarded: in tiny pieces, many, or slow (O4)."""

import asyncio
import contextlib
import select
import socket
import time
from contextlib import ExitStack
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, memory, within
from bench.attacks.clients import raw, request
from bench.attacks.product import Proxy, Scene, config
from bench.attacks.upstreams import serving
from bench.idle import allow_descriptors

# The longest body that is buffered, without its last byte.
_BODY: Final = 64 * 1024
_HELD: Final = _BODY - 1
_SENDERS: Final = 200
_SECONDS: Final = 10.0
_PIECE: Final = b"xx"
# Seconds between two pieces of each sender: faster, pieces would arrive together.
_ROUND: Final = 0.004
# The memory, in bytes, that a received byte may cost, and the MB by which a worker's may vary.
_BYTES_A_BYTE: Final = 3
_NOISE: Final = 8.0
# Together more than a worker may buffer: 64 MiB, and as much again as overhead.
_MANY: Final = 2400
_MOST: Final = 67.0 + 30.0
_HEAD: Final = request(b"POST", b"/fine", b"Content-Length: %d" % _BODY)


def _trickle(socks: list[socket.socket]) -> int:
    """Send two bytes on each connection in turn; return the number of bytes sent in total."""
    ends, sent = time.perf_counter() + _SECONDS, 0
    for _ in range(_HELD // len(_PIECE) - 1):
        began = time.perf_counter()
        for sock in socks:
            with contextlib.suppress(OSError):
                sent += sock.send(_PIECE)
        time.sleep(max(0.0, began + _ROUND - time.perf_counter()))
        if began > ends:
            break
    return sent


async def _open(stack: ExitStack, proxy: Proxy, count: int, data: bytes) -> list[socket.socket]:
    socks = [await raw(stack, proxy.port) for _ in range(count)]
    for sock in socks:
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(sock, data)
    return socks


async def _pieces(scene: Scene) -> list[Claim]:
    allow_descriptors(8192)
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream)) as proxy,
    ):
        await proxy.rest()
        with ExitStack() as stack:
            socks = await _open(stack, proxy, _SENDERS, _HEAD + _PIECE)
            await asyncio.sleep(0.5)
            # The connections themselves have a cost, which is not that of the pieces.
            before = proxy.memory_kept()
            sent = await asyncio.to_thread(_trickle, socks)
            await asyncio.sleep(1)
            more = proxy.memory_kept() - before
    most = sent * _BYTES_A_BYTE / 1e6 + _NOISE
    return [memory(more, within=most, what=f"{sent / 1e6:.1f} MB in 2-byte pieces: memory")]


def _readable(socks: list[socket.socket]) -> int:
    """Return how many of `socks` are readable: by a response or an EOF."""
    poll = select.poll()
    for sock in socks:
        poll.register(sock, select.POLLIN)
    return len(poll.poll(0))


async def _many(scene: Scene) -> list[Claim]:
    allow_descriptors(8192)
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream)) as proxy,
    ):
        await proxy.rest()
        with ExitStack() as stack:
            socks = await _open(stack, proxy, _MANY, _HEAD + bytes(_HELD))
            await asyncio.sleep(2)
            told = _readable(socks)
            what = f"{_MANY * _HELD / 1e6:.0f} MB of bodies, {told} refused: memory"
            return [memory(proxy.memory_above_idle(), within=_MOST, what=what)]


async def _slow(scene: Scene) -> list[Claim]:
    """Send five bytes per second of a body, with request_body_idle at one second."""
    server = "timeouts: {request_body_idle: 1s}"
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream, server=server)) as proxy,
    ):
        await proxy.rest()
        with ExitStack() as stack:
            (sock,) = await _open(stack, proxy, 1, _HEAD)
            began, is_over = time.perf_counter(), False
            with contextlib.suppress(OSError):
                while not is_over and time.perf_counter() - began < _SECONDS:
                    sock.send(b"x")
                    await asyncio.sleep(0.2)
                    is_over = bool(_readable([sock]))
            seconds = time.perf_counter() - began
    return [
        all_of(int(seconds < _SECONDS), 1, "ended a body of 5 bytes a second"),
        within(seconds, 5.0, "request_body_idle is 1 s: after"),
    ]


ATTACKS: Final = (
    Attack("9-pieces", "O4, O6", "buffered bodies in 2-byte pieces", _pieces),
    Attack("9-many", "O4", "2400 buffered bodies that lack one byte", _many),
    Attack("9-slow", "O4", "a buffered body of 5 bytes a second", _slow),
)
