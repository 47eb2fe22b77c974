"""Finds heads in what arrives from one client, and runs one exchange after the other.

What becomes of a request is the exchange's matter. When the connection is read from, written to and
ended is that of `ClientInput` and `ClientStream`.
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

# How many requests of one client may begin before others have their turn (S9).
_MOST_A_TURN: Final = 16
# How long what is left of a body is read after the response, in seconds (S10).
_DRAIN_TIME: Final = 1.0
# How long a connection beyond the limit may take for the request that gets 503, in seconds.
_SURPLUS_TIME: Final = 1.0
_NOBODY: Final = Peer(b"unknown", b"http")


class TlsHandshake(Protocol):
    """The handshake that a TLS connection went through before it became a client's."""

    deadline: float

    def made(self) -> None:
        """Count the connection as a client's from now on."""


class ClientConnection(ClientInput):
    """A client's connection. Its requests are answered in order, one at a time (S9).

    While more is waiting to be written than `HIGH_WATER`, no request is begun and none read (F7):
    what a client does not read can only ever hold up itself.
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
        self.peer = _NOBODY
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

        The time for the head of its first request began when it was accepted.
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
            idle = "an idle connection makes way"
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
        """Unregister; whatever was under way is not wanted any more (F6)."""
        connections = self.state.connections
        connections.unregister(self)
        self._closing = True
        self._held = b""
        self.leftover = None
        # They lead back here: what is closed would wait for the garbage collector.
        self._parser = self._wire = None
        connections.watch.discard(self)
        connections.write_paused.discard(self)
        # Last of all, so that nothing which the end of the exchange does finds the connection open.
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.client_left()

    def data_received(self, data: bytes) -> None:
        """Pass what arrived to what it belongs to: the exchange, the next head, or nothing."""
        if len(data) >= LARGE_READ:
            self._end_turn()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        handler = self.handler
        if handler is not None:
            data = handler.receive(data)
            if self.is_write_paused:
                self._pause_for_write()  # the body that was still to be read may have ended
            if data:
                if self.handler is None:
                    self._serve(data)
                else:
                    self._hold(data, handler)
        elif self._lingering or self._closing:
            return  # S10: discarded
        elif self.leftover is not None:
            data = self._drain(self.leftover, data)
            if data:
                self._serve(data)
        else:
            self._serve(self._held + data if self._held else data)

    def eof_received(self) -> bool:
        """Handle a FIN: a tunnel passes it on, else it may mean that the client has left (H20)."""
        handler = self.handler
        self._half_closed = handler is not None and handler.client_half_closed()
        if self._wire is not None and not self._half_closed:
            # Nothing can be written from now on: TLS closes by itself, however long that takes (F6).
            self._await_end()
            if handler is not None:
                handler.client_left()
        return self._half_closed

    # --- requests --------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`, which begins with a head; hold what cannot begin yet."""
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
        at = begun = read = 0  # an index, for to cut off each head would copy all that is behind it
        while at < len(data) and not self._closing and takes_writes(self.transport, self._wire):
            # First of all, because a request that is begun has to be answered (F7, S9).
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
        """Begin the exchange of a request; return what in `data`, behind its head, was not taken."""
        self._waiting.pop(self, None)
        exchange = Exchange(self, self.state, head)
        admitted = exchange.admit()
        if not isinstance(admitted, Forward):
            return exchange.respond(admitted, data)
        self.handler = forwarding = Forwarding(self, exchange, admitted)
        return forwarding.begin(data)

    def begin_tunnel(self, tunnel: Tunnel) -> bytes:
        """Give what arrives to `tunnel` from now on; return what was held for it.

        A client that does not read what it is sent only holds up that direction of a tunnel (F7).
        """
        self.handler = tunnel
        self.resume(WRITE)
        return self._take_held()

    def exchange_ended(self, exchange: Exchange) -> None:
        """Go on behind a response that is complete."""
        self.handler = None
        unread = exchange.unread
        self.resume_upload()
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
            self.close()  # its response promised to keep it, before the drain began

    def _drain(self, body: Body, data: bytes) -> bytes:
        """Read on what is left of a body whose request has its response (S10)."""
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
        """Respond to a request whose head could not be read, and close (cors.md 63)."""
        state = self.state
        request_id = state.new_request_id()
        response = refuse(fault.kind, request_id, None, state.config.default_policy)
        self.write(
            serialize_local_response(response.status, response.lines, response.body, CLOSE, b"")
        )
        account_unread(state, record_of_unread(fault, response, self.peer, request_id))
        self._close(linger=True)

    def _hold_head(self, data: bytes, *, is_begun: bool) -> None:
        """Keep the start of a head; `is_begun` if a piece of it came before."""
        check_start(data, self.state.config.server.limits)
        if not self.is_surplus:  # whose time is that of the 503
            self._await_rest_of_head(is_begun=is_begun)
        self._held = data
        if self._half_closed:
            self.close_now()  # the rest of it will never come

    def _await_rest_of_head(self, *, is_begun: bool) -> None:
        """Give way after all whose heads began before; later pieces make nobody younger (O2, O1)."""
        self._waiting.setdefault(self, None)
        if not is_begun:
            self._waiting.move_to_end(self)
            if not self._is_new:  # the first head has its time from accept on
                self.deadline = self.clock.after(self.state.config.server.timeouts.request_header)

    # --- back-pressure (F7) ----------------------------------------------------------------

    def pause_writing(self) -> None:
        """Hold everything up that would write more: the client reads more slowly than we write."""
        self._begin_write_pause()
        if self.handler is not None:
            self.handler.client_paused()
        self._pause_for_write()

    def _pause_for_write(self) -> None:
        """Read no more while the client reads nothing; what is under way is read to its end."""
        handler = self.handler
        if handler is None:
            if not self._closing and self.leftover is None:
                self.deadline = NEVER
                self.pause(WRITE)
        elif type(handler) is Forwarding and handler.upload_complete:
            self.pause(WRITE)

    def resume_writing(self) -> None:
        """Go on: the client has caught up."""
        self._end_write_pause()
        self.resume(WRITE)
        if self.handler is not None:
            self.handler.client_resumed()
        elif self.leftover is None and not (self._serving or self._closing):
            self._await_next()

    # --- the end ---------------------------------------------------------------------------

    def _close(self, *, linger: bool) -> None:
        """Close once all is sent; linger if a reset would hide the response (S10)."""
        self.leftover = None
        self._held = b""
        if linger and not self.transport.is_closing():
            self.state.connections.eviction.leave(self)
            self._linger()
        else:
            self.close_now()

    def close(self) -> None:
        """Close an idle connection; leave one alone that has work (called when draining ends)."""
        if self.handler is None and not self._closing and not self._held:
            self._close(linger=self.leftover is not None)

    def give_way(self) -> bool:
        """Close for another connection's sake; return False unless a request is waited for (O2)."""
        if self._closing or self.handler is not None or (self._held and self._paused):
            return False
        if self._held:  # the start of a head: one at a time, they would hold all places
            self._refuse(Fault(faults.OVERLOADED))
            return True
        if self._has_unread():
            return False
        self.close_now()
        return True

    def cut_off(self) -> None:
        """End at once, whatever was still to be sent, and unregister."""
        self.state.connections.unregister(self)
        self.transport.abort()

    def expired(self, now: float) -> None:
        """Handle the end of `deadline`, by what is waited for (O1)."""
        self.deadline = NEVER
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
