"""Measures a proxy without load: its memory, that of idle connections, and its start."""

import resource
import socket
import time
from contextlib import ExitStack

from bench.cpu import resident_bytes
from bench.load import LoadError, wait_for_answer
from bench.roster import Peer, Site, started
from bench.scenarios import ORIGIN

CONNECTIONS = 2000
# Long enough for an event loop or a garbage collector to clean up after the last request.
_SETTLE = 0.5


def allow_descriptors(wanted: int) -> None:
    """Raise this process's limit of open files to `wanted`. Raises LoadError if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise LoadError(f"{wanted} descriptors are needed and {hard} allowed: raise `ulimit -n`")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _ask(opened: socket.socket) -> None:
    opened.sendall(
        b"GET /small.json HTTP/1.1\r\nHost: bench\r\nOrigin: %b\r\n\r\n" % ORIGIN.encode()
    )
    answer = b""
    # The upstream's text ends with this and contains it nowhere else.
    while not answer.endswith(b'"}') and not answer.endswith(b"0\r\n\r\n"):
        piece = opened.recv(65536)
        if not piece:
            raise LoadError(
                f"an idle connection was closed after {len(answer)} bytes: {answer[:80]!r}"
            )
        answer += piece


def seconds_to_first_answer(peer: Peer, site: Site) -> float:
    """Start `peer` and return the seconds until it has forwarded a response."""
    began = time.perf_counter()
    with started(peer, site) as running:
        wait_for_answer(running.port, alive=running.alive)
        return time.perf_counter() - began


def memory(peer: Peer, site: Site) -> tuple[float, float]:
    """Return MB resident after a first response, and KB more for each of 2000 idle connections.

    Each connection has received one response before it is idle. Raises LoadError if one is closed.
    """
    allow_descriptors(2 * CONNECTIONS + 256)
    with started(peer, site) as running, ExitStack() as stack:
        wait_for_answer(running.port, alive=running.alive)
        time.sleep(_SETTLE)
        before = resident_bytes(running.pid)
        for _ in range(CONNECTIONS):
            opened = socket.create_connection(("127.0.0.1", running.port), timeout=5)
            _ask(stack.enter_context(opened))
        time.sleep(_SETTLE)
        after = resident_bytes(running.pid)
    return before / 1e6, (after - before) / 1024 / CONNECTIONS
