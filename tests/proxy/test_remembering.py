"""What a connection leaves behind when it is gone: nothing that a peer can make large (O6)."""

import gc
import itertools
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import corsproxy
from tests.support.proxy import Proxy, assert_untouched, through
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import UpstreamConnection, repeat, request

# How often each attack is repeated, every time with another value of about 30 KB; were the values
# kept, they alone would be three times what is allowed to stay.
TIMES = 100
SIZE = 30_000
MOST_LEFT = 1024 * 1024
NUMBERS = itertools.count()

ATTACKS: dict[str, bytes] = {
    "a Connection of many names": b"Connection: "
    + b",".join(b"x%%d-%d" % n for n in range(SIZE // 12)),
    "a Connection of one name": b"Connection: x%d" + b"a" * SIZE,
    "a long Host": b"Host: x%d" + b"a" * SIZE,
    "a long Host with a port": b"Host: x%d" + b"a" * 20_000 + b":80",
    "a long Origin": b"Origin: https://x%d" + b"a" * SIZE,
    "X-Forwarded-For": b"X-Forwarded-For: x%d" + b"a" * SIZE,
    "X-Forwarded-Host": b"X-Forwarded-Host: x%d" + b"a" * SIZE,
    "Forwarded": b"Forwarded: for=x%d" + b"a" * SIZE,
    "the name of a field": b"x%d" + b"a" * SIZE + b": 1",
    "an id": b"X-Request-Id: x%d" + b"a" * SIZE,
}


@contextmanager
def little_stays() -> Iterator[None]:
    """Fail if code of the package has kept more than a little of what it allocated meanwhile."""
    only_ours = tracemalloc.Filter(inclusive=True, filename_pattern=f"{corsproxy.__path__[0]}/*")
    tracemalloc.start()
    try:
        yield
        gc.collect()
        kept = tracemalloc.take_snapshot().filter_traces([only_ours]).statistics("filename")
    finally:
        tracemalloc.stop()
    assert sum(line.size for line in kept) < MOST_LEFT, kept[:3]


async def ask(proxy: Proxy, line: bytes) -> None:
    """Send one request with this line on a connection of its own."""
    host = b"" if line.startswith(b"Host:") else b"Host: a\r\n"
    async with await proxy.client() as client:
        await client.exchange(b"GET / HTTP/1.1\r\n%b%b\r\n\r\n" % (host, line))


@pytest.mark.parametrize("attack", ATTACKS)
async def test_o6_long_values_of_clients_are_not_remembered(attack: str) -> None:
    """O6: 31 KB of Connection in 256 requests, or Hosts of that size, were once kept forever."""
    server = "trusted_proxies: [127.0.0.0/8]"
    if attack == "Forwarded":
        server += "\ntrusted_headers: forwarded"
    cors = "cors: {allow_origins: ['https://*.example.com'], on_refused: block}"
    async with through(ALWAYS_OK, server=server, route=cors) as way:
        await ask(way.proxy, b"X-A: 1")
        with little_stays():
            for _ in range(TIMES):
                line = ATTACKS[attack]
                await ask(way.proxy, line.replace(b"%d", b"%d" % next(NUMBERS)))


@pytest.mark.parametrize("name", [b"Connection: ", b"Keep-Alive: ", b"Upgrade: ", b"X-"])
async def test_o6_long_values_of_upstreams_are_not_remembered(name: bytes) -> None:
    """O6: an upstream is not trusted with our memory either."""
    value = b"a" * SIZE + (b": 1" if name == b"X-" else b"")
    answered = 0

    async def answer(connection: UpstreamConnection) -> None:
        nonlocal answered
        answered += 1
        line = b"%bx%d%b" % (name, next(NUMBERS), value)
        await connection.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 0\r\n\r\n" % line)

    async with through([repeat(request(), answer)]) as way:
        await ask(way.proxy, b"X-A: 1")
        with little_stays():
            for _ in range(TIMES):
                await ask(way.proxy, b"X-A: 1")
        assert answered == TIMES + 1


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: " + b", ".join(b"x-%d" % number for number in range(33)),
        b"Connection: " + b",".join([b"close"] * 33),
        b"Connection: "
        + b",".join(b"x-%d" % number for number in range(17))
        + b"\r\nConnection: "
        + b",".join(b"y-%d" % number for number in range(16)),
    ],
)
async def test_o6_a_connection_of_more_than_32_names_is_refused(lines: bytes) -> None:
    """O6: 400; each name would cost a look at every field."""
    async with through(ALWAYS_OK) as way:
        answer = await way.client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % lines)
        assert answer.status == 400
        assert answer.problem()["error"] == "bad_connection_header"
        await assert_untouched(way)


async def test_o6_a_connection_of_32_names_passes() -> None:
    """O6, H6: they are dropped as before; empty members are not names."""
    names = b",,".join(b"x-%d" % number for number in range(32))
    fields = b"".join(b"X-%d: 1\r\n" % number for number in range(33))
    async with through(ALWAYS_OK) as (client, _, upstream):
        data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n%b\r\n" % (names, fields)
        assert (await client.exchange(data)).status == 200
        kept = [name for name in upstream.requests[0].head.names() if name[2:].isdecimal()]
        assert kept == ["x-32"]
