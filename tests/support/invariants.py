"""What holds for the connections of the data path at every moment, checked beside any test.

a. A connection is pooled (it idles, or is handed to the next request) only if every byte of its
   request, end mark included, was written to it: what was written since it was lent is exactly one
   whole request, nothing follows it, and nothing of it waits in the transport's buffer (S12).
b. No pooled and no newly lent connection is paused for reading: who pauses it is its present
   user (F7, S12).
c. While a client's write buffer is above its mark no request of its is begun, and none is read (F7).
d. An upstream connection has one exchange at a time, and nothing but that exchange's bytes are
   written to it; what arrives on it is written to that exchange's client alone (S12).

The checks trust nothing that the product notes about itself: they wrap the transports that the
connections get, and parse what is written to them with a reader of their own (`Sent`).
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, cast

import pytest

from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.exchange import Exchange
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upstream.connection import UpstreamConnection
from corsproxy.proxy.upstream.pool import Pool
from tests.support.sent import Sent

_DEFAULT_MARK: Final = 64 * 1024  # of asyncio and uvloop, unless another one is set
_CARRIERS: Final = frozenset({"TCPTransport", "UnixTransport", "_SelectorSocketTransport"})
_OWN: Final = frozenset({"_inner", "_watched"})


def carrier_of(transport: asyncio.Transport) -> Any | None:  # noqa: ANN401 - either loop's own
    """Return the transport below a TLS one, None for one that has the socket itself.

    It is looked for by its type among all that belongs to the TLS layer: nothing is asked of the
    product, and nothing of what the loops call their attributes.
    """
    layer: list[object] = [transport._inner if isinstance(transport, _Tap) else transport]
    for _ in range(4):
        if not type(layer[0]).__name__.startswith(("_SSL", "SSL", "dict")):
            return None
        parts = gc.get_referents(*layer)
        for part in parts:
            if type(part).__name__ in _CARRIERS:
                return part
        layer = [part for part in parts if type(part).__name__ in {"SSLProtocol", "dict"}] or [0]
    return None


class Watched:
    """What is known of one transport and of its user."""

    def __init__(self, transport: asyncio.Transport, violations: list[str]) -> None:
        self.transport = transport
        self.violations = violations
        self.mark = _DEFAULT_MARK
        self.is_paused = False
        self.has_said_goodbye = False

    def wrote(self, data: bytes) -> None:
        """Note that `data` is being written."""

    def paused(self) -> None:
        """Note that reading was paused."""
        self.is_paused = True

    @property
    def unsent(self) -> int:
        """The number of bytes that wait above the kernel's buffers."""
        return self.transport.get_write_buffer_size()

    @property
    def unsent_below(self) -> int:
        """The number of bytes that wait in the transport that carries a TLS one."""
        below = carrier_of(self.transport)
        return 0 if below is None else int(below.get_write_buffer_size())

    @property
    def is_above_mark(self) -> bool:
        """Whether more waits to be sent than the transport's mark allows."""
        return self.unsent > self.mark


class WatchedUpstream(Watched):
    """An upstream's connection: to whom it is lent, and what was written since."""

    def __init__(self, transport: asyncio.Transport, violations: list[str]) -> None:
        super().__init__(transport, violations)
        self.holder: Forwarding | None = None
        self.sent: Sent | None = None
        self.lends = 0

    def wrote(self, data: bytes) -> None:
        """Count what is written; only who has the connection may write."""
        if self.holder is None and not self.transport.is_closing():
            self.violations.append(f"d: {data[:80]!r} written to a connection that nobody has")
        elif self.sent is not None:
            self.sent.feed(bytes(data))

    def paused(self) -> None:
        """Note the pause; only who has the connection may pause it."""
        super().paused()
        if self.holder is None and not self.transport.is_closing():
            self.violations.append("b: a connection that nobody has was paused")

    def lend(self, holder: Forwarding) -> None:
        """Note that `holder` has it from now on."""
        if self.holder is not None:
            self.violations.append(
                f"d: lent to {_line(holder.exchange)} while {_line(self.holder.exchange)} had it",
            )
        self.check_fit(f"lent to {_line(holder.exchange)}")
        self.holder, self.sent = holder, Sent()
        self.lends += 1

    def check_fit(self, what: str) -> None:
        """Note why it may not be pooled or lent just now, if it may not."""
        if self.transport.is_closing():
            return
        if self.sent is not None:
            # Before its first request only the end of a TLS handshake may wait to be sent.
            if fault := self.sent.fault:
                self.violations.append(f"a: a connection was {what} with {fault}")
            if unsent := self.unsent + self.unsent_below:
                self.violations.append(f"a: a connection was {what} with {unsent} bytes unsent")
        if self.is_paused:
            self.violations.append(f"b: a connection was {what} while paused for reading")


