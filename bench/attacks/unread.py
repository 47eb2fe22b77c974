"""A client that sends requests and never reads: the memory that it costs (F7, O6)."""

import asyncio
import contextlib
import time
from contextlib import ExitStack
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, memory, undisturbed
from bench.attacks.clients import blocking, get, raw
from bench.attacks.product import Proxy, Scene, config
from bench.attacks.upstreams import OK, Reader, Writer, path_of, responding, serving
from bench.attacks.waits import others, quiet

# Enough to fill the kernel's buffers, so that writing is paused when the big response begins.
_SMALL: Final = 20 * 1024
_SMALLS: Final = 300
# As servers without keep-alive do: while the next connection is opened, none can be paused.
_CLOSING: Final = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
# The upstream sends at most this much, and for at most this long, even if the proxy reads more.
_BIG: Final = 1024**3
_SECONDS: Final = 6.0
_FLOOD: Final = 12.0
_BUFFER: Final = 4096


async def _send_big(writer: Writer) -> None:
    piece = bytes(256 * 1024)
    for _ in range(_BIG // len(piece)):
        writer.write(piece)
        await writer.drain()


async def _respond(head: bytes, _: Reader, writer: Writer) -> bool:
    path = path_of(head)
    if path == b"/big":
        writer.write(OK % _BIG)
        await _send_big(writer)
    elif path == b"/tunnel":
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
        writer.write(b"Upgrade: websocket\r\n\r\n")
        await _send_big(writer)
        return False
    else:
        writer.write(_CLOSING % _SMALL + bytes(_SMALL))
        return False
    return True


async def _fill(scene: Scene, last: bytes) -> list[Claim]:
    """Pipeline small GETs and `last`, never read, and wait until the memory no longer grows."""
    async with (
        serving(responding(_respond)) as port,
        scene.proxy(config(port)) as proxy,
    ):
        await proxy.rest()
        with ExitStack() as stack:
            sock = await raw(stack, proxy.port, buffer=_BUFFER)
            began, seen = time.perf_counter(), -1.0
            async with asyncio.timeout(_SECONDS):
                await asyncio.get_running_loop().sock_sendall(sock, get(b"/x") * _SMALLS + last)
            while time.perf_counter() - began < _SECONDS and proxy.memory_above_idle() > seen:
                seen = proxy.memory_above_idle()
                await asyncio.sleep(1)
            return [memory(proxy.memory_above_idle())]


async def _big(scene: Scene) -> list[Claim]:
    return await _fill(scene, get(b"/big"))


async def _upgrade(scene: Scene) -> list[Claim]:
    lines = (b"Connection: Upgrade", b"Upgrade: websocket")
    return await _fill(scene, get(b"/tunnel", *lines))


def _send_on(proxy: Proxy, request: bytes) -> None:
    """Send `request` again and again until the proxy stops reading."""
    data = request * 1000
    ends = time.perf_counter() + _FLOOD
    with blocking(proxy.port, buffer=_BUFFER, patience=1) as sock, contextlib.suppress(OSError):
        while time.perf_counter() < ends:
            sock.sendall(data)


async def _not_found(scene: Scene) -> list[Claim]:
    async with (
        serving(responding(_respond)) as port,
        scene.proxy(config(port, route="match: {path: /open/}")) as proxy,
    ):
        targets = proxy.targets(b"/open/fine")
        await proxy.rest(get(b"/open/fine"))
        before = await quiet(**targets)
        async with others(**targets) as waits:
            await asyncio.to_thread(_send_on, proxy, get(b"/none"))
        return [
            memory(proxy.memory_above_idle()),
            *(undisturbed(name, waits[name], before[name]) for name in targets),
        ]


ATTACKS: Final = (
    Attack("2-big", "F7, O6", "300 small GETs and a big one, nothing read", _big),
    Attack("2-upgrade", "F7, O6", "300 small GETs and an upgrade, nothing read", _upgrade),
    Attack("2-404", "F7, O6", "requests for a path that no route has, nothing read", _not_found),
)
