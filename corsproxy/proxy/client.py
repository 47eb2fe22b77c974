"""One client's connection: finds heads in what arrives, runs one exchange after the other.

Knows where a message begins and ends and when the connection does; what becomes of a request is
the exchange's matter.
"""

import asyncio
import select
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from corsproxy.proxy import faults
from corsproxy.proxy.accounting import record_of_unread
from corsproxy.proxy.admit import refuse
from corsproxy.proxy.deadlines import NEVER, Clock
from corsproxy.proxy.exchange import DRAINED, Exchange, Phase
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.field_parsers import request_field_parser
from corsproxy.proxy.forwarded import Peer, address_of_peer
from corsproxy.proxy.http.bodies import BadChunk, Body
from corsproxy.proxy.http.framing import ParseFields
from corsproxy.proxy.http.request_head import read_request_head
from corsproxy.proxy.pauses import PIPELINE, TURN, UPLOAD, WRITE
from corsproxy.proxy.serialize import CLOSE, serialize_local_response
from corsproxy.proxy.transports import bounded, takes_writes, unacknowledged, wire_below
from corsproxy.proxy.upstream.connection import LARGE_READ, send_fin

if TYPE_CHECKING:
    from corsproxy.proxy.handshakes import Handshake
    from corsproxy.proxy.server import ProxyServer
    from corsproxy.proxy.tunnel import Tunnel

