"""An upstream that is a process of its own, so that it can be killed at any moment.

Run as a program it serves; imported it starts, kills and restarts that program on the same port.
"""

import asyncio
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self


async def _serve(port: int, log: int) -> None:
    """Respond to each request with its target, in two pieces, after a moment; note it first."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, target = head.split(b" ")[:2]
                if method == b"POST":
                    await reader.readexactly(len(target))
                os.write(log, b"%b %b\n" % (method, target))
                await asyncio.sleep(random.random() / 500)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(target))
                writer.write(target[:2])
                await asyncio.sleep(random.random() / 500)
                writer.write(target[2:])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port, reuse_port=True, backlog=256)
    os.write(log, b"ready -\n")
    await server.serve_forever()


class MortalUpstream:
    """An upstream process on a port that stays reserved while it is dead.

    `notes` is where it writes down every request that it has read whole, before it responds.
    """

    def __init__(self, notes: Path) -> None:
        self._notes = notes
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self._process: asyncio.subprocess.Process | None = None
        self._starts = 0
        self.port: int = self._reserved.getsockname()[1]

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._starts += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", __file__, str(self.port), str(self._notes)
        )
        while self.noted()[("ready", "-")] < self._starts:
            assert self._process.returncode is None, "the upstream ended before it listened"
            await asyncio.sleep(0.005)

    async def kill(self) -> None:
        """Kill it as it stands (SIGKILL) and wait until the kernel has closed its sockets."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def noted(self) -> Counter[tuple[str, str]]:
        """Return how often each method and target was read whole."""
        text = self._notes.read_text() if self._notes.exists() else ""
        return Counter((line.split()[0], line.split()[1]) for line in text.splitlines())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self._reserved.close()


def main(arguments: Sequence[str]) -> None:
    """Serve on the port that is the first argument; note requests in the file that is the second."""
    log = os.open(arguments[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    asyncio.run(_serve(int(arguments[0]), log))


if __name__ == "__main__":
    main(sys.argv[1:])
