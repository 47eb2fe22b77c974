"""An upstream that responds by a script and remembers the exact bytes it received."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Self

from tests.support.messages import Message, read_body, read_head
from tests.support.wire import Address, Ended, Wire, listen, patiently


class UpstreamConnection(Wire):
    """One connection that the upstream accepted, with the whole requests read from it."""

    patience = None  # a client may take its time; the test's own side gives up

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.requests: list[Message] = []


Step = Callable[[UpstreamConnection], Awaitable[None]]
Script = list[Step]


def request() -> Step:
    """Read one whole request (head and body, strictly)."""

    async def step(connection: UpstreamConnection) -> None:
        head = await read_head(connection)
        connection.requests.append(await read_body(connection, head, "none"))

    return step


def head_of_request() -> Step:
    """Read the head of a request and leave its body unread."""

    async def step(connection: UpstreamConnection) -> None:
        connection.requests.append(Message(await read_head(connection), b"", "unread"))

    return step


def until(mark: bytes) -> Step:
    """Read up to and with these bytes."""

    async def step(connection: UpstreamConnection) -> None:
        await connection.until(mark)

    return step


def send(data: bytes) -> Step:
    """Send these bytes."""
    return lambda connection: connection.send(data)


def pour(size: int, piece: bytes = bytes(64 * 1024)) -> Step:
    """Send `size` bytes as fast as the peer takes them."""
    return lambda connection: connection.pour(size, piece)


def swallow(size: int) -> Step:
    """Read `size` bytes and forget them."""

    async def step(connection: UpstreamConnection) -> None:
        await connection.count(size)

    return step


def wait(event: asyncio.Event) -> Step:
    """Go on when the test sets `event`."""

    async def step(_: UpstreamConnection) -> None:
        await event.wait()

    return step


def tell(event: asyncio.Event) -> Step:
    """Let the test see that the script came this far."""

    async def step(_: UpstreamConnection) -> None:
        event.set()

    return step


def half_close() -> Step:
    """End our direction with a FIN and keep the other open."""

    async def step(connection: UpstreamConnection) -> None:
        connection.finish()

    return step


def close() -> Step:
    """Close: a FIN, with nothing unread."""

    async def step(connection: UpstreamConnection) -> None:
        connection.close()

    return step


def reset() -> Step:
    """Reset the connection."""

    async def step(connection: UpstreamConnection) -> None:
        connection.reset()

    return step


def black_hole() -> Step:
    """Neither read nor write again, until the test ends."""

    async def step(_: UpstreamConnection) -> None:
        await asyncio.Event().wait()

    return step


def repeat(*steps: Step) -> Step:
    """Follow `steps` again and again, until the peer ends."""

    async def step(connection: UpstreamConnection) -> None:
        while connection.end is None:
            for one in steps:
                await one(connection)

    return step


class ScriptedUpstream:
    """A raw TCP or unix server: the n-th connection follows the n-th script, later ones the last.

    After its script a connection is read until the peer ends, so that nothing it sends goes
    unrecorded; a peer's end inside a script ends the script. `address` is where it listens,
    `connections` holds its connections in order.
    """

    def __init__(self, *scripts: Script, path: str | None = None) -> None:
        self._scripts = scripts or ([],)
        self._listener = listen(path)
        self.address: Address = self._listener.getsockname()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._arrival = asyncio.Event()
        self.connections: list[UpstreamConnection] = []

    @property
    def url(self) -> str:
        """Where it listens, as the configuration spells it."""
        address = self.address
        return f"unix:{address}" if isinstance(address, str) else f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Its host and port, as its own Host header says."""
        address = self.address
        return "localhost" if isinstance(address, str) else f"{address[0]}:{address[1]}"

    @property
    def requests(self) -> list[Message]:
        """Every request read so far, over all connections, by the order of connections."""
        return [message for one in self.connections for message in one.requests]

    @property
    def received(self) -> list[bytes]:
        """The exact bytes of every connection."""
        return [bytes(one.received) for one in self.connections]

    async def connection(self, number: int) -> UpstreamConnection:
        """Wait for the connection of this number (from 0) and return it."""
        while len(self.connections) <= number:
            self._arrival.clear()
            await patiently(self._arrival.wait(), f"connection {number} to the upstream")
        return self.connections[number]

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        self.stop_listening()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in self.connections:
            one.close()
        if self._failures and kind is None:
            raise ExceptionGroup("the upstream's script failed", self._failures)

    def forget_ended(self) -> None:
        """Drop the connections that have ended, so that a long test stays small."""
        self.connections = [one for one in self.connections if one.is_open]

    def stop_listening(self) -> None:
        """Close the listener: from now on connections are refused."""
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return  # who knocked has left
        connection = UpstreamConnection(sock)
        script = self._scripts[min(len(self.connections), len(self._scripts) - 1)]
        self.connections.append(connection)
        self._arrival.set()
        task = asyncio.get_running_loop().create_task(self._follow(connection, script))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, connection: UpstreamConnection, script: Script) -> None:
        try:
            with contextlib.suppress(Ended):
                for step in script:
                    if not connection.is_open:
                        return
                    await step(connection)
            while connection.is_open and await connection.more():
                pass
        except Exception as failure:  # noqa: BLE001 - raised again where the test can see it
            self._failures.append(failure)
        finally:
            connection.sock.close()
