"""A connection to an upstream: sends requests and parses responses for its current user.

A connection has one user at a time: the handler of a response, the handler of a tunnel, or none while
it is idle. Data that arrives while it is idle belongs to no request and ends the connection
(forwarding.md S12).
"""

import asyncio
import socket
import ssl
from typing import Final

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.field_parsers import response_field_parser
from corsproxy.proxy.http.bodies import Body, UntilClose
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.transports import Farewell, bounded, takes_writes, unsent, wire_below
from corsproxy.proxy.upstream.handlers import ConnectionOwner, ResponseHandler, TunnelHandler
from corsproxy.proxy.upstream.probe import Probe
from corsproxy.proxy.upstream.response_reader import ResponseReader, read_body

# In bytes: a read of this size ends the connection's turn of the loop (S9). uvloop reads a socket that
# fills its buffer up to 32 times in a turn, and large heads cost as much as many small ones.
LARGE_READ: Final = 64 * 1024
# How many heads, interim and final, are parsed in one turn of the loop (S9).
_MOST_HEADS: Final = 16


def send_fin(transport: asyncio.Transport) -> None:
    """Send a FIN on `transport`, which is still read; abort it if the peer has left."""
    try:
        transport.write_eof()
    except OSError:
        # The peer left while reading was paused: asyncio does not catch ENOTCONN of shutdown().
        transport.abort()


