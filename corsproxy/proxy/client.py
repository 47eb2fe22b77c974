"""Splits the bytes of one client into requests and runs their exchanges one after the other.

`Exchange` serves a request; `ClientInput` and `ClientStream` decide when the connection is read,
written and closed.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from corsproxy.proxy import faults
from corsproxy.proxy.accounting import account_unread, record_of_unread
from corsproxy.proxy.admit import Forward, refuse
from corsproxy.proxy.client_input import ClientInput
from corsproxy.proxy.client_stream import PIPELINE, WRITE
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.exchange import DRAINED, Exchange
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.field_parsers import request_field_parser
from corsproxy.proxy.forwarded import Peer, address_of_peer
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.heads import check_start
from corsproxy.proxy.http.bodies import BadChunk, Body
from corsproxy.proxy.http.request_head import RequestHead, read_request_head
from corsproxy.proxy.serialize import CLOSE, serialize_local_response
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.transports import takes_writes
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upstream.connection import LARGE_READ

if TYPE_CHECKING:
    from corsproxy.proxy.http.framing import ParseFields

# How many requests of one client may begin in one turn of the loop (S9).
_MOST_A_TURN: Final = 16
# For how long the rest of a body is read after the response, in seconds (S10).
_DRAIN_TIME: Final = 1.0
# How long a connection above the limit may take to send the request that gets 503, in seconds.
_SURPLUS_TIME: Final = 1.0
_NO_PEER: Final = Peer(b"unknown", b"http")


class TlsHandshake(Protocol):
    """The TLS handshake that preceded a client's connection."""

    deadline: float

    def made(self) -> None:
        """Count the connection as a client's from now on."""


