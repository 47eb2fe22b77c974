"""Passes bytes unchanged in both directions after a 101 (forwarding.md H17).

From the 101 on, a tunnel replaces the forwarded request on both connections.
"""

from collections.abc import Callable

from corsproxy.proxy import faults
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.exchange import Exchange
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.upstream.connection import UpstreamConnection, send_fin


class Tunnel:
    """A tunnel between a client and an upstream; `on_end` is called once, before the client is closed.

    `idle` is for how many seconds it may be silent in both directions; 0 means no limit.
    """

    def __init__(
        self,
        exchange: Exchange,
        upstream: UpstreamConnection,
        *,
        idle: float,
        on_end: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._client = exchange.client
        self._clock = exchange.state.clock
        self._upstream = upstream
        self._idle = idle
        self._on_end = on_end
        self._last_activity = self._clock.now
        self._half_closed = False
        self._is_over = False

    def begin(self, early: bytes) -> None:
        """Send `early`, which arrived before the 101, and apply back-pressure (S8, F7).

        A connection reports a full buffer once, and did so to the exchange if it was full before.
        """
        self._arm()
        # First, because `early` may itself fill the upstream's buffer
        # (https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
        if early:
            self._upstream.write(early)
        if self._upstream.is_write_paused:
            self._client.pause_upload()
        if self._client.is_write_paused:
            self._upstream.pause_reading()

    # --- what the client does --------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """Send bytes of the client to the upstream; return b"", since none are a later request."""
        self._last_activity = self._clock.now
        self._upstream.write(data)
        return b""

    def client_half_closed(self) -> bool:
        """Forward the client's FIN; return whether the client's connection stays open for writing.

        Each direction of a TCP connection ends by itself
        (https://www.rfc-editor.org/rfc/rfc9293.html#section-3.6).
        """
        transport = self._client.transport
        other = self._upstream.transport
        # First, because the loops' TLS cannot close one direction only: then both end.
        if not (transport.can_write_eof() and other.can_write_eof()):
            return False
        if self._half_closed:
            other.close()  # both directions have ended; `upstream_left` ends the tunnel once all is sent
        else:
            self._half_closed = True
            send_fin(other)
        return True

    def client_paused(self) -> None:
        """Stop reading from the upstream while the client does not read (F7)."""
        self._upstream.pause_reading()

    def client_resumed(self) -> None:
        """Resume reading from the upstream."""
        self._last_activity = self._clock.now
        self._upstream.resume_reading()

    def client_left(self) -> None:
        """End the tunnel after its client left; send the upstream what the client had sent."""
        self._end(None, flush=True)

    # --- what the upstream does ------------------------------------------------------------

    def upstream_sent(self, data: bytes) -> None:
        """Send bytes of the upstream to the client."""
        self._last_activity = self._clock.now
        self._exchange.bytes_sent += len(data)
        self._client.write(data)

    def upstream_half_closed(self) -> bool:
        """Forward the upstream's FIN; return whether its connection stays open for writing."""
        transport = self._client.transport
        both = transport.can_write_eof() and self._upstream.transport.can_write_eof()
        # As in `client_half_closed`; and if this is the second FIN, both directions have ended.
        if self._half_closed or not both:
            return False
        self._half_closed = True
        send_fin(transport)
        return True

    def upstream_paused(self) -> None:
        """Stop reading from the client while the upstream does not read (F7)."""
        self._client.pause_upload()

    def upstream_resumed(self) -> None:
        """Resume reading from the client."""
        self._client.resume_upload()

    def upstream_left(self, fault: Fault) -> None:
        """End the tunnel after its upstream's connection was lost."""
        self._exchange.note = fault.note
        self._end(fault.kind)

    # --- the end ---------------------------------------------------------------------------

    def expired(self, now: float) -> None:
        """End the tunnel if it was silent for `idle`; else move the deadline."""
        idle_until = self._last_activity + (self._idle or NEVER)
        if idle_until > now:
            self._client.deadline = idle_until
        else:
            self._end(None)  # silence is not a fault

    def client_stalled(self) -> None:
        """End the tunnel: the client has read nothing for `write_idle` (O1)."""
        self._end(faults.WRITE_STALLED, cut=True)

    def _arm(self) -> None:
        self._client.deadline = self._clock.after(self._idle)

    def _end(self, fault: FaultKind | None, *, cut: bool = False, flush: bool = False) -> None:
        if self._is_over:
            return
        self._is_over = True
        if flush:
            self._upstream.finish(self._exchange.state.config.server.timeouts.write_idle)
        else:
            self._upstream.close()
        self._exchange.fault = fault
        # Before the client is closed: `on_end` accounts for the exchange.
        self._on_end()
        if cut:
            self._client.cut(reset=False)
        else:
            self._client.close_now()
