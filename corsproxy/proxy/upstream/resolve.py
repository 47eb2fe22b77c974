"""Resolves the names of upstreams, each in a thread of its own.

`getaddrinfo` blocks its thread and cannot be cancelled, so each name has at most one thread, and no
name waits for the lookup of another (forwarding.md F9).
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final
from weakref import WeakValueDictionary

import aiohappyeyeballs

AddressInfo = aiohappyeyeballs.AddrInfoType
LookUp = Callable[[str], Sequence[AddressInfo]]

_GOOD_FOR: Final = 10.0
_FAILED_FOR: Final = 1.0
# How long a lookup may run before expired addresses are used instead, in seconds: the client response
# timer of https://www.rfc-editor.org/rfc/rfc8767.html#section-5. While the resolver works, no connection
# is opened to an address that another machine may have by now.
_HEAD_START: Final = 0.25
# The name does not exist. Any other failure is the resolver's: the addresses may still be valid.
_GONE: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def look_up(host: str) -> Sequence[AddressInfo]:
    """Return the addresses of `host`, with port 0, from the system's resolver. Blocks; raises OSError."""
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)


class Resolver:
    """The names of all upstreams of one worker. Belongs to one loop, and survives reloads.

    `look_up` is called in a thread; `now` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        look_up: LookUp = look_up,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._now = now
        # Pools and a running thread refer to their names, so a name whose lookup hangs survives a reload
        # that no longer uses it: the next reload must not start a second thread.
        self._names: WeakValueDictionary[str, Name] = WeakValueDictionary()

    def name(self, host: str) -> "Name":
        """Return the name `host`: the same object for each caller."""
        name = self._names.get(host)
        if name is None:
            name = self._names[host] = Name(host, self._look_up, self._now)
        return name


class Name:
    """One name: its addresses or its failure, and the lookup that may be in flight."""

    def __init__(self, host: str, look_up: LookUp, now: Callable[[], float]) -> None:
        self._host = host
        self._look_up = look_up
        self._now = now
        self._addresses: Sequence[AddressInfo] = ()
        self._good_until = float("-inf")
        self._failure = OSError("not looked up yet")
        self._failed_until = float("-inf")
        self._in_flight: asyncio.Future[None] | None = None
        self._began = 0.0

    async def addresses(self) -> Sequence[AddressInfo]:
        """Return at least one address, each with port 0; wait for a lookup if one is needed.

        Expired addresses are returned if the lookup takes long. Raise OSError if the last lookup
        failed. The lookup goes on if the caller is cancelled: others may wait for it.
        """
        now = self._now()
        # Fresh addresses, then expired ones after a short wait, then the failure: an upstream stays
        # reachable while the resolver fails (F9; https://www.rfc-editor.org/rfc/rfc8767.html#section-5).
        if now < self._good_until:
            return self._addresses
        if self._in_flight is None and now >= self._failed_until:
            self._start(now)
        if self._in_flight is not None:
            # From the start of the lookup on: if the resolver hangs, only the first callers wait.
            left = max(0.0, self._began + _HEAD_START - now)
            limit = left if self._addresses else None
            await asyncio.wait((self._in_flight,), timeout=limit)
        if self._addresses:
            return self._addresses
        # A new exception: one that is raised again keeps the frames of all who raised it.
        raise type(self._failure)(*self._failure.args)

    def expire(self, addresses: Sequence[AddressInfo]) -> None:
        """Expire `addresses`, an earlier result: no connection could be opened to any of them.

        If a later lookup has replaced them, its addresses stay.
        """
        if addresses is self._addresses:
            self._good_until = float("-inf")

    def _start(self, now: float) -> None:
        loop = asyncio.get_running_loop()
        self._in_flight = loop.create_future()
        self._began = now
        # A daemon, because a lookup that hangs must not delay the exit of the process.
        thread = Thread(target=self._run, args=(loop,), name=f"resolve {self._host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system allows no more threads
            self._end((), socket.gaierror(socket.EAI_AGAIN, str(error)))

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look the name up; runs in the thread."""
        addresses: Sequence[AddressInfo] = ()
        failure: OSError = socket.gaierror(socket.EAI_FAIL, "the lookup returned no address")
        try:
            addresses = self._look_up(self._host)
        except OSError as error:
            failure = error.with_traceback(None)
        except UnicodeError as error:  # the codec "idna" rejects it: the name cannot exist
            failure = socket.gaierror(socket.EAI_NONAME, str(error))
        finally:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
                loop.call_soon_threadsafe(self._end, addresses, failure)

    def _end(self, addresses: Sequence[AddressInfo], failure: OSError) -> None:
        """Store the result of the lookup, and wake the callers that wait for it."""
        in_flight, self._in_flight = self._in_flight, None
        now = self._now()
        if addresses:
            self._addresses = addresses
            self._good_until = now + _GOOD_FOR
        else:
            self._failure = failure
            self._failed_until = now + _FAILED_FOR
            if failure.errno in _GONE:
                self._addresses = ()
        if in_flight is not None:
            in_flight.set_result(None)