class ClientConnection(ClientInput):
    """A client's connection. Its requests are served in order, one at a time (S9).

    While more than `HIGH_WATER` bytes wait to be written, no request is begun or read (F7): a client
    that does not read delays only itself.
    """

    __slots__ = (
        "_drained",
        "_half_closed",
        "_handshake",
        "_is_new",
        "_parser",
        "_serving",
        "_waiting",
        "is_surplus",
        "peer",
    )

    def __init__(self, state: ServerState, handshake: TlsHandshake | None = None) -> None:
        super().__init__(state)
        self.peer = _NO_PEER
        self.is_surplus = False
        self._handshake = handshake
        self._parser: ParseFields | None = None
        self._serving = False
        self._drained = 0
        self._half_closed = False
        self._is_new = True
        self._waiting = state.connections.eviction.waiting  # used with every request

    # --- the connection --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection; reject it with 503 above `max_connections` (O2).

        The time limit of its first head runs from accept on, TLS handshake included.
        """
        self._attach(transport)
        peername = transport.get_extra_info("peername")
        self.peer = Peer(
            address_of_peer(peername[0]) if isinstance(peername, tuple) else b"unknown",
            b"http" if transport.get_extra_info("sslcontext") is None else b"https",
        )
        state, connections = self.state, self.state.connections
        handshake, self._handshake = self._handshake, None
        if handshake is None:
            self.deadline = self.clock.after(state.config.server.timeouts.request_header)
        else:
            handshake.made()
            self.deadline = handshake.deadline
        connections.register(self, self.transport)
        count, served = connections.count, connections.limits.served
        if count > served:
            idle = "an idle connection can be closed"
            state.reports.overloaded("the number of connections", served, idle)
        if connections.make_room(count):
            self._waiting[self] = None
        else:
            self._reject()

    def _reject(self) -> None:
        """Respond to one request at most, with 503 and the CORS headers of its route (O2).

        Without a response a page's script sees the same as with a network that fails.
        """
        connections = self.state.connections
        if connections.count > connections.limits.served + connections.limits.held:
            self.transport.abort()
            return
        self.is_surplus = True
        self.deadline = self.clock.after(_SURPLUS_TIME)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Unregister the connection and abandon its exchange (F6)."""
        connections = self.state.connections
        connections.unregister(self)
        self._closing = True
        self._held = b""
        self.leftover = None
        # Both refer back to this connection: without this only the garbage collector frees it (O6).
        self._parser = self._wire = None
        connections.watch.discard(self)
        connections.write_paused.discard(self)
        # Last of all, so that the end of the exchange finds the connection unregistered.
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.client_left()

    def data_received(self, data: bytes) -> None:
        """Pass `data` to the exchange under way, else parse it as the next request."""
        if len(data) >= LARGE_READ:
            self._end_turn()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        # In the order of the stream: the body of the request under way, then the rest of a body
        # whose response was sent early, and only then the next head (S1, S10;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3).
        handler = self.handler
        if handler is not None:
            data = handler.receive(data)
            if self.is_write_paused:
                self._pause_for_write()  # not before: the body had to be read to its end
            if data:
                if self.handler is None:
                    self._serve(data)
                else:
                    self._hold(data, handler)
        elif self._lingering or self._closing:
            # Discarded: its response could not be sent any more (S10;
            # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.6).
            return
        elif self.leftover is not None:
            data = self._drain(self.leftover, data)
            if data:
                self._serve(data)
        else:
            self._serve(self._held + data if self._held else data)

    def eof_received(self) -> bool:
        """Handle a FIN: forward it in a tunnel, else treat it as `half_close` is configured (H20)."""
        handler = self.handler
        self._half_closed = handler is not None and handler.client_half_closed()
        if self._wire is not None and not self._half_closed:
            # The loops reply to a close_notify with their own and close, so nothing can be written any
            # more (F6; https://www.rfc-editor.org/rfc/rfc8446.html#section-6.1).
            self._await_end()
            if handler is not None:
                handler.client_left()
        return self._half_closed

    # --- requests --------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`, which begins with a head; keep those that cannot begin yet."""
        self._serving = True
        try:
            self._serve_heads(data)
        except Fault as fault:
            self._refuse(fault)
        finally:
            self._serving = False

    def _serve_heads(self, data: bytes) -> None:
        is_begun = bool(self._held)
        self._held = b""
        at = begun = read = 0  # an index: cutting off each head would copy all bytes after it
        while at < len(data) and not self._closing and takes_writes(self.transport, self._wire):
            # Before a head is parsed, because a request that has begun must get its response, and that
            # would be buffered (F7, S9; https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3.2).
            if self.is_write_paused or begun == _MOST_A_TURN or read > LARGE_READ:
                self._postpone(data[at:])
                return
            end = data.find(b"\r\n\r\n", at) + 4
            if end < 4:
                self._hold_head(data[at:], is_begun=is_begun)
                return
            is_begun = self._is_new = False
            begun += 1
            read += end - at
            if self._parser is None:
                self._parser = request_field_parser(self.loop)
            limits = self.state.config.server.limits
            head = read_request_head(self._parser, data[at:end], limits)
            if head.chunked:
                data, at = self._begin(head, data[end:]), 0
            else:
                at = min(end + (head.length or 0), len(data))
                self._begin(head, data[end:at])
            if self.handler is not None:
                if at < len(data):
                    self._hold(data[at:], self.handler)
                return
            if self.leftover is not None and at < len(data):
                data, at = self._drain(self.leftover, data[at:]), 0

    def _begin(self, head: RequestHead, data: bytes) -> bytes:
        """Begin the exchange of a request; return the bytes of `data`, after its head, that it did not take."""
        self._waiting.pop(self, None)
        exchange = Exchange(self, self.state, head)
        admitted = exchange.admit()
        if not isinstance(admitted, Forward):
            return exchange.respond(admitted, data)
        self.handler = forwarding = Forwarding(self, exchange, admitted)
        return forwarding.begin(data)

    def begin_tunnel(self, tunnel: Tunnel) -> bytes:
        """Pass what arrives to `tunnel` from now on; return the bytes that were kept for it.

        A client that does not read delays only that direction of its tunnel (F7).
        """
        self.handler = tunnel
        self.resume(WRITE)
        return self._take_held()

    def exchange_ended(self, exchange: Exchange) -> None:
        """Prepare for the next request after a complete response, or close."""
        self.handler = None
        unread = exchange.unread
        self.resume_upload()
        # Closing first: the response announced it, so no later request may be read. Then the rest of
        # the body, because the next head begins behind it (S10;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3).
        if not exchange.keep_alive or (self._half_closed and not self._held):
            self._close(linger=unread is not None or bool(exchange.head.upgrade))
        elif unread is not None:
            self.leftover = unread
            self._drained = 0
            self.deadline = self.clock.after(_DRAIN_TIME)
        else:
            self._await_next()

    def _await_next(self) -> None:
        self.deadline = self.clock.after(self.state.config.server.timeouts.keepalive)
        if self.is_write_paused:
            self.pause(WRITE)
        self.resume(PIPELINE)
        self._waiting[self] = None
        if self._held and not self._serving:
            self._go_on()
        elif self.state.closing and not self._serving:
            self.close()  # the response was sent before draining began, so it did not announce this

    def _drain(self, body: Body, data: bytes) -> bytes:
        """Read the rest of a body whose response has been sent (S10)."""
        try:
            body.feed(data)
        except BadChunk:
            self._close(linger=True)
            return b""
        rest = body.excess
        if body.complete:
            self.leftover = None
            self._await_next()
            return rest
        self._drained += len(data) - len(rest)
        if rest:
            self._hold_for_next_turn(rest)
        if self._drained > DRAINED:
            self._close(linger=True)
        return b""

    def _refuse(self, fault: Fault) -> None:
        """Respond to a request whose head could not be parsed, and close (cors.md 63)."""
        state = self.state
        request_id = state.new_request_id()
        response = refuse(fault.kind, request_id, None, state.config.default_policy)
        self.write(
            serialize_local_response(response.status, response.lines, response.body, CLOSE, b"")
        )
        account_unread(state, record_of_unread(fault, response, self.peer, request_id))
        self._close(linger=True)

    def _hold_head(self, data: bytes, *, is_begun: bool) -> None:
        """Keep the start of a head; `is_begun` if an earlier piece of it was kept."""
        check_start(data, self.state.config.server.limits)
        if not self.is_surplus:  # that has the deadline of its 503 already
            self._await_rest_of_head(is_begun=is_begun)
        self._held = data
        if self._half_closed:
            self.close_now()  # after a FIN the rest cannot arrive

    def _await_rest_of_head(self, *, is_begun: bool) -> None:
        """Queue for eviction behind the heads that began earlier, and start the limit for this one.

        Later pieces of a head change neither: a client could trickle one forever (O1, O2).
        """
        self._waiting.setdefault(self, None)
        if not is_begun:
            self._waiting.move_to_end(self)
            if not self._is_new:  # the limit of the first head runs from accept on
                self.deadline = self.clock.after(self.state.config.server.timeouts.request_header)

    # --- back-pressure (F7) ----------------------------------------------------------------

    def pause_writing(self) -> None:
        """Pause everything that would write more: the client reads more slowly than we write."""
        self._begin_write_pause()
        if self.handler is not None:
            self.handler.client_paused()
        self._pause_for_write()

    def _pause_for_write(self) -> None:
        """Read no further request while the client does not read; read the current one to its end."""
        handler = self.handler
        if handler is None:
            if not self._closing and self.leftover is None:
                self.deadline = NEVER
                self.pause(WRITE)
        elif type(handler) is Forwarding and handler.upload_complete:
            self.pause(WRITE)

    def resume_writing(self) -> None:
        """Resume what `pause_writing` paused: the client has caught up."""
        self._end_write_pause()
        self.resume(WRITE)
        if self.handler is not None:
            self.handler.client_resumed()
        elif self.leftover is None and not (self._serving or self._closing):
            self._await_next()

    # --- the end ---------------------------------------------------------------------------

    def _close(self, *, linger: bool) -> None:
        """Close once all is sent; `linger` if a reset could destroy the response (S10)."""
        self.leftover = None
        self._held = b""
        if linger and not self.transport.is_closing():
            self.state.connections.eviction.leave(self)
            self._linger()
        else:
            self.close_now()

    def close(self) -> None:
        """Close the connection if it is idle (aiohttp calls this when draining begins)."""
        if self.handler is None and not self._closing and not self._held:
            self._close(linger=self.leftover is not None)

    def give_way(self) -> bool:
        """Close to make room for another connection; return False if a request is under way (O2)."""
        if self._closing or self.handler is not None or (self._held and self._paused):
            return False
        if self._held:  # the start of a head: slow clients could occupy all places with these
            self._refuse(Fault(faults.OVERLOADED))
            return True
        # A server may close an idle connection at any time, but a request that has arrived would be
        # lost (https://www.rfc-editor.org/rfc/rfc9112.html#section-9.5).
        if self._has_unread():
            return False
        self.close_now()
        return True

    def cut_off(self) -> None:
        """Abort the connection, even if data is unsent, and unregister it."""
        self.state.connections.unregister(self)
        self.transport.abort()

    def expired(self, now: float) -> None:
        """Handle the end of `deadline`: it belongs to what the connection waits for now (O1)."""
        self.deadline = NEVER
        # From the latest state of a connection to the first: an exchange sets the deadline while it
        # runs, a connection that closes has no request any more, and 408 is sent only if a head has
        # begun (https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.9).
        if self.handler is not None:
            self.handler.expired(now)
        elif self._closing:
            self._still_open()
        elif self.leftover is not None:
            self._close(linger=True)
        elif self.is_surplus:
            self._refuse(Fault(faults.OVERLOADED))
        elif self._held:
            self._refuse(Fault(faults.REQUEST_TIMEOUT))
        else:
            self.close_now()