# With this much held, one more read of uvloop's (up to 256 000 bytes) still fits into O6's 256 KiB.
_MAX_HELD: Final = 4 * 1024
# How many requests of one client may begin before others have their turn (S9).
_MOST_A_TURN: Final = 16
_DRAIN_TIME: Final = 1.0
_LINGER_TIME: Final = 2.0
# How often a closed connection is looked at, in seconds; where all is sent, only TLS's goodbye or a
# peer's FIN is left to wait for, and for no longer.
_LOOK: Final = 2.0
# How long a connection beyond the limit may take for the request that is answered 503.
_SURPLUS_TIME: Final = 1.0
_NOBODY: Final = Peer(b"unknown", b"http")
_RESET: Final = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """A client's connection. Its requests are answered in order, one at a time (S9).

    While more is waiting to be written than `HIGH_WATER`, no request is begun and none read (F7):
    what a client does not read can only ever hold up itself.
    """

    __slots__ = (
        "_closing",
        "_drained",
        "_half_closed",
        "_handshake",
        "_has_more",
        "_held",
        "_is_new",
        "_lingering",
        "_parser",
        "_paused",
        "_serving",
        "_unsent",
        "_wire",
        "clock",
        "deadline",
        "exchange",
        "is_surplus",
        "is_write_paused",
        "leftover",
        "loop",
        "peer",
        "server",
        "transport",
        "write_deadline",
    )

    transport: asyncio.Transport

    def __init__(self, server: "ProxyServer", handshake: "Handshake | None" = None) -> None:
        self.server = server
        self.loop = server.loop
        self.clock: Clock = server.clock
        self.exchange: Exchange | Tunnel | None = None
        self.leftover: Body | None = None
        self.deadline = NEVER
        self.is_surplus = False
        self.is_write_paused = False
        self.write_deadline = NEVER
        self.peer = _NOBODY
        self._parser: ParseFields | None = None
        self._held = b""
        self._drained = 0
        self._paused = 0
        self._serving = False
        self._lingering = False
        self._closing = False
        self._half_closed = False
        self._unsent = 0
        self._has_more = False
        self._wire: asyncio.Transport | None = None
        self._handshake = handshake
        self._is_new = True

    # --- the connection --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Enter the connection in the server's books; turn it away above the limit (O2).

        The time for the head of its first request began when it was accepted.
        """
        self._wire = wire_below(transport)
        self.transport = bounded(transport, self._wire)
        peername = transport.get_extra_info("peername")
        self.peer = Peer(
            address_of_peer(peername[0]) if isinstance(peername, tuple) else b"unknown",
            b"http" if transport.get_extra_info("sslcontext") is None else b"https",
        )
        server = self.server
        handshake, self._handshake = self._handshake, None
        if handshake is None:
            self.deadline = self.clock.after(server.config.server.timeouts.request_header)
        else:
            handshake.made()
            self.deadline = handshake.deadline
        server.enter(self, self.transport)
        count, room = server.connection_count, server.room
        if count > room.served:
            idle = "an idle connection makes way"
            server.tell_overload("the number of connections", room.served, idle)
        if server.crowd.make_room(count, room):
            server.crowd.waiting[self] = None
        else:
            self._turn_away()

    def _turn_away(self) -> None:
        """Answer one request at most, with 503 and the CORS headers of its route, and close (O2)."""
        server = self.server
        if server.connection_count > server.room.served + server.room.held:
            self.transport.abort()
            return
        self.is_surplus = True
        self.deadline = self.clock.after(_SURPLUS_TIME)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the books; whatever was under way is not wanted any more (F6)."""
        self.server.connection_lost(self, exc)
        self._closing = True
        self._held = b""
        self.leftover = None
        # They lead back here: what is closed would wait for the garbage collector.
        self._parser = self._wire = None
        self.server.watch.discard(self)
        self.server.write_paused.discard(self)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_left()

    def data_received(self, data: bytes) -> None:
        """Give what arrived to whom it belongs: the exchange, the next head, or nobody."""
        if len(data) >= LARGE_READ:
            self._end_turn()
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            data = exchange.receive(data)
            if self.is_write_paused:
                self._pause_for_write()  # the body that was still to be read may have ended
            if data:
                if self.exchange is None:
                    self._serve(data)
                else:
                    self._hold(data, exchange)
        elif self._lingering or self._closing:
            return
        elif self.leftover is not None:
            data = self._drain(data)
            if data:
                self._serve(data)
        else:
            self._serve(self._held + data if self._held else data)

    def eof_received(self) -> bool:
        """Take a FIN: a tunnel passes it on, otherwise it may mean that the client has left (H20)."""
        exchange = self.exchange
        self._half_closed = exchange is not None and exchange.client_half_closed()
        if self._wire is not None and not self._half_closed:
            # Nothing can be written from now on: TLS closes by itself, however long that takes (F6).
            self._await_end()
            if exchange is not None:
                exchange.client_left()
        return self._half_closed

    # --- requests --------------------------------------------------------------------------

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`, which begins with a head; hold what cannot begin yet."""
        self._serving = True
        is_begun = bool(self._held)
        self._held = b""
        at = begun = read = 0  # an index, for to cut off each head would copy all that is behind it
        try:
            while at < len(data) and not self._closing and takes_writes(self.transport, self._wire):
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
                head = read_request_head(
                    self._parser or self._new_parser(),
                    data[at:end],
                    self.server.config.server.limits,
                )
                self.server.crowd.waiting.pop(self, None)
                exchange = self.exchange = Exchange(self, self.server.config, head)
                self.server.in_flight += 1
                if head.chunked:
                    data, at = exchange.begin(data[end:]), 0
                else:
                    at = min(end + (head.length or 0), len(data))
                    exchange.begin(data[end:at])
                if exchange.phase is not Phase.ENDED:
                    if at < len(data):
                        self._hold(data[at:], exchange)
                    return
                if self.leftover is not None and at < len(data):
                    data, at = self._drain(data[at:]), 0
        except Fault as fault:
            self._refuse(fault)
        finally:
            self._serving = False

    def _postpone(self, data: bytes) -> None:
        """Hold requests that wait for the client to read (F7), or for the next turn (S9)."""
        self._held = data
        self.deadline = NEVER
        if self.is_write_paused:
            self.pause(WRITE)  # `write_idle` is running
        else:
            self._has_more = True
            self._end_turn()

    def _end_turn(self) -> None:
        """Read no more, and serve nothing that is held, in this turn of the loop (S9)."""
        if not self._paused & TURN:
            self.pause(TURN)
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Serve its share of what is held; what comes after it is read one turn later."""
        exchange = self.exchange
        has_more, self._has_more = self._has_more, False
        if not (has_more and self._held) or self._closing:
            self.resume(TURN)
        elif exchange is None and self.leftover is None:
            if self._paused & ~TURN:
                self.resume(TURN)
            else:
                self.loop.call_soon(self._next_turn)
                self._serve(self.take_held())
        elif type(exchange) is Exchange and exchange.upload_complete:
            self.resume(TURN)  # later requests wait for its end
        else:
            self.loop.call_soon(self._next_turn)
            self._receive(self.take_held())  # the rest of a body

    def _go_on(self) -> None:
        """Serve what is held, unless something is under way or holds it up."""
        if self._paused:
            self.deadline = NEVER  # nothing is read, so nothing can be late
        elif self.exchange is None and self.leftover is None and not self._closing:
            self._serve(self.take_held())

    def _hold_head(self, data: bytes, *, is_begun: bool) -> None:
        """Keep the start of a head; refuse at once what can no longer become one (S3, S4, S7)."""
        limits = self.server.config.server.limits
        line_end = data.find(b"\r\n")
        if max(line_end, 0) > limits.max_request_line or (
            line_end < 0 and len(data) > limits.max_request_line
        ):
            raise Fault(faults.TOO_LONG_TARGET)
        if len(data) > limits.max_request_line + limits.max_header_bytes:
            raise Fault(faults.TOO_LARGE_HEAD)
        if data.count(b"\n") > data.count(b"\r\n") or data[:1] in {b"\r", b"\n", b" "}:
            raise Fault(faults.BAD_REQUEST_LINE)
        if not self.is_surplus:
            self._wait_for_rest(is_begun=is_begun)
        self._held = data
        if self._half_closed:
            self.close_now()  # the rest of it will never come

    def _wait_for_rest(self, *, is_begun: bool) -> None:
        """Give way after all whose heads began before; later pieces make nobody younger (O2, O1)."""
        waiting = self.server.crowd.waiting
        waiting.setdefault(self, None)
        if not is_begun:
            waiting.move_to_end(self)
            if not self._is_new:
                self.deadline = self.clock.after(self.server.config.server.timeouts.request_header)

    def _hold(self, data: bytes, exchange: "Exchange | Tunnel") -> None:
        """Keep what `exchange` did not take: later requests, up to a bound, or the rest of its body."""
        self._held += data
        if type(exchange) is Exchange and not exchange.upload_complete:
            self._has_more = True
            self._end_turn()
        elif len(self._held) > _MAX_HELD:
            self.pause(PIPELINE)

    def take_held(self) -> bytes:
        """Return and forget what was kept."""
        held, self._held = self._held, b""
        self.resume(PIPELINE)
        return held

    def _new_parser(self) -> ParseFields:
        self._parser = request_field_parser(self.loop)
        return self._parser

    def exchange_ended(self, exchange: Exchange) -> None:
        """Go on after an exchange whose answer is complete."""
        self.exchange = None
        upload = exchange.upload
        unread = None if upload is None or upload.complete else upload.body
        self.resume(UPLOAD)
        if not exchange.keep_alive or (self._half_closed and not self._held):
            self._close(linger=unread is not None or bool(exchange.head.upgrade))
        elif unread is not None:
            self.leftover = unread
            self._drained = 0
            self.deadline = self.clock.after(_DRAIN_TIME)
        else:
            self._await_next()

    def _await_next(self) -> None:
        self.deadline = self.clock.after(self.server.config.server.timeouts.keepalive)
        if self.is_write_paused:
            self.pause(WRITE)
        self.resume(PIPELINE)
        self.server.crowd.waiting[self] = None
        if self._held and not self._serving:
            self._go_on()
        elif self.server.closing and not self._serving:
            self.close()  # its answer promised to keep it, before the drain began

    def _drain(self, data: bytes) -> bytes:
        """Read on what is left of a body whose request was answered (S10)."""
        body = self.leftover
        assert body is not None  # noqa: S101 - only called while there is one
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
            self._held = rest
            self._has_more = True
            self._end_turn()
        if self._drained > DRAINED:
            self._close(linger=True)
        return b""

    def _refuse(self, fault: Fault) -> None:
        """Answer a request whose head could not be read, and close (cors.md 63)."""
        server = self.server
        request_id = server.new_request_id()
        answer = refuse(fault.kind, request_id, None, server.config.default_policy)
        self.write(serialize_local_response(answer.status, answer.lines, answer.body, CLOSE, b""))
        server.account_unread(
            record_of_unread(
                fault,
                answer,
                self.peer,
                request_id,
            ),
        )
        self._close(linger=True)

    # --- the end ---------------------------------------------------------------------------

    def _close(self, *, linger: bool) -> None:
        """Close once all is sent; linger where a reset would hide the answer (S10)."""
        self.leftover = None
        self._held = b""
        self._closing = True
        transport = self.transport
        if linger and not transport.is_closing():
            self._lingering = True
            self.server.crowd.leave(self)
            self._unsent = self._unsent if self.is_write_paused else sys.maxsize
            self.deadline = self.clock.after(_LINGER_TIME)
            self.resume(self._paused)
            if transport.can_write_eof():
                send_fin(transport)
        else:
            self.close_now()

    def close_now(self) -> None:
        """Close once all is sent; a client that does not take it is cut off."""
        self._await_end()
        if not self.transport.is_closing():  # a second time, asyncio's TLS would forget the first
            self.transport.close()

    def _await_end(self) -> None:
        """Expect the end of a connection that is closed; `write_idle` limits how long it sends."""
        self.exchange = None
        self._closing = True
        if not self.is_write_paused:
            self._unsent = sys.maxsize
        idle = self.server.config.server.timeouts.write_idle
        self.deadline = self.clock.after(min(idle, _LOOK) if idle else _LOOK)

    def _still_open(self) -> None:
        """Look on while the client takes what is left; end a connection that only lingers (F1)."""
        unsent = self._count_unsent()
        idle = self.server.config.server.timeouts.write_idle
        if unsent < self._unsent:
            self._unsent = unsent
            self.write_deadline = self.clock.after(idle)
        if unsent and self.write_deadline > self.clock.now:
            self.deadline = self.clock.after(min(idle, _LOOK) if idle else _LOOK)
        else:
            self.transport.abort()

    def close(self) -> None:
        """Close an idle connection; leave one alone that has work (called when draining ends)."""
        if self.exchange is None and not self._closing and not self._held:
            self._close(linger=self.leftover is not None)

    def give_way(self) -> bool:
        """Close for somebody else's sake; return False unless a request is waited for (O2)."""
        if self._closing or self.exchange is not None or (self._held and self._paused):
            return False
        if self._held:  # the start of a head: one at a time, they would hold all places
            self._refuse(Fault(faults.OVERLOADED))
            return True
        if self._has_unread():
            return False
        self.close_now()
        return True

    def _has_unread(self) -> bool:
        """Tell whether something has arrived that the loop has not yet seen: a request, most likely."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    def cut_off(self) -> None:
        """End at once, whatever was still to be sent, and leave the books."""
        self.server.connection_lost(self)
        self.transport.abort()

    def cut(self, *, reset: bool) -> None:
        """End the connection so that what was sent never looks whole (F1, H18)."""
        self.exchange = None
        self._closing = True
        if not reset:
            self.close_now()
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - aiohttp's signature
        """End the connection at once (called when the time to drain is over)."""
        self.transport.abort()

    def expired(self, now: float) -> None:
        """Learn that the deadline passed."""
        self.deadline = NEVER
        if self.exchange is not None:
            self.exchange.expired(now)
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

    # --- writing and back-pressure ---------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send `data`, unless the client has left and only we were not notified yet."""
        if takes_writes(self.transport, self._wire):
            self.transport.write(data)

    def pause(self, why: int) -> None:
        """Stop reading, for the reason `why`."""
        if not self.transport.is_closing():
            if not self._paused:
                self.transport.pause_reading()
            if why != TURN:  # which is over before anybody could look
                self.server.watch.add(self)
        self._paused |= why

    def resume(self, why: int) -> None:
        """Take back the reason `why`; read on if it was the last."""
        if self._paused & why:
            self._paused &= ~why
            if not self._paused & ~TURN:
                self.server.watch.discard(self)
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def is_paused(self, why: int) -> bool:
        """Return whether reading is paused for the reason `why`."""
        return bool(self._paused & why)

    def descriptor(self) -> int:
        """Return the descriptor of the socket, -1 if that is closed."""
        sock = self.transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    @property
    def leaves_by_fin(self) -> bool:
        """Whether a FIN means that the client has left, whatever is unread before it (H20)."""
        is_tunnel = self.exchange is not None and type(self.exchange) is not Exchange
        return self.server.config.server.half_close == "close" and not is_tunnel

    def peer_left(self, *, by_reset: bool) -> None:
        """End what the client wanted: it has left while nothing was read from it (F6)."""
        if by_reset or self.exchange is not None:
            self.transport.abort()
        elif not self._closing:
            self.close_now()

    def _pause_for_write(self) -> None:
        """Read no more while the client reads nothing; what is under way is read to its end (F7)."""
        exchange = self.exchange
        if exchange is None:
            if not self._closing and self.leftover is None:
                self.deadline = NEVER
                self.pause(WRITE)
        elif type(exchange) is Exchange and exchange.upload_complete:
            self.pause(WRITE)

    def pause_writing(self) -> None:
        """Hold everything up that would write more: the client reads more slowly than we write (F7)."""
        self.is_write_paused = True
        self._unsent = self._count_unsent()
        self.write_deadline = self.clock.after(self.server.config.server.timeouts.write_idle)
        self.server.write_paused.add(self)
        if self.exchange is not None:
            self.exchange.client_paused()
        self._pause_for_write()

    def resume_writing(self) -> None:
        """Go on: the client has caught up."""
        self.is_write_paused = False
        self.server.write_paused.discard(self)
        self.resume(WRITE)
        if self.exchange is not None:
            self.exchange.client_resumed()
        elif self.leftover is None and not (self._serving or self._closing):
            self._await_next()

    def write_expired(self) -> None:
        """End the connection if its client read nothing for `write_idle`, with or without a request."""
        unsent = self._count_unsent()
        if unsent < self._unsent:
            self._unsent = unsent
            self.write_deadline = self.clock.after(self.server.config.server.timeouts.write_idle)
        elif self.exchange is not None:
            self.exchange.client_stalled()
        else:
            self.transport.abort()

    def _count_unsent(self) -> int:
        return unacknowledged(self.transport, self._wire)
