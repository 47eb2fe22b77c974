"""A resolver by script: what names have at the moment, and which lookups hang."""

import socket
import threading
from collections.abc import Sequence

from corsproxy.proxy.upstream.resolve import AddressInfo


def info(address: str) -> AddressInfo:
    """Return what a lookup gives for one address."""
    if ":" in address:
        where: tuple[str, int] | tuple[str, int, int, int] = (address, 0, 0, 0)
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 0))


class Names:
    """A `LookUp`: each name has `addresses`, unless `error` is raised; those in `hangs` wait.

    `asked` holds the names in the order in which they were looked up.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.error: Exception | None = None
        self.hangs: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[AddressInfo]:
        """Look `host` up; called in a thread."""
        self.asked.append(host)
        if (released := self.hangs.get(host)) is not None:
            released.wait()
        if self.error is not None:
            raise self.error
        return [info(address) for address in self.addresses]

    def hang(self, host: str) -> threading.Event:
        """Let lookups of `host` hang until the returned event is set."""
        self.hangs[host] = threading.Event()
        return self.hangs[host]


class Time:
    """Seconds that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def threads_for(host: str) -> list[threading.Thread]:
    """Return the threads that look `host` up."""
    return [one for one in threading.enumerate() if one.name == f"resolve {host}"]
