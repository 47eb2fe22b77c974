"""One client that pipelines without end and reads the responses (S9)."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, undisturbed
from bench.attacks.clients import blocking, get
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import serving
from bench.attacks.waits import others, quiet

_SECONDS: Final = 8.0


def _pipeline(port: int) -> None:
    """Send requests as fast as the proxy reads them, and read all responses."""
    ends = time.perf_counter() + _SECONDS
    with blocking(port) as sock:
        reading = threading.Thread(target=_read_all, args=(sock, ends))
        reading.start()
        data = get(b"/none") * 2000
        with contextlib.suppress(OSError):
            while time.perf_counter() < ends:
                sock.sendall(data)
        reading.join()


def _read_all(sock: socket.socket, ends: float) -> None:
    with contextlib.suppress(OSError):
        while time.perf_counter() < ends and sock.recv(1 << 20):
            pass


async def _not_found(scene: Scene) -> list[Claim]:
    async with (
        serving(misbehave.converse) as port,
        scene.proxy(config(port, route="match: {path: /fine}")) as proxy,
    ):
        targets = proxy.targets()
        await proxy.rest()
        before = await quiet(**targets)
        async with others(**targets) as waits:
            await asyncio.to_thread(_pipeline, proxy.port)
        return [undisturbed(name, waits[name], before[name]) for name in targets]


ATTACKS: Final = (
    Attack(
        "4-pipelining", "S9", "one client pipelines 404s without end and reads them", _not_found
    ),
)
