"""A response that begins during an upload, so that the next request could become its body (S12, F5)."""

import asyncio
import contextlib
from functools import partial
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, none_of
from bench.attacks.clients import LOOPBACK, fetch, get, request, status
from bench.attacks.product import Proxy, Scene, config
from bench.attacks.strict import LARGE, SECRET, Strict
from bench.attacks.upstreams import path_of, serving

_TRIES: Final = 4
# One byte more than a body that is buffered before anything is forwarded (O4).
_LENGTH: Final = 65537
# The number of bytes that are not sent: about the size of a request head.
_BACK: Final = 180
_SETTLE: Final = 0.15
_HIDDEN: Final = b"GET /closed/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
_ROUTE: Final = "match: {path: /open/}, timeouts: {response_header: 1s}"


async def _victim(proxy: Proxy, number: int) -> bool:
    """Send a request of an honest user with a cookie; return whether it was served."""
    path = b"/open/victim/%d" % number
    head = get(path, b"Cookie: %b-%d" % (SECRET, number))
    try:
        return (await fetch(proxy.port, head, patience=3)).body == path
    except (OSError, EOFError, TimeoutError):
        return False


def _framed(payload: bytes, *, chunked: bool) -> tuple[bytes, bytes]:
    """Return the field that frames a body, and the body on the wire."""
    if chunked:
        return b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload)
    return b"Content-Length: %d" % len(payload), payload


async def _upload_late(strict: Strict, proxy: Proxy, early: bytes, *, chunked: bool) -> None:
    """Send a body without its end; send the end once the response has begun, and read the rest."""
    strict.finish.clear()
    framing, body = _framed(bytes(_LENGTH), chunked=chunked)
    sent = _LENGTH - _BACK - (64 if chunked else 0)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(3):
            writer.write(request(b"POST", b"/open/early/%b/%d" % (early, sent), framing))
            writer.write(body[:-_BACK])
            await reader.readuntil(b"hello")
            writer.write(body[-_BACK:])
            await asyncio.sleep(_SETTLE)
            strict.finish.set()
            await reader.readuntil(b"world")
    strict.finish.set()
    writer.transport.abort()


async def _upload_into(proxy: Proxy, *, chunked: bool) -> None:
    """Start an upload, send all of it while a large response runs, then read that slowly."""
    framing, body = _framed(bytes(4 * _LENGTH), chunked=chunked)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port, limit=16384)
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(4):
            writer.write(request(b"POST", b"/open/ignored", framing) + body[:70000])
            await reader.readuntil(b"\r\n\r\n")
            writer.write(body[70000:])
            await asyncio.sleep(_SETTLE)
            await reader.readexactly(LARGE)
    writer.transport.abort()


async def _swallow(scene: Scene, how: str, *, chunked: bool) -> list[Claim]:
    strict, served = Strict(), 0
    async with (
        serving(strict.converse) as port,
        scene.proxy(config(port, route=_ROUTE)) as proxy,
    ):
        for number in range(_TRIES):
            if how == "ignored":
                await _upload_into(proxy, chunked=chunked)
            else:
                await _upload_late(strict, proxy, how.encode(), chunked=chunked)
            served += await _victim(proxy, number)
        await asyncio.sleep(_SETTLE)
    return [
        none_of(strict.swallowed, _TRIES, "requests of others swallowed as a body"),
        none_of(strict.torn, _TRIES, "torn apart"),
        all_of(served, _TRIES, "requests of others served"),
    ]


async def _length_sent(strict: Strict, proxy: Proxy, head: bytes, body: bytes) -> int:
    """Return the size of `head` when it reaches the upstream: an attacker can find it by trial."""
    await status(proxy.port, head + body)
    return len(strict.heads[-1]) if strict.heads else _BACK


async def _hide(scene: Scene) -> list[Claim]:
    """Make the upstream wait for exactly the second request's head, so that its body is a request."""
    strict, tries = Strict(), 0
    second = request(
        b"POST", b"/open/second", b"X-Request-Id: same", b"Content-Length: %d" % len(_HIDDEN)
    )
    async with (
        serving(strict.converse) as port,
        scene.proxy(config(port, route=_ROUTE)) as proxy,
    ):
        for _ in range(_TRIES):
            back = await _length_sent(strict, proxy, second, _HIDDEN)
            await asyncio.sleep(1.2)  # its connection is idle for longer than it is kept
            await _owe(strict, proxy, back)
            await status(proxy.port, second + _HIDDEN, patience=2)
            tries += 1
        await asyncio.sleep(_SETTLE)
    hidden = sum(path_of(head).startswith(b"/closed/") for head in strict.heads)
    return [none_of(hidden, tries, "requests reached a path that no route matches")]


async def _owe(strict: Strict, proxy: Proxy, back: int) -> None:
    """Make the upstream wait for `back` more bytes of a body."""
    strict.finish.clear()
    sent = _LENGTH - back
    head = request(b"POST", b"/open/early/200/%d" % sent, b"Content-Length: %d" % _LENGTH)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        async with asyncio.timeout(3):
            writer.write(head + bytes(sent))
            await reader.readuntil(b"hello")
            writer.write(bytes(back))
            await asyncio.sleep(_SETTLE)
            strict.finish.set()
            await reader.readuntil(b"world")
            writer.write(get(b"/open/after"))
    strict.finish.set()
    writer.transport.abort()


def _attack(name: str, title: str, how: str, *, chunked: bool = False) -> Attack:
    return Attack(name, "S12, F5", title, partial(_swallow, how=how, chunked=chunked))


ATTACKS: Final = (
    _attack("1-length", "a 200 begins 180 bytes before the end of an upload", "200"),
    _attack("1-length-413", "a 413 begins 180 bytes before the end of an upload", "413"),
    _attack("1-chunked", "a 200 begins before the end of a chunked upload", "200", chunked=True),
    _attack("1-ignored", "a large response ignores its body, read slowly", "ignored"),
    _attack("1-ignored-chunked", "the same with a chunked body", "ignored", chunked=True),
    Attack("1-hidden", "S12, F5", "the next upload's body becomes a request of its own", _hide),
)
