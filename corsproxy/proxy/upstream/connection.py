"""One connection to an upstream: reads its answers and hands them to the exchange that waits.

Knows heads and bodies of answers; nothing of clients, routes or policies. What arrives while no
exchange waits is never anybody's answer: it ends the connection (forwarding.md S12).
"""

import asyncio
import select
import socket
import ssl
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.field_parsers import response_field_parser
from corsproxy.proxy.http.bodies import BadChunk, Body, UntilClose
from corsproxy.proxy.http.response_head import MAX_HEAD_BYTES, ResponseHead, read_response_head
from corsproxy.proxy.transports import Farewell, bounded, takes_writes, unsent, wire_below

if TYPE_CHECKING:
    from corsproxy.proxy.upstream.pool import Pool

# In bytes: with so much read, the connection's turn of the loop is over. uvloop goes on reading a
# socket that fills its buffer, up to 32 times in a turn; and large heads cost as much as many small ones.
LARGE_READ: Final = 64 * 1024
# How many heads of a response are read in one turn of the loop: the last one, and interim ones.
_MOST_HEADS: Final = 16


class Unread(Enum):
    """What has arrived on a connection that the loop has not read yet."""

    nothing = "nothing"
    data = "data"
    end = "end"  # a FIN or a reset, with or without bytes before it


# Members of an enum are slow to look up by attribute; these are read with every request.
NOTHING: Final = Unread.nothing
DATA: Final = Unread.data


def send_fin(transport: asyncio.Transport) -> None:
    """End what is sent on `transport`, which goes on being read."""
    try:
        transport.write_eof()
    except OSError:
        # The peer left while it was not read from: asyncio lets shutdown's ENOTCONN out.
        transport.abort()


