"""An upstream that sends a second response a few milliseconds late (S12)."""

import asyncio
import contextlib
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, at_most, no_such_key, none_of
from bench.attacks.clients import fetch, get
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import OK, Reader, Writer, path_of, serving

_VICTIMS: Final = 300
_AT_ONCE: Final = 4
# Seconds after which the excess follows, each in turn: until then nobody can tell that it will.
_LATE: Final = (0.0, 0.001, 0.002, 0.003, 0.005)
# What may go wrong before an upstream is known to send excess: one for each connection there is.
_BEFORE_IT_IS_KNOWN: Final = _AT_ONCE


class _Upstream:
    """Responds to each request with its own path, and pushes a whole response some time later."""

    def __init__(self) -> None:
        self._count = 0
        self._pushing: set[asyncio.Task[None]] = set()

    async def converse(self, reader: Reader, writer: Writer) -> None:
        while True:
            path = path_of(await reader.readuntil(b"\r\n\r\n"))
            await asyncio.sleep(0.002)
            writer.write(OK % len(path) + path)
            self._count += 1
            task = asyncio.create_task(self._push(writer, _LATE[self._count % len(_LATE)]))
            self._pushing.add(task)
            task.add_done_callback(self._pushing.discard)

    async def _push(self, writer: Writer, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError):
            writer.write(OK % 6 + b"poison")


async def _shift(scene: Scene, pool: str) -> tuple[int, int]:
    """Return how many requests got another one's response, and how many of them were sent."""
    upstream, shifted, number = _Upstream(), 0, 0

    async def ask(tag: bytes) -> bool:
        try:
            return (await fetch(proxy.port, get(tag))).body not in (tag, b"")
        except (OSError, EOFError, TimeoutError):
            return False

    async with (
        serving(upstream.converse) as port,
        scene.proxy(config(port, upstream=pool)) as proxy,
    ):
        while number < _VICTIMS:
            tags = [b"/%d" % (number + one) for one in range(_AT_ONCE)]
            responses = await asyncio.gather(*[ask(tag) for tag in tags])
            shifted += sum(responses)
            number += len(tags)
    return shifted, number


async def _default(scene: Scene) -> list[Claim]:
    shifted, _ = await _shift(scene, "")
    what = f"of {_VICTIMS} requests got a response that is not theirs"
    return [at_most(shifted, _BEFORE_IT_IS_KNOWN, what)]


async def _never(scene: Scene) -> list[Claim]:
    if not scene.checkout.knows("reuse"):
        return [no_such_key("pool.reuse")]
    shifted, asked = await _shift(scene, "pool: {reuse: never}")
    return [none_of(shifted, asked, "requests got a response that is not theirs")]


ATTACKS: Final = (
    Attack("14-excess", "S12", "a second response comes 0 to 5 ms late", _default),
    Attack("14-never", "S12", "the same with pool.reuse: never", _never),
)
