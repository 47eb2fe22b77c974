"""The behaviour of clients: everything that is allowed, and leaving at any moment."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final

from bench.isolation.errands import Book, Errand, Reply
from bench.isolation.reading import Gone, Line

Visit = Callable[["Client"], Awaitable[None]]

_SIZES: Final = (0, 1, 15, 300, 4000, 65_535, 65_536, 65_537, 66_000, 100_000, 300_000)
_SMALL: Final = (0, 1, 15, 300, 4000)
_BIG: Final = 20_000
# How many of these fit into the kernel's buffers between two sockets, and how many do not.
_FEW, _MANY = 110, 180
_SLOW_AT_ONCE: Final = 4


class Client:
    """The client of one visit. `slow` limits the number of slow readers at a time."""

    def __init__(self, book: Book, line: Line, slow: asyncio.Semaphore, *, late: bool) -> None:
        self.book = book
        self.line = line
        self.chance = line.chance
        self.slow = slow
        self._late = late

    def errand(self, kind: str, reply: Reply | None = None, **more: object) -> Errand:
        """Return a registered request of this kind."""
        one = Errand(tag=self.book.tag(self.chance), kind=kind, reply=reply or Reply(), **more)  # type: ignore[arg-type]
        return self.book.enter(one)

    def reply(self, *, small: bool = False) -> Reply:
        """Return any response that fits any request."""
        chance = self.chance
        reply = Reply(
            status=chance.choices((200, 404, 204, 304), (80, 8, 6, 6))[0],
            size=chance.choice(_SMALL if small or chance.random() < 0.9 else _SIZES),
            framing=chance.choices(("length", "chunked", "close"), (60, 35, 5))[0],
            hints=chance.choices((0, 1, 3), (90, 7, 3))[0],
            continues=chance.random() < 0.05,
            ending=chance.choices(("keep", "close", "fin", "late fin", "reset"), (88, 5, 3, 2, 2))[
                0
            ],
            pause=chance.choices((0.0, 0.003), (95, 5))[0],
        )
        if reply.framing == "close" and reply.ending == "reset":
            reply.ending = "close"  # it could not be detected how much of it is missing
        return reply

    def ordinary(self, kind: str, *, small: bool = False) -> Errand:
        """Return a request of any method with any body and any response."""
        chance = self.chance
        method = chance.choices((b"GET", b"HEAD", b"POST", b"PUT"), (50, 8, 30, 12))[0]
        errand = self.errand(kind, self.reply(small=small), method=method)
        if method in (b"POST", b"PUT"):
            errand.size = chance.choice(_SMALL if small or chance.random() < 0.7 else _SIZES)
            errand.is_chunked = chance.random() < 0.4
            errand.is_gzip = chance.random() < 0.1
            errand.reply.read = chance.choices((-1, 0, 100), (85, 10, 5))[0]
        return errand

    def excess(self) -> Errand:
        """Return a request whose upstream sends more than its response, together with it."""
        errand = self.ordinary("excess", small=True)
        errand.place = b"x"
        reply = errand.reply
        reply.ending, reply.pause, reply.read = "keep", 0.0, -1
        reply.framing = self.chance.choice(("length", "chunked"))
        reply.excess = "late" if self._late and self.chance.random() < 0.3 else "at once"
        if errand.method == b"HEAD" or not reply.has_body:
            reply.excess = self.chance.choice((reply.excess, "body"))
        return errand

    def whole(self, errand: Errand) -> bytes:
        """Return the request as bytes."""
        return errand.head() + (b"" if errand.size is None else errand.body(self.chance))


async def plain(client: Client) -> None:
    """Send requests one after the other."""
    for _ in range(client.chance.randint(1, 20)):
        errand = client.ordinary("plain")
        await client.line.send(client.whole(errand), client.chance.choice((1, 1, 2, 5)))
        if not await client.line.response(errand):
            return await client.line.quiet(errand, 0.05)
        if client.chance.random() < 0.1:
            await client.line.quiet(errand)
    return None


async def excess(client: Client) -> None:
    """Send requests to the upstream that sends unsolicited responses."""
    for _ in range(client.chance.randint(1, 12)):
        errand = client.errand("after excess", Reply(size=20), place=b"x")
        if client.chance.random() < 0.4:
            errand = client.excess()
        await client.line.send(client.whole(errand))
        if not await client.line.response(errand):
            return


async def pipelined(client: Client) -> None:
    """Send requests without waiting for responses, cut anywhere."""
    errands = [
        client.ordinary("pipelined", small=True) for _ in range(client.chance.randint(2, 20))
    ]
    data = b"".join(client.whole(errand) for errand in errands)
    sending = asyncio.ensure_future(client.line.send(data, client.chance.randint(1, 6)))
    try:
        for errand in errands:
            if not await client.line.response(errand):
                return await client.line.quiet(errand, 0.05)
    finally:
        sending.cancel()
    return None


async def slow_writer(client: Client) -> None:
    """Send a request little by little."""
    for _ in range(client.chance.randint(1, 3)):
        errand = client.ordinary("slow writer")
        pieces = client.chance.randint(3, 12)
        sending = asyncio.ensure_future(client.line.send(client.whole(errand), pieces, 0.004))
        try:
            if not await client.line.response(errand):
                return
        finally:
            sending.cancel()


async def slow_reader(client: Client) -> None:
    """Request more than the buffers between two sockets can contain, and only then read.

    Most request the last of it in small steps: whichever response fills the buffers, other
    requests have time to use the connection that it arrived on.
    """
    async with client.slow:
        reply = Reply(size=_BIG, framing=client.chance.choice(("length", "chunked")))
        errands = [client.errand("slow reader", reply) for _ in range(_MANY)]
        at_once = client.chance.choice((_MANY, _FEW, _FEW, _FEW))
        await client.line.send(b"".join(errand.head() for errand in errands[:at_once]))
        for errand in errands[at_once:]:
            await client.line.send(errand.head())
            await asyncio.sleep(0.008)
        await asyncio.sleep(client.chance.random() * 0.2)
        for errand in errands:
            if not await client.line.response(errand):
                return


async def slow_download(client: Client) -> None:
    """Read one big response slowly."""
    async with client.slow:
        errand = client.errand(
            "slow download", Reply(size=client.chance.randint(500_000, 4_000_000))
        )
        errand.reply.framing = client.chance.choice(("length", "chunked", "close"))
        await client.line.send(errand.head())
        await asyncio.sleep(client.chance.random() * 0.2)
        await client.line.response(errand, 0.0005)


async def early(client: Client) -> None:
    """Upload while the response arrives: send the last bytes only after it has begun."""
    chance = client.chance
    for _ in range(chance.randint(1, 4)):
        reply = Reply(
            status=chance.choice((200, 200, 201, 404, 413)),
            size=chance.choice((1, 300, 4000, 4000, 200_000)),
            framing=chance.choice(("length", "chunked")),
            read=chance.choice((0, 1, 100, 30_000)),
            shown=chance.choice((0, 1, 100)),
            pause=chance.choice((0.0, 0.002, 0.01, 0.02)),
            reads_rest=chance.random() < 0.8,
            ending=chance.choices(("keep", "close", "fin"), (90, 5, 5))[0],
        )
        size = chance.choice((65_537, 65_537, 66_000, 90_000, 200_000, 400_000))
        errand = client.errand("early response", reply, method=b"POST", size=size)
        errand.is_chunked = chance.random() < 0.3
        sending = asyncio.ensure_future(_upload(client, errand))
        try:
            keeps = await client.line.response(errand)
            if not keeps or chance.random() < 0.1:
                return
            await sending
        finally:
            sending.cancel()


async def _upload(client: Client, errand: Errand) -> None:
    data, chance = client.whole(errand), client.chance
    cut = len(data) - chance.choice((0, 1, 5, 180, 180, 1000, 5000, 30_000))
    await client.line.send(data[:cut], chance.choice((1, 2, 4)))
    await client.line.has_begun.wait()
    if chance.random() < 0.3:
        await asyncio.sleep(chance.random() * 0.01)
    await client.line.send(data[cut:])


async def leave_early(client: Client) -> None:
    """Leave within a head, a body or a response; with a FIN, a half-close, or a reset."""
    chance = client.chance
    errand = client.ordinary("aborted")
    errand.reply.size = max(errand.reply.size, chance.choice((0, 0, 500_000)))
    errand.reply.shown, errand.reply.pause = chance.choice(((0, 0.0), (100, 0.02)))
    data = client.whole(errand)
    where = chance.choice(("head", "body", "response"))
    ends = {"head": chance.randrange(len(errand.head())), "body": chance.randrange(len(data) + 1)}
    await client.line.send(data[: ends.get(where, len(data))])
    await asyncio.sleep(chance.choice((0.0, 0.0, 0.002, 0.02)))
    if where == "response":
        await client.line.peek()
    client.book.outcomes[f"left within a {where}"] += 1
    how = chance.random()
    if how < 0.3:
        client.line.reset()
    elif how < 0.5 and client.line.writer.can_write_eof():
        with contextlib.suppress(OSError):
            client.line.writer.write_eof()
        await asyncio.sleep(0.01)


async def expect(client: Client) -> None:
    """Expect a 100 before sending a body."""
    for _ in range(client.chance.randint(1, 4)):
        errand = client.ordinary("expect")
        errand.method = b"POST"
        errand.size = client.chance.choice(_SIZES)
        errand.expect = True
        await client.line.send(errand.head())
        sending = asyncio.ensure_future(_body_after_100(client, errand))
        try:
            if not await client.line.response(errand):
                return
            await sending
        finally:
            sending.cancel()


async def _body_after_100(client: Client, errand: Errand) -> None:
    if client.chance.random() < 0.7:
        await asyncio.sleep(0.005)
    await client.line.send(errand.body(client.chance), client.chance.choice((1, 3)))


async def tunnel(client: Client) -> None:
    """Request an upgrade; send through the tunnel if there is one."""
    status = client.chance.choice((101, 101, 101, 200, 403))
    reply = Reply(status=status, size=300, ending=client.chance.choice(("keep", "keep", "reset")))
    errand = client.errand("tunnel", reply, upgrade=True)
    if status != 101:
        reply.ending = "keep"
    await client.line.send(errand.head())
    if await client.line.response(errand) and status == 101:
        await client.line.tunnel(errand)


async def malformed(client: Client) -> None:
    """Send what must not be forwarded, with another request inside."""
    errand = client.errand("malformed", is_broken=True, method=b"POST", size=5)
    inside = client.errand("malformed", is_broken=True)
    head = errand.head()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    spoiled = client.chance.choice(
        (
            head[:-2] + chunked + b"0\r\n\r\n" + inside.head(),
            head[:-2] + b"Content-Length: 6\r\n\r\nhello" + inside.head(),
            head.replace(b"Content-Length: 5", b"Content-Length: +5") + b"hello" + inside.head(),
            head.replace(b"\r\nHost", b"\nHost") + b"hello" + inside.head(),
            head.replace(b"Content-Length: 5", b"Transfer-Encoding: x")
            + b"0\r\n\r\n"
            + inside.head(),
        ),
    )
    await client.line.send(spoiled)
    await client.line.response(errand)
    await client.line.quiet(errand, 0.02)


async def errors(client: Client) -> None:
    """Send requests to an upstream that cuts, breaks or closes its responses."""
    for _ in range(client.chance.randint(1, 3)):
        errand = client.ordinary("error")
        errand.reply.fault = client.chance.choice(("cut", "junk", "nothing"))
        errand.reply.status = 200
        errand.reply.size = client.chance.choice((2, 300, 50_000))
        errand.reply.framing = client.chance.choice(("length", "chunked"))
        if errand.method == b"HEAD" and errand.reply.fault == "cut":
            errand.reply.fault = ""
        await client.line.send(client.whole(errand))
        if not await client.line.response(errand):
            return


# What clients do, and how often.
VISITS: Final[dict[Visit, int]] = {
    plain: 22,
    pipelined: 14,
    early: 22,
    slow_writer: 6,
    slow_reader: 4,
    slow_download: 2,
    leave_early: 14,
    expect: 5,
    tunnel: 5,
    malformed: 4,
    errors: 4,
    excess: 6,
}
_SLOW: Final = frozenset({slow_reader, slow_download})


async def visit_on(
    book: Book, port: int, seed: str, *, late: bool, slow: asyncio.Semaphore
) -> None:
    """Make visits until cancelled; `seed` names the client."""
    number = 0
    while True:
        number += 1
        name = f"{seed}/{number}"
        chance = random.Random(name)
        visit = chance.choices(list(VISITS), list(VISITS.values()))[0]
        line = Line(book, chance, port, name)
        try:
            await line.open(8192 if visit in _SLOW else 0)
        except Gone:
            book.outcomes["not connected"] += 1
            await asyncio.sleep(0.05)
            continue
        try:
            await visit(Client(book, line, slow, late=late))
        except (Gone, EOFError, OSError):
            pass  # its outcome is recorded
        finally:
            book.counts["visits"] += 1
            line.close()


def slow_at_once() -> asyncio.Semaphore:
    """Return the limit of clients that are slow at the same time."""
    return asyncio.Semaphore(_SLOW_AT_ONCE)
