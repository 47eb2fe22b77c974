"""`corsproxy run` as a process, an upstream on this loop, and clients that record response times."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tests.support.origin import connect
from tests.support.service import LONG

ROOT = Path(__file__).parents[2]
GET = b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n"
BIG = b"GET /big HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n"
BIG_SIZE = 320 * 1024  # more than a proxy may hold (O6), and a thousand fit into a kernel
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Running(NamedTuple):
    """A process and its ports."""

    process: subprocess.Popen[bytes]
    port: int
    health: int

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that it has used so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / 100

    async def quiet(self) -> None:
        """Wait until it is almost idle."""
        for _ in range(100):
            before = self.cpu_seconds()
            await asyncio.sleep(0.2)
            if self.cpu_seconds() - before <= 0.02:
                return
        raise AssertionError("it does not come to rest")

    def descriptors(self) -> int:
        """Return the number of its open descriptors."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def highest_descriptor(self) -> int:
        """Return its highest descriptor."""
        return max(int(one.name) for one in Path(f"/proc/{self.process.pid}/fd").iterdir())


@contextmanager
def running(config: str, folder: Path, *, stdout: int, files: int = 0) -> Iterator[Running]:
    """Run the proxy; `stdout` is its standard output, `files` its limit of open files if not 0."""
    path = folder / "config.yaml"
    path.write_text(config)
    limit = f"ulimit -n {files}; " if files else ""
    command = f'{limit}exec "$0" -m corsproxy run -c "$1"'
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        ["/bin/sh", "-c", command, sys.executable, str(path)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        output = b""
        while b"health on" not in output:
            line = process.stderr.readline()
            assert line, f"it did not start:\n{output.decode()}"
            output += line
        ports = [int(line.rsplit(b":", 1)[1].split(b"/")[0]) for line in _urls(output)]
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield Running(process, ports[0], ports[1])
    finally:
        process.kill()
        process.wait()
        drain.join()
        process.stderr.close()


def _urls(output: bytes) -> list[bytes]:
    return [
        line for line in output.splitlines() if line.startswith((b"listening on", b"health on"))
    ]


def scrape(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of /metrics by name and sorted labels."""
    with contextlib.closing(connect(port)) as connection:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        assert response.status == 200
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@asynccontextmanager
async def upstream(seconds: float = 0.0) -> AsyncIterator[int]:
    """Respond to each request after `seconds`, /big with 320 KiB; yield the port."""
    serving: set[asyncio.Task[None]] = set()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if seconds:
                    await asyncio.sleep(seconds)
                if head.startswith(b"GET /big"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG_SIZE)
                    for _ in range(BIG_SIZE // 65536):
                        writer.write(bytes(65536))
                        await writer.drain()
                else:
                    writer.write(OK)
        writer.transport.abort()
        writers.discard(writer)
        serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*serving, return_exceptions=True)


class Times:
    """The seconds that each response took, by its status, and failures."""

    def __init__(self) -> None:
        self.by_status: dict[int, list[float]] = {}
        self.failures: Counter[str] = Counter()

    def count(self, status: int) -> int:
        """Return the number of responses with this status."""
        return len(self.by_status.get(status, ()))

    def p99(self, status: int = 200) -> float:
        """Return the 99th percentile of the response times."""
        times = sorted(self.by_status[status])
        return times[min(len(times) - 1, int(len(times) * 0.99))]


class Client:
    """A keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def get(self, request: bytes = GET) -> int:
        """Send `request` and return the status of the response."""
        self.writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        await self._reader.readexactly(length)
        if b"connection: close" in head.lower():
            self.writer.close()
        return int(head[9:12])


_opened: set[asyncio.StreamWriter] = set()


async def client_to(port: int, buffer: int = 0) -> Client:
    """Connect a client, with a receive buffer of this size if any; `play` closes it at the end."""
    sock = socket.socket()
    sock.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    _opened.add(writer)
    return Client(reader, writer)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene in its own loop, and close all connections whatever its result."""

    async def main() -> None:
        try:
            await scene()
        finally:
            for writer in _opened:
                writer.transport.abort()
            _opened.clear()
            await asyncio.sleep(0.05)  # aborting takes the loop a few turns

    asyncio.run(main())


async def ask_at(rate: float, port: int, seconds: float) -> Times:
    """Send `rate` requests per second, however long responses take, and wait for all of them."""
    times, idle = Times(), list[Client]()
    tasks: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(LONG):
                client = idle.pop() if idle else await client_to(port)
                status = await client.get()
        except (OSError, EOFError, TimeoutError) as failure:
            times.failures[type(failure).__name__] += 1
            return
        times.by_status.setdefault(status, []).append(time.perf_counter() - began)
        if not client.writer.is_closing():
            idle.append(client)

    began, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        while number < passed * rate:
            number += 1
            task = asyncio.ensure_future(ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    return times