class ResponseHandler(Protocol):
    """Who waits for an answer on an upstream connection: the exchange."""

    def response_started(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Take the head of the final answer, its body's reader (None: no body), its first piece."""

    def interim_received(self, head: ResponseHead) -> None:
        """Take an interim answer (1xx)."""

    def body_received(self, payload: bytes) -> None:
        """Take a piece of the body."""

    def response_ended(self) -> None:
        """Learn that the answer is complete."""

    def response_failed(self, fault: Fault) -> None:
        """Learn that there will be no (more of an) answer; the connection is gone."""

    def stalled_since(self, now: float) -> float:
        """Return since when only the client holds this up; 0 if it does not."""

    def cut_stalled(self) -> None:
        """End the transfer: its client holds up what others need."""

    def upstream_paused(self) -> None:
        """Send no more until resumed."""

    def upstream_resumed(self) -> None:
        """Go on sending."""


class TunnelHandler(Protocol):
    """Who has the connection behind a 101: a tunnel."""

    def upstream_sent(self, data: bytes) -> None:
        """Take bytes."""

    def upstream_half_closed(self) -> bool:
        """Take the FIN; return whether there may be more to send."""

    def upstream_left(self, fault: Fault) -> None:
        """Learn that the connection is gone."""

    def upstream_paused(self) -> None:
        """Send no more until resumed."""

    def upstream_resumed(self) -> None:
        """Go on sending."""


class UpstreamConnection(asyncio.Protocol):
    """A connection to an upstream, lent by its pool to one exchange at a time."""

    __slots__ = (
        "_body",
        "_farewell",
        "_held",
        "_is_turn_over",
        "_method",
        "_parse_fields",
        "_poll",
        "_rest",
        "_wire",
        "has_answered",
        "is_open",
        "is_read_paused",
        "is_request_sent",
        "is_write_paused",
        "keep_alive",
        "kept_for",
        "pool",
        "sock",
        "transport",
        "tunnel",
        "waiter",
        "was_reused",
    )

    transport: asyncio.Transport
    sock: socket.socket

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.waiter: ResponseHandler | None = None
        self.is_open = False
        self.is_read_paused = False
        self.is_write_paused = False
        self.is_request_sent = True
        self.keep_alive = False
        self.kept_for: float | None = None
        self.has_answered = False
        self.was_reused = False
        self._parse_fields = response_field_parser(asyncio.get_running_loop())
        self._wire: asyncio.Transport | None = None
        self._farewell: Farewell | None = None
        self._poll: select.poll | None = None
        self._held = b""
        self._rest = b""
        self._is_turn_over = False
        self._body: Body | None = None
        self._method = b""
        self.tunnel: TunnelHandler | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._wire = wire_below(transport)
        self.transport = bounded(transport, self._wire)
        self.is_open = True

    def begin(self, waiter: ResponseHandler, method: bytes) -> None:
        """Lend the connection to `waiter`, whose request has `method`."""
        self.waiter = waiter
        self._method = method
        self._body = None
        self.keep_alive = False
        self.is_request_sent = False
        self.was_reused = self.has_answered
        self.has_answered = False

    def send(self, data: bytes, *, is_last: bool) -> None:
        """Write a piece of the request; `is_last` if the request ends with it, end mark included."""
        self.is_request_sent = self.write(data) and is_last

    def write(self, data: bytes) -> bool:
        """Write `data`; return False if the connection takes no more."""
        if not takes_writes(self.transport, self._wire):
            return False
        self.transport.write(data)
        return True

    @property
    def is_reusable(self) -> bool:
        """Whether its next response can only belong to the next request (S12).

        Keep-alive holds, and every byte of the last request has left for the upstream: what was
        received of an upload but dropped is missing there, and the upstream would take the next
        request for it.
        """
        return (
            self.keep_alive
            and self.is_request_sent
            and self.is_open
            and not unsent(self.transport, self._wire)
        )

    def pause_reading(self) -> None:
        """Read no more until resumed (F7)."""
        if not self.is_read_paused:
            self.is_read_paused = True
            if not self._is_turn_over:
                self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on; in the next turn of the loop, if this one is over for it."""
        if self.is_read_paused:
            self.is_read_paused = False
            if self._rest:
                self._end_turn()
            elif not self._is_turn_over:
                self.transport.resume_reading()

    def read_on(self) -> None:
        """Read on at once, whoever paused it and why: its last response is over (S12)."""
        if self.is_read_paused or self._is_turn_over:
            self.is_read_paused = self._is_turn_over = False
            self.transport.resume_reading()

    def _end_turn(self, rest: bytes = b"") -> None:
        """Read `rest`, and what comes, in the next turn of the loop: others have theirs before it.

        What an upstream sends in the smallest pieces costs the most, and a read holds 256 000 bytes.
        """
        self._rest = rest or self._rest
        if not self._is_turn_over:
            self._is_turn_over = True
            if not self.is_read_paused:
                self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Read a share of the rest; what comes after it is read one turn later."""
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

    def unread(self) -> Unread:
        """Return what has arrived and was not read yet: a look at the socket, between two events."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.sock, select.POLLIN | select.POLLRDHUP)
        seen = self._poll.poll(0)
        if not seen:
            return NOTHING
        return DATA if seen[0][1] == select.POLLIN else Unread.end

    def data_received(self, data: bytes) -> None:
        """Read what arrived as the part of an answer that is due."""
        if len(data) >= LARGE_READ:
            self._end_turn()
        waiter = self.waiter
        if waiter is None:
            if self.tunnel is not None:
                self.tunnel.upstream_sent(data)
            elif self.is_open and self._farewell is None:
                self.pool.exceeded()
                self.close()
            return
        self.has_answered = True
        try:
            if self._body is not None:
                self._read_body(self._body, data, waiter)
            else:
                self._read_heads(data, waiter)
        except Fault as fault:
            self.fail(fault)
        except BadChunk as error:
            # Nobody can tell where the answer ends; what went out of it is cut off (F1).
            self.fail(Fault(faults.UPSTREAM_TRUNCATED, str(error)))

    def _read_heads(self, data: bytes, waiter: ResponseHandler) -> None:
        """Read heads until the final one; interim answers come before it (H13)."""
        if self._held:
            data = self._held + data
            self._held = b""
        for _ in range(_MOST_HEADS):
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._hold(data)
                return
            if end > MAX_HEAD_BYTES:
                raise Fault(faults.UPSTREAM_INVALID, "a header section of more than 64 KiB")
            head = read_response_head(self._parse_fields, data[: end + 4])
            data = data[end + 4 :]
            if head.status >= 200:
                self._begin_body(head, data, waiter)
                return
            waiter.interim_received(head)
            if self.tunnel is not None:
                if data:
                    self.tunnel.upstream_sent(data)
                return
            if not data:
                return
        self._end_turn(data)

    def _hold(self, data: bytes) -> None:
        if len(data) > MAX_HEAD_BYTES:
            raise Fault(faults.UPSTREAM_INVALID, "a header section of more than 64 KiB")
        if data.count(b"\n") > data.count(b"\r\n"):
            raise Fault(faults.UPSTREAM_INVALID, "a bare LF in the head")
        if not b"HTTP/1.".startswith(data[:7]):
            raise Fault(faults.UPSTREAM_INVALID, "a status line that is not HTTP/1")
        self._held = data

    def _begin_body(self, head: ResponseHead, data: bytes, waiter: ResponseHandler) -> None:
        body = head.body(self._method)
        self.keep_alive = head.keep_alive and type(body) is not UntilClose
        self.kept_for = head.kept_for
        if body is None:
            if data:
                self._exceeded()  # S11, H12: a response in excess, or a body where none may be
            waiter.response_started(head, None, b"")
        else:
            try:
                payload = body.feed(data) if data else b""
            except BadChunk as error:
                raise Fault(faults.UPSTREAM_INVALID, str(error)) from error
            self._body = body
            waiter.response_started(head, body, payload)
            if not body.complete:
                if body.excess:
                    self._end_turn(body.excess)
                return
            if body.excess:
                self._exceeded()
        if self.waiter is waiter:
            waiter.response_ended()

    def _read_body(self, body: Body, data: bytes, waiter: ResponseHandler) -> None:
        payload = body.feed(data)
        if payload:
            waiter.body_received(payload)
        if self.waiter is not waiter:
            return
        if body.complete:
            if body.excess:
                self._exceeded()
            waiter.response_ended()
        elif body.excess:
            self._end_turn(body.excess)

    def _exceeded(self) -> None:
        """Note bytes behind the end of a response: this upstream and we disagree on where it is."""
        self.keep_alive = False
        self.pool.exceeded()

    def eof_received(self) -> bool:
        """Take a FIN: the end of a body that only this ends, half of a tunnel's, or of everything."""
        if self.tunnel is not None:
            return self.tunnel.upstream_half_closed()
        waiter = self.waiter
        if waiter is None:
            return False
        if type(self._body) is UntilClose and self._ended_on_purpose():
            waiter.response_ended()
        return False

    def _ended_on_purpose(self) -> bool:
        """Tell a FIN from one that anybody on the way could have sent: TLS has its own (F1)."""
        tls = self.transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return not tls.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def enter(self, tunnel: TunnelHandler) -> None:
        """Carry bytes for `tunnel` from now on; no more answers are read."""
        self.waiter = None
        self.tunnel = tunnel
        self.pool.tunnelled(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits, and the pool."""
        if self._body is not None or self.tunnel is not None:
            fault = Fault(faults.UPSTREAM_TRUNCATED, "the connection was lost")
        else:
            fault = Fault(faults.UPSTREAM_CLOSED, "reset" if exc is not None else "closed")
        waiter, tunnel = self.waiter, self.tunnel
        self.is_open = False
        self.waiter = self.tunnel = None
        # It leads back here: what is closed would wait for the garbage collector.
        self._wire = None
        if self._farewell is not None:
            self._farewell.cancel()
        self.pool.forget(self)
        if waiter is not None:
            waiter.response_failed(fault)
        elif tunnel is not None:
            tunnel.upstream_left(fault)

    def fail(self, fault: Fault) -> None:
        """End the connection and tell who waits why."""
        waiter = self.waiter
        self.close()
        if waiter is not None:
            waiter.response_failed(fault)

    def close(self) -> None:
        """End the connection at once; nobody waits for its answer any more."""
        self.waiter = self.tunnel = None
        if self.is_open:
            self.is_open = False
            self.pool.forget(self)
            self.transport.abort()

    def finish(self, idle: float) -> None:
        """End a tunnel's connection once all is sent, if the upstream takes some of it in `idle` s."""
        self.waiter = self.tunnel = None
        if self.is_open and self._farewell is None:
            self.resume_reading()  # what comes is dropped; unread it would become a reset
            self._farewell = Farewell(self.transport, self._wire, idle)

    def pause_writing(self) -> None:
        """Pass back-pressure on (F7)."""
        self.is_write_paused = True
        user = self.waiter or self.tunnel
        if user is not None:
            user.upstream_paused()

    def resume_writing(self) -> None:
        """Pass the end of back-pressure on."""
        self.is_write_paused = False
        user = self.waiter or self.tunnel
        if user is not None:
            user.upstream_resumed()
