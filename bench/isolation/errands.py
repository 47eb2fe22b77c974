"""Defines by tag what each request contains and how its upstream responds."""

import random
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

TAG: Final = re.compile(rb"(?<![0-9a-z])[tp][0-9a-f]{15}(?![0-9a-z])")
SAFE: Final = frozenset({b"GET", b"HEAD"})
_GZIP: Final = b"\x1f\x8b\x08\x00"
_REMEMBERED: Final = 60_000
_DETAILS: Final = 5  # of each kind
# After this many seconds, a response that was sent but did not arrive counts as not read.
UNREAD: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Reply:
    """What the upstream does with a request.

    `read` is how many bytes of the body it reads before it responds (-1: all), `shown` how many of
    its own body it sends before it waits `pause` seconds. `framing` is length, chunked, close or
    none; `ending` keep, close (announced), fin, late fin or reset; `fault` "", cut, junk or nothing.
    `excess` is "", at once or late (a whole unsolicited response), or body (of a response
    that may not have one). `hints` interim responses come before it, a 100 first with `continues`.
    """

    status: int = 200
    size: int = 0
    framing: str = "length"
    hints: int = 0
    continues: bool = False
    read: int = -1
    shown: int = 0
    pause: float = 0.0
    reads_rest: bool = True
    ending: str = "keep"
    excess: str = ""
    fault: str = ""

    @property
    def has_body(self) -> bool:
        """Whether its status allows a body."""
        return self.status not in (204, 304)


@dataclass(slots=True)
class Carrier:
    """An upstream's connection; `poisoned` once it has sent an unsolicited response, late."""

    poisoned: bool = False


@dataclass(slots=True, kw_only=True)
class Errand:
    """One request: every byte of its body and of its response's is derived from its tag.

    `place` is the first segment of its path, `seen` how often the upstream has read its head,
    `replied` when the upstream began to respond (0: not yet).
    """

    tag: bytes
    kind: str
    place: bytes = b"t"
    method: bytes = b"GET"
    size: int | None = None
    is_chunked: bool = False
    is_gzip: bool = False
    upgrade: bool = False
    expect: bool = False
    is_broken: bool = False
    reply: Reply = field(default_factory=Reply)
    seen: int = 0
    replied: float = 0.0
    carrier: Carrier | None = None

    def piece(self, at: int, size: int) -> bytes:
        """Return `size` bytes of the body from the offset `at` on."""
        start = at % len(self.tag)
        data = (self.tag * (size // len(self.tag) + 2))[start : start + size]
        if self.is_gzip and at < len(_GZIP):
            data = (_GZIP[at:] + data[len(_GZIP) - at :])[:size]
        return data

    def head(self) -> bytes:
        """Return the request's head, as the client sends it."""
        lines = [
            b"%b /%b/%b HTTP/1.1" % (self.method, self.place, self.tag),
            b"Host: fuzz",
            b"Origin: https://app.example",
            b"X-Tag: " + self.tag,
            b"Cookie: c=" + self.tag,
        ]
        if self.is_gzip:
            lines.append(b"Content-Encoding: gzip")
        if self.expect:
            lines.append(b"Expect: 100-continue")
        if self.upgrade:
            lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
        if self.is_chunked:
            lines.append(b"Transfer-Encoding: chunked")
        elif self.size is not None:
            lines.append(b"Content-Length: %d" % self.size)
        return b"\r\n".join([*lines, b"", b""])

    def body(self, chance: random.Random) -> bytes:
        """Return the request's body in its framing."""
        size = self.size or 0
        if not self.is_chunked:
            return self.piece(0, size)
        chunks, at = [], 0
        while at < size:
            step = min(size - at, chance.choice((1, 7, 100, 4096, 30_000)))
            if size > 20_000:
                step = min(size - at, max(step, 2000))
            chunks.append(b"%x\r\n%b\r\n" % (step, self.piece(at, step)))
            at += step
        return b"".join(chunks) + b"0\r\n\r\n"


class Book:
    """Every request of a run, the outcomes, and the violations."""

    def __init__(self, *, late_counts: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.apart: Counter[str] = Counter()
        self.details: list[str] = []
        self.kills: list[float] = []
        self._late_counts = late_counts
        self._errands: dict[bytes, Errand] = {}
        self._order: deque[bytes] = deque()
        self._poison: dict[bytes, Errand] = {}

    def tag(self, chance: random.Random, first: bytes = b"t") -> bytes:
        """Return a tag that no other request has."""
        self.counts["tags"] += 1
        return b"%b%06x%09x" % (first, self.counts["tags"] % 2**24, chance.getrandbits(36))

    def enter(self, errand: Errand) -> Errand:
        """Register a request that is about to be sent."""
        self.kinds[errand.kind] += 1
        self._errands[errand.tag] = errand
        self._order.append(errand.tag)
        if len(self._order) > _REMEMBERED:
            del self._errands[self._order.popleft()]
        return errand

    def find(self, tag: bytes) -> Errand | None:
        """Return the request with this tag, None if there was none lately."""
        return self._errands.get(tag)

    def poison(self, victim: Errand, chance: random.Random) -> bytes:
        """Return the tag of an unsolicited response that is sent after that to `victim`."""
        tag = self.tag(chance, b"p")
        self.counts[f"excess {victim.reply.excess}"] += 1
        self._poison[tag] = victim
        while len(self._poison) > _REMEMBERED:
            del self._poison[next(iter(self._poison))]
        return tag

    def wrong(self, kind: str, errand: Errand | None, detail: object, where: str = "") -> None:
        """Record a violation."""
        self.violations[kind] += 1
        if self.violations[kind] <= _DETAILS:
            whose = "" if errand is None else f" {errand.kind} {errand.tag.decode()}"
            self.details.append(f"{kind}:{whose} {where} {detail!r:.300}")

    def another_response(self, errand: Errand, tag: bytes, head: bytes, where: str) -> None:
        """Record a response that reached another request than its own."""
        victim = self._poison.get(tag)
        source = self.find(tag) if victim is None else victim
        is_late = source is not None and source.place == errand.place and _is_late(source, victim)
        if is_late and not self._late_counts:
            self.apart["responses shifted by late excess"] += 1
        elif victim is None:
            self.wrong("another request's response", errand, head, where)
        else:
            self.wrong("excess reached a request", errand, head, where)

    def killed_since(self, moment: float) -> bool:
        """Return whether a worker was killed since `moment`, or just before it."""
        return any(one > moment - 1 for one in self.kills[-3:])


def _is_late(source: Errand, victim: Errand | None) -> bool:
    """Return whether a response of `source`, or excess after that to `victim`, was shifted late."""
    if victim is not None:
        return victim.reply.excess == "late"
    return source.carrier is not None and source.carrier.poisoned


def now() -> float:
    """Return the time in seconds, from the clock that all measurements use."""
    return time.monotonic()
