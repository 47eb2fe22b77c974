"""A client that reads slowly, while its upstream connection could go to the next user (S12, F7)."""

import asyncio
import contextlib
from contextlib import ExitStack
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, none_of
from bench.attacks.clients import get, raw, status
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import OK, Reader, Writer, path_of, responding, serving

_PIECE: Final = 20 * 1024
_UNREAD: Final = 400
# After this many requests that do not reach the upstream, the proxy has stopped reading the client.
_NOT_READ: Final = 8
# Around the size of the kernel's buffers for a client: the last piece of one of these overflows them,
# because it is larger than the step from one to the next.
_DOWNLOADS: Final = range(2_200_000, 3_800_000, 40_000)
_LAST: Final = 60_000
# Seconds for which such a client does not read, and how many requests others send meanwhile.
_STALL: Final = 0.15
_ASKING: Final = 4
_SECONDS: Final = 13.0
# A response that is never read becomes a 504 after this.
_UPSTREAM: Final = "timeouts: {response_header: 1s}"


class _Upstream:
    """Responds with as many bytes as the path specifies; `sent` is set after each response."""

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    async def respond(self, head: bytes, _: Reader, writer: Writer) -> bool:
        size = int(path_of(head)[1:] or _PIECE)
        last = min(size, _LAST)
        writer.write(OK % size + bytes(size - last))
        await writer.drain()
        if size > last:
            await asyncio.sleep(0.02)
        writer.write(bytes(last))
        await writer.drain()
        self.sent.set()
        return True


async def _is_set(event: asyncio.Event) -> bool:
    """Wait a moment for `event`, and another one for the sent data to arrive."""
    try:
        async with asyncio.timeout(0.5):
            await event.wait()
    except TimeoutError:
        return False
    await asyncio.sleep(0.002)
    return True


async def _unread(scene: Scene) -> list[Claim]:
    """Leave one response after the other unread; send a request of another client after each."""
    upstream, victims, failed, at, held = _Upstream(), 0, 0, 0, 0
    async with (
        serving(responding(upstream.respond)) as port,
        scene.proxy(config(port, upstream=_UPSTREAM)) as proxy,
    ):
        with ExitStack() as stack, contextlib.suppress(TimeoutError):
            sock = await raw(stack, proxy.port, buffer=4096)
            async with asyncio.timeout(_SECONDS):
                for number in range(1, _UNREAD + 1):
                    upstream.sent.clear()
                    await asyncio.get_running_loop().sock_sendall(sock, get(b"/%d" % _PIECE))
                    held += not await _is_set(upstream.sent)
                    victims += 1
                    if await status(proxy.port, get(b"/2")) != 200:
                        failed, at = 1, number
                    if failed or held == _NOT_READ:
                        break
    where = f", the first behind {at} unread responses" if at else ""
    return [none_of(failed, victims, f"requests of others never got their response{where}")]


async def _read_late(port: int, size: int) -> None:
    """Download `size` bytes; stop reading for a moment, as in a tunnel, and then read everything."""
    with ExitStack() as stack:
        sock = await raw(stack, port, buffer=4096)
        loop, left = asyncio.get_running_loop(), size
        await loop.sock_sendall(sock, get(b"/%d" % size))
        await asyncio.sleep(_STALL)
        while left > 0:
            data = await loop.sock_recv(sock, 65536)
            left -= len(data) or left


async def _slow(scene: Scene) -> list[Claim]:
    """Let honest clients read late, and send another client's request when the upstream is done."""
    upstream, asking = _Upstream(), list[asyncio.Task[int]]()
    async with (
        serving(responding(upstream.respond)) as port,
        scene.proxy(config(port, upstream=_UPSTREAM)) as proxy,
    ):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SECONDS):
                for size in _DOWNLOADS:
                    upstream.sent.clear()
                    reading = asyncio.create_task(_read_late(proxy.port, size))
                    await upstream.sent.wait()
                    # More than once: on a busy machine the proxy may not have read all of it yet.
                    for _ in range(_ASKING):
                        await asyncio.sleep(0.03)
                        asking.append(asyncio.create_task(status(proxy.port, get(b"/2"))))
                    await reading
        failed = sum(code != 200 for code in await asyncio.gather(*asking))
    return [none_of(failed, len(asking), "requests of others never got their response")]


ATTACKS: Final = (
    Attack("3-unread", "S12, F7", "20 KB responses left unread, one after the other", _unread),
    Attack("3-slow", "S12, F7", "honest clients whose connection stalls for 0.15 s", _slow),
)