class UpstreamConnection(asyncio.Protocol):
    """A connection to an upstream, lent by its pool to one exchange at a time.

    `keep_alive` is whether both sides keep it open after the current response, `kept_for` for how many
    seconds the upstream has announced to (F4).
    """

    __slots__ = (
        "_farewell",
        "_is_turn_over",
        "_pool",
        "_reader",
        "_rest",
        "_wire",
        "handler",
        "has_responded",
        "is_open",
        "is_read_paused",
        "is_request_sent",
        "is_write_paused",
        "keep_alive",
        "kept_for",
        "probe",
        "sock",
        "transport",
        "tunnel",
        "was_reused",
    )

    transport: asyncio.Transport
    sock: socket.socket
    probe: Probe

    def __init__(self, pool: "ConnectionOwner[UpstreamConnection]") -> None:
        self._pool = pool
        self._reader = ResponseReader(response_field_parser(asyncio.get_running_loop()))
        self._wire: asyncio.Transport | None = None
        self._farewell: Farewell | None = None
        self._rest = b""
        self._is_turn_over = False
        self.handler: ResponseHandler | None = None
        self.tunnel: TunnelHandler | None = None
        self.is_open = False
        self.is_read_paused = False
        self.is_write_paused = False
        self.is_request_sent = True
        self.keep_alive = False
        self.kept_for: float | None = None
        self.has_responded = False
        self.was_reused = False

    # --- lending -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limit the buffers of the transport (O6)."""
        self._wire = wire_below(transport)
        self.transport = bounded(transport, self._wire)
        self.is_open = True

    def opened(self, sock: socket.socket) -> None:
        """Make the connection, whose socket is `sock`, ready for its first request."""
        self.sock = sock
        self.probe = Probe(sock)
        self.keep_alive = True

    def begin(self, handler: ResponseHandler, method: bytes) -> None:
        """Lend the connection to `handler`, whose request has `method`."""
        self.handler = handler
        self._reader.begin(method)
        self.keep_alive = False
        self.is_request_sent = False
        self.was_reused = self.has_responded
        self.has_responded = False

    @property
    def is_reusable(self) -> bool:
        """Whether its next response can only belong to the next request (S12).

        Both sides keep it open, and every byte of the last request was sent. If the rest of an upload
        was dropped, the upstream would parse the next request as that rest
        (https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3).
        """
        return (
            self.keep_alive
            and self.is_request_sent
            and self.is_open
            and not unsent(self.transport, self._wire)
        )

    # --- writing -----------------------------------------------------------------------------

    def send(self, data: bytes, *, is_last: bool) -> None:
        """Write a piece of the request; `is_last` if it completes the request, last chunk included."""
        self.is_request_sent = self.write(data) and is_last

    def write(self, data: bytes) -> bool:
        """Write `data`; return False if the connection is closing."""
        if not takes_writes(self.transport, self._wire):
            return False
        self.transport.write(data)
        return True

    def pause_writing(self) -> None:
        """Pause the user: the upstream reads more slowly than we write (F7)."""
        self.is_write_paused = True
        user = self.handler or self.tunnel
        if user is not None:
            user.upstream_paused()

    def resume_writing(self) -> None:
        """Resume the user: the upstream has caught up."""
        self.is_write_paused = False
        user = self.handler or self.tunnel
        if user is not None:
            user.upstream_resumed()

    # --- reading, one turn of the loop after the other (S9) ----------------------------------

    def pause_reading(self) -> None:
        """Pause reading until resumed (F7)."""
        if not self.is_read_paused:
            self.is_read_paused = True
            if not self._is_turn_over:
                self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading, in the next turn of the loop if this turn is over for the connection."""
        if self.is_read_paused:
            self.is_read_paused = False
            if self._rest:
                self._end_turn()
            elif not self._is_turn_over:
                self.transport.resume_reading()

    def read_at_once(self) -> None:
        """Resume reading at once: the response that a slow client paused is complete (S12)."""
        if self.is_read_paused or self._is_turn_over:
            self.is_read_paused = self._is_turn_over = False
            self.transport.resume_reading()

    def _end_turn(self, rest: bytes = b"") -> None:
        """Parse `rest`, and what follows, in the next turn of the loop, after other connections.

        Responses in tiny pieces cost the most, and one read can contain 256 000 bytes of them (S9).
        """
        self._rest = rest or self._rest
        if not self._is_turn_over:
            self._is_turn_over = True
            if not self.is_read_paused:
                self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Parse a share of the rest; resume reading one turn later."""
        if not (self._is_turn_over and self.is_open):
            return
        if self._rest and not self.is_read_paused:
            asyncio.get_running_loop().call_soon(self._next_turn)
            rest, self._rest = self._rest, b""
            self.data_received(rest)
            return
        self._is_turn_over = False
        if not self.is_read_paused:
            self.transport.resume_reading()

    # --- what arrives ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse `data` for the connection's user; close the connection if it has none (S12)."""
        if len(data) >= LARGE_READ:
            self._end_turn()
        handler = self.handler
        if handler is not None:
            self.has_responded = True
            try:
                body = self._reader.body
                if body is None:
                    self._read_heads(data, handler)
                else:
                    self._read_body(body, data, handler)
            except Fault as fault:
                self.fail(fault)
        elif self.tunnel is not None:
            self.tunnel.upstream_sent(data)
        # Last: without an outstanding request the data cannot be a response (S12;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.2).
        elif self.is_open and self._farewell is None:
            self._pool.record_excess()
            self.close()

    def _read_heads(self, data: bytes, handler: ResponseHandler) -> None:
        """Parse heads up to the final one; interim responses precede it (H13).

        https://www.rfc-editor.org/rfc/rfc9110.html#section-15.2
        """
        for _ in range(_MOST_HEADS):
            found = self._reader.read_head(data)
            if found is None:
                return
            head, data = found
            if head.status >= 200:
                self._start_response(head, data, handler)
                return
            handler.interim_received(head)
            # A 101 may have turned the connection into a tunnel: what follows is not HTTP and must not
            # be parsed as a head (H17; https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
            if self.tunnel is not None:
                if data:
                    self.tunnel.upstream_sent(data)
                return
            if not data:
                return
        self._end_turn(data)

    def _start_response(self, head: ResponseHead, data: bytes, handler: ResponseHandler) -> None:
        payload, rest = self._reader.begin_body(head, data)
        body = self._reader.body
        self.keep_alive = head.keep_alive and type(body) is not UntilClose
        self.kept_for = head.kept_for
        if body is not None and not body.complete:
            handler.response_started(head, body, payload)
            if rest:
                self._end_turn(rest)
            return
        # Before `response_ended`, which returns the connection to the pool: after excess bytes it must
        # not be reused (S11, H12; https://www.rfc-editor.org/rfc/rfc9112.html#section-6.3).
        if rest:
            self._record_excess()
        handler.response_started(head, body, payload)
        if self.handler is handler:  # else writing the head ended the exchange and this connection
            handler.response_ended()

    def _read_body(self, body: Body, data: bytes, handler: ResponseHandler) -> None:
        payload = read_body(body, data)
        if payload:
            handler.body_received(payload)
        if (
            self.handler is not handler
        ):  # writing the payload ended the exchange and this connection
            return
        if not body.complete:
            if body.excess:
                self._end_turn(body.excess)
            return
        if body.excess:
            self._record_excess()  # before `response_ended`, as in `_start_response`
        handler.response_ended()

    def _record_excess(self) -> None:
        """Record bytes after a response: upstream and proxy disagree on where it ends (S12)."""
        self.keep_alive = False
        self._pool.record_excess()

    def eof_received(self) -> bool:
        """Handle a FIN: it ends a body without a length, or one direction of a tunnel.

        Return True to keep the connection open. Any other response is incomplete: `connection_lost`
        follows and fails it (F1; https://www.rfc-editor.org/rfc/rfc9112.html#section-8).
        """
        if self.tunnel is not None:
            return self.tunnel.upstream_half_closed()
        handler = self.handler
        if (
            handler is not None
            and type(self._reader.body) is UntilClose
            and self._is_end_authentic()
        ):
            handler.response_ended()
        return False

    def _is_end_authentic(self) -> bool:
        """Return whether the upstream itself sent the FIN: over TLS, a close_notify precedes it.

        Anyone on the path can forge a FIN and so truncate a response (F1;
        https://www.rfc-editor.org/rfc/rfc8446.html#section-6.1).
        """
        tls = self.transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    # --- the next user, and the end ----------------------------------------------------------

    def become_tunnel(self, tunnel: TunnelHandler) -> None:
        """Pass all further bytes to `tunnel`; no more responses are parsed."""
        self.handler = None
        self.tunnel = tunnel
        self._pool.became_tunnel(self)

    def finish(self, idle: float) -> None:
        """Close a tunnel's connection once all is sent; abort it if nothing is sent for `idle` seconds."""
        self.handler = self.tunnel = None
        if self.is_open and self._farewell is None:
            self.resume_reading()  # and drop it: closing with unread data would send a reset
            self._farewell = Farewell(self.transport, self._wire, idle)

    def fail(self, fault: Fault) -> None:
        """End the connection, and fail the response with `fault`."""
        handler = self.handler
        self.close()
        if handler is not None:
            handler.response_failed(fault)

    def close(self) -> None:
        """Abort the connection without notifying its user."""
        self.handler = self.tunnel = None
        if self.is_open:
            self.is_open = False
            self._pool.remove(self)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from its pool, and fail its user."""
        if self._reader.body is not None or self.tunnel is not None:
            fault = Fault(faults.UPSTREAM_TRUNCATED, "the connection was lost")
        else:
            fault = Fault(
                faults.UPSTREAM_CLOSED,
                "connection reset" if exc is not None else "connection closed",
            )
        handler, tunnel = self.handler, self.tunnel
        self.is_open = False
        self.handler = self.tunnel = None
        # It refers back to this connection: without this only the garbage collector frees it (O6).
        self._wire = None
        if self._farewell is not None:
            self._farewell.cancel()
        # First the pool: a request that is retried needs the place of this connection (F3;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3.1).
        self._pool.remove(self)
        if handler is not None:
            handler.response_failed(fault)
        elif tunnel is not None:
            tunnel.upstream_left(fault)
