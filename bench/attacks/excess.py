"""An upstream that sends a second response a few milliseconds late (S12)."""

import asyncio
import contextlib
from typing import Final, NamedTuple

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, at_least, at_most, no_such_key
from bench.attacks.clients import fetch, get
from bench.attacks.product import Proxy, Scene, config
from bench.attacks.upstreams import OK, Reader, Writer, path_of, serving

_POISON: Final = b"poison"
_VICTIMS: Final = 300
_AT_ONCE: Final = 4
# Seconds after which the excess follows, each in turn: it cannot be detected earlier.
_LATE: Final = (0.0, 0.001, 0.002, 0.003, 0.005)
# Shifted responses before the proxy detects that an upstream sends excess: one per connection.
_BEFORE_IT_IS_KNOWN: Final = _AT_ONCE
_SERVED: Final = 0.9


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
            writer.write(OK % len(_POISON) + _POISON)


class _Shifts(NamedTuple):
    """How many requests got the response to another request, and how many got their own."""

    shifted: int
    own: int

    def claims(self, most: int) -> list[Claim]:
        """Claim that at most `most` were shifted, and that nearly all were served."""
        least = int(_VICTIMS * _SERVED)
        return [
            at_most(
                self.shifted, most, f"of {_VICTIMS} requests got a response that is not theirs"
            ),
            at_least(self.own, least, f"of {_VICTIMS} requests got their own"),
        ]


async def _ask(proxy: Proxy, tag: bytes) -> bytes:
    """Return the body of the response to a request with this tag, or b"" without one."""
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        return (await fetch(proxy.port, get(tag))).body
    return b""


async def _shift(scene: Scene, pool: str) -> _Shifts:
    upstream, bodies = _Upstream(), list[tuple[bytes, bytes]]()
    async with (
        serving(upstream.converse) as port,
        scene.proxy(config(port, upstream=pool)) as proxy,
    ):
        for number in range(0, _VICTIMS, _AT_ONCE):
            tags = [b"/%d" % (number + one) for one in range(_AT_ONCE)]
            asked = await asyncio.gather(*[_ask(proxy, tag) for tag in tags])
            bodies += zip(tags, asked, strict=True)
    known = {tag for tag, _ in bodies} | {_POISON}
    shifted = sum(body != tag and body in known for tag, body in bodies)
    return _Shifts(shifted, sum(body == tag for tag, body in bodies))


async def _default(scene: Scene) -> list[Claim]:
    return (await _shift(scene, "")).claims(_BEFORE_IT_IS_KNOWN)


async def _never(scene: Scene) -> list[Claim]:
    if not scene.checkout.knows("reuse"):
        return [no_such_key("pool.reuse")]
    return (await _shift(scene, "pool: {reuse: never}")).claims(0)


ATTACKS: Final = (
    Attack("14-excess", "S12", "a second response comes 0 to 5 ms late", _default),
    Attack("14-never", "S12", "the same with pool.reuse: never", _never),
)
