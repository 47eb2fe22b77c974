"""Generated requests and responses: good, odd, malformed, and such as smuggle.

A message is put together slot by slot. How odd it becomes is drawn once a message: most slots of
most messages are ordinary, so that a single oddity meets otherwise good surroundings. A quarter of
all streams is then damaged byte by byte. The same seed gives the same streams.
"""

from random import Random
from typing import Final

from tests.differential import pieces
from tests.differential.pieces import Slot

SENTINEL: Final = b"GET /sentinel HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n"
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: api.example\r\n\r\n"
POISON: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

_BODIES: Final = [b"", b"abc", b"hello world", SMUGGLED, b"x" * 700, b"0\r\n\r\n", b"\r\n"]


class _Writer:
    """Writes one message, as odd as was drawn for it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.oddness = random.choice([0.0, 0.0, 0.05, 0.15, 0.4])

    def pick(self, slot: Slot) -> bytes:
        """Return one of the choices of `slot`."""
        ordinary, odd = slot
        return self.random.choice(odd if self.random.random() < self.oddness else ordinary)

    def fields(self, first: list[bytes], framing: list[bytes]) -> bytes:
        """Return the lines of a head behind its first, with some fields more, and its end."""
        more = [self.pick(pieces.FIELD) for _ in range(self.random.randrange(4))]
        lines = [*first, *more, *framing]
        if self.random.random() < self.oddness:
            self.random.shuffle(lines)
        return b"".join(line + self.pick(pieces.LINE_END) for line in [*lines, b""])

    def framed(self, kinds: str) -> tuple[list[bytes], bytes]:
        """Return the framing fields and a body, by one of `kinds`: none, length or chunked."""
        kind = self.random.choice(kinds.split())
        payload = self.random.choice(_BODIES)
        if kind == "none":
            return [], payload if self.random.random() < self.oddness else b""
        if kind == "length":
            field = self.pick(pieces.LENGTH)
            size = max(0, len(payload) + self.random.choice([0, 0, 0, -1, 1]) * self._is_odd())
            return [field.replace(b"%d", b"%d" % size)], payload
        return [self.pick(pieces.CODING)], self._chunks(payload)

    def _is_odd(self) -> bool:
        return self.random.random() < self.oddness

    def _chunks(self, payload: bytes) -> bytes:
        chunks = []
        while payload:
            size = self.random.randint(1, len(payload))
            line = self.pick(pieces.SIZE)
            written = line % ((size,) * line.count(b"%"))
            chunks += [written, payload[:size], self.pick(pieces.CHUNK_END)]
            payload = payload[size:]
        return b"".join([*chunks, self.pick(pieces.LAST)])


def _damaged(random: Random, data: bytes) -> bytes:
    """Return `data` with a few bytes cut out, put in or doubled."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        match random.randrange(3):
            case 0:
                data = data[:at] + random.choice(pieces.DAMAGE) + data[at:]
            case 1:
                data = data[:at] + data[at + random.randint(1, 3) :]
            case _:
                data = data[:at] + data[max(0, at - random.randint(1, 9)) :]
    return data


def requests(random: Random) -> bytes:
    """Return what a client sends on one connection: a few requests, and the sentinel."""
    data = b""
    for _ in range(random.choices([1, 2, 3], [6, 3, 1])[0]):
        writer = _Writer(random)
        method, target = writer.pick(pieces.METHOD), writer.pick(pieces.TARGET)
        if method == b"OPTIONS" and random.random() < 0.1:
            target = b"*"
        line = b" ".join([method, target, writer.pick(pieces.VERSION)])
        framing, body = writer.framed("none none length length chunked chunked")
        data += line + writer.pick(pieces.LINE_END)
        data += writer.fields([writer.pick(pieces.HOST)], framing) + body
    if random.random() < 0.25:
        data = _damaged(random, data)
    return data + SENTINEL


def answer(random: Random) -> tuple[bytes, bytes]:
    """Return a method, and what an upstream sends on being asked with it before it ends."""
    writer = _Writer(random)
    framing, body = writer.framed("none length length length chunked chunked chunked")
    data = (
        writer.pick(pieces.STATUS)
        + writer.pick(pieces.LINE_END)
        + writer.fields([], framing)
        + body
    )
    if random.random() < 0.1:
        data += POISON
    if random.random() < 0.25:
        data = _damaged(random, data)
    return random.choice([b"GET", b"GET", b"POST", b"HEAD"]), data
