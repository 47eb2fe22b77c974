"""Values from clients that the proxy keeps between requests (O6)."""

import asyncio
import itertools
import string
from collections.abc import Iterator
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, memory
from bench.attacks.clients import get, status
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import serving

_CONNECTIONS: Final = 256
_HOSTS: Final = 1024
_SIZE: Final = 31 * 1024
# MB by which a worker's memory varies after this many heads of 31 KB, even if nothing is kept.
_NOISE: Final = 15.0


def _with_connection(number: int) -> bytes:
    """Return a request whose Connection lists thousands of names, different ones for each `number`."""
    letters = itertools.product(string.ascii_lowercase, repeat=3)
    names = [f"{number:x}{''.join(three)}" for three in itertools.islice(letters, _SIZE // 7)]
    return get(b"/fine", b"Connection: " + ",".join(names).encode()[:_SIZE])


def _with_host(number: int) -> bytes:
    return get(b"/fine", host=(b"%d" % number).rjust(_SIZE, b"a"))


async def _kept(scene: Scene, requests: Iterator[bytes], what: str) -> list[Claim]:
    """Send requests, each on its own connection; measure the memory after all have ended."""
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream)) as proxy,
    ):
        await proxy.rest()
        for request in requests:
            await status(proxy.port, request)
        await asyncio.sleep(1)
        kept = proxy.memory_kept()
        await proxy.rest()
    return [memory(kept, within=_NOISE, what=f"{what}: memory kept")]


async def _connection(scene: Scene) -> list[Claim]:
    requests = (_with_connection(number) for number in range(_CONNECTIONS))
    return await _kept(scene, requests, f"{_CONNECTIONS} requests")


async def _host(scene: Scene) -> list[Claim]:
    requests = (_with_host(number) for number in range(_HOSTS))
    return await _kept(scene, requests, f"{_HOSTS} requests")


ATTACKS: Final = (
    Attack("10-connection", "O6", "256 requests with a Connection of 31 KB", _connection),
    Attack("10-host", "O6", "1024 requests with a Host of 31 KB", _host),
)