class WatchedClient(Watched):
    """A client's connection. `reading` tells whose bytes the data path is handling just now."""

    def __init__(
        self,
        transport: asyncio.Transport,
        violations: list[str],
        reading: Callable[[], "WatchedClient | None"],
    ) -> None:
        super().__init__(transport, violations)
        self._reading = reading

    def wrote(self, data: bytes) -> None:
        """Check that bytes of an upstream go to whom they are for."""
        whose = self._reading()
        if whose is not None and whose is not self:
            self.violations.append(f"d: another client's response was written here: {data[:80]!r}")


class _Tap:
    """A transport between a connection and its own: passes all on, and reports what matters."""

    _inner: asyncio.Transport
    _watched: Watched

    def __init__(self, watched: Watched) -> None:
        self._inner = watched.transport
        self._watched = watched

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:
            setattr(self._inner, name, value)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._watched.mark = _DEFAULT_MARK if high is None else high
        self._inner.set_write_buffer_limits(high, low)

    def write(self, data: bytes) -> None:
        self._watched.wrote(data)
        self._inner.write(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def pause_reading(self) -> None:
        self._watched.paused()
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._watched.is_paused = False
        self._inner.resume_reading()

    def write_eof(self) -> None:
        self._watched.has_said_goodbye = True
        self._inner.write_eof()

    def close(self) -> None:
        self._watched.has_said_goodbye = True
        self._inner.close()

    def abort(self) -> None:
        self._watched.has_said_goodbye = True
        self._inner.abort()


class Invariants:
    """Watches every connection that the data path makes while it is installed."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._upstreams: dict[int, WatchedUpstream] = {}
        self._clients: dict[int, WatchedClient] = {}
        self._reading: WatchedClient | None = None

    def assert_hold(self) -> None:
        """Fail with everything that was seen."""
        seen = self.take()
        assert not seen, f"{len(seen)} violations of tests/support/invariants.py:\n" + "\n".join(
            seen[:20],
        )

    def take(self) -> list[str]:
        """Return and forget the violations."""
        seen = list(self.violations)
        self.violations.clear()
        return seen

    # --- upstream connections --------------------------------------------------------------

    def upstream_made(self, connection: object, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the transport that `connection` is to have."""
        watched = self._upstreams[id(connection)] = WatchedUpstream(transport, self.violations)
        return _tapped(watched)

    def begun(self, connection: object, holder: Forwarding) -> None:
        """Note that `holder` begins to use `connection`."""
        self._upstreams[id(connection)].lend(holder)

    def given_back(self, connection: object, give_back: Callable[[], None]) -> None:
        """Run `give_back`, which pools the connection, hands it on, or closes it."""
        watched = self._upstreams.get(id(connection))
        if watched is None:  # it was lost meanwhile
            give_back()
            return
        watched.holder = None
        lends = watched.lends
        give_back()
        if watched.lends == lends:
            watched.check_fit("pooled")

    def upstream_received(self, connection: object, receive: Callable[[], None]) -> None:
        """Run `receive`, which handles bytes of an upstream; see whose client gets them."""
        watched = self._upstreams.get(id(connection))
        holder = None if watched is None else watched.holder
        if holder is None:
            receive()
            return
        current = cast("ClientConnection", holder.client).handler
        if current is not holder and not isinstance(current, Tunnel):
            self.violations.append(f"d: bytes for {_line(holder.exchange)}, which is over")
        self._reading, before = self._clients.get(id(holder.client)), self._reading
        try:
            receive()
        finally:
            self._reading = before

    def upstream_lost(self, connection: object) -> None:
        """Forget a connection."""
        self._upstreams.pop(id(connection), None)

    # --- clients' connections --------------------------------------------------------------

    def client_made(self, client: object, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the transport that `client` is to have."""
        watched = self._clients[id(client)] = WatchedClient(
            transport, self.violations, lambda: self._reading
        )
        return _tapped(watched)

    def client_received(self, client: ClientConnection, data: bytes) -> None:
        """Check that no request is read while responses wait to be sent.

        A request's own body may be read then (F5), and what a connection that is being closed or
        drained discards (S10).
        """
        watched = self._clients.get(id(client))
        if watched is None or watched.has_said_goodbye or not watched.is_above_mark:
            return
        if client.handler is None and client.leftover is None:
            self.violations.append(
                f"c: {data[:80]!r} was read while {watched.unsent} bytes waited to be sent",
            )

    def exchange_made(self, exchange: Exchange) -> None:
        """Check that no request is begun while responses wait to be sent."""
        watched = self._clients.get(id(exchange.client))
        if watched is not None and watched.is_above_mark:
            self.violations.append(
                f"c: {_line(exchange)} was begun while {watched.unsent} bytes waited to be sent",
            )

    def client_lost(self, client: object) -> None:
        """Forget a client's connection."""
        self._clients.pop(id(client), None)


def _tapped(watched: Watched) -> asyncio.Transport:
    return cast("asyncio.Transport", _Tap(watched))


def _line(exchange: Exchange) -> str:
    head = exchange.head
    return ascii(f"{head.method.decode()} {head.target.decode('latin-1')}"[:80])


def _around(patch: pytest.MonkeyPatch, owner: type, name: str, hook: Callable[..., Any]) -> None:
    """Have `hook` called with the method `name` of `owner` and what that is called with."""
    original = getattr(owner, name)

    @wraps(original)
    def method(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any method's
        return hook(original, *arguments, **named)

    patch.setattr(owner, name, method)


@contextmanager
def watched_invariants() -> Iterator[Invariants]:
    """Watch the data path of this process; fail at the end if an invariant did not hold."""
    seen = Invariants()
    with pytest.MonkeyPatch.context() as patch:
        _watch_upstreams(patch, seen)
        _watch_clients(patch, seen)
        yield seen
    seen.assert_hold()


def _watch_upstreams(patch: pytest.MonkeyPatch, seen: Invariants) -> None:
    def made(original: Any, connection: UpstreamConnection, transport: Any) -> None:  # noqa: ANN401
        original(connection, seen.upstream_made(connection, transport))

    def begin(
        original: Any,  # noqa: ANN401
        connection: UpstreamConnection,
        holder: Any,  # noqa: ANN401
        *more: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> None:
        seen.begun(connection, holder)
        original(connection, holder, *more, **named)

    def give_back(
        original: Any,  # noqa: ANN401
        pool: Pool,
        connection: UpstreamConnection,
        *more: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> None:
        seen.given_back(connection, lambda: original(pool, connection, *more, **named))

    def received(original: Any, connection: UpstreamConnection, data: bytes) -> None:  # noqa: ANN401
        seen.upstream_received(connection, lambda: original(connection, data))

    def lost(original: Any, connection: UpstreamConnection, *why: Any) -> None:  # noqa: ANN401
        original(connection, *why)
        seen.upstream_lost(connection)

    _around(patch, UpstreamConnection, "connection_made", made)
    _around(patch, UpstreamConnection, "begin", begin)
    _around(patch, UpstreamConnection, "data_received", received)
    _around(patch, UpstreamConnection, "connection_lost", lost)
    _around(patch, Pool, "give_back", give_back)


def _watch_clients(patch: pytest.MonkeyPatch, seen: Invariants) -> None:
    def made(original: Any, client: ClientConnection, transport: Any) -> None:  # noqa: ANN401
        original(client, seen.client_made(client, transport))

    def received(original: Any, client: ClientConnection, data: bytes) -> None:  # noqa: ANN401
        seen.client_received(client, data)
        original(client, data)

    def lost(original: Any, client: ClientConnection, *why: Any) -> None:  # noqa: ANN401
        original(client, *why)
        seen.client_lost(client)

    def exchange_made(original: Any, exchange: Exchange, *given: Any, **named: Any) -> None:  # noqa: ANN401
        original(exchange, *given, **named)
        seen.exchange_made(exchange)

    _around(patch, ClientConnection, "connection_made", made)
    _around(patch, ClientConnection, "data_received", received)
    _around(patch, ClientConnection, "connection_lost", lost)
    _around(patch, Exchange, "__init__", exchange_made)
