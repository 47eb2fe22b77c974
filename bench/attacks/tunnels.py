"""Idle WebSockets that use up the connections of an upstream (O4)."""

import asyncio
from contextlib import ExitStack
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of
from bench.attacks.clients import get, raw, status
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import serving

# Small, so that few sockets are enough: the default is 1024.
_POOL: Final = 16
_VICTIMS: Final = 10


async def _idle_tunnels(scene: Scene) -> list[Claim]:
    """Open as many WebSockets as the pool has connections, send nothing, and send another client's requests."""
    handshake = get(b"/tunnel", b"Connection: Upgrade", b"Upgrade: websocket")
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream, upstream=f"pool: {{max_connections: {_POOL}}}")) as proxy,
    ):
        await proxy.rest()
        with ExitStack() as stack:
            for _ in range(_POOL):
                sock = await raw(stack, proxy.port)
                await asyncio.get_running_loop().sock_sendall(sock, handshake)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            asking = [status(proxy.port, get(b"/fine")) for _ in range(_VICTIMS)]
            served = (await asyncio.gather(*asking)).count(200)
    return [all_of(served, _VICTIMS, f"requests of others served during {_POOL} idle WebSockets")]


ATTACKS: Final = (
    Attack("8-tunnels", "O4", "as many idle WebSockets as pool.max_connections", _idle_tunnels),
)
