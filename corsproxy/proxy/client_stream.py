"""Pauses, writes to and closes one client's connection; notices that its client left.

`ClientConnection` parses what arrives on it.
"""

import asyncio
import select
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.transports import bounded, takes_writes, unacknowledged, wire_below
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upstream.connection import send_fin

if TYPE_CHECKING:
    from corsproxy.proxy.forwarding import Forwarding

# Why reading is paused. Bits, because there may be several reasons at once; no enum, because its
# members would cost more than all else that is done with them.
UPLOAD: Final = 1  # the request's body waits for the upstream or for a connection to it (F7)
PIPELINE: Final = 2  # enough later requests are kept while one is under way (S9)
WRITE: Final = 4  # the client does not read what was written to it (F7)
TURN: Final = 8  # the client has used up its share of this turn of the loop (S9)

# For how long to discard what a client sends after the FIN, in seconds (S10).
_LINGER_TIME: Final = 2.0
# How often to check a connection that is closing, in seconds. Once all is sent, the peer's close_notify
# or FIN is awaited for no longer than this.
_LOOK: Final = 2.0
_RESET: Final = struct.pack("ii", 1, 0)


class ClientStream(asyncio.Protocol):
    """The stream to and from a client. `handler` is the request or tunnel under way, None if idle.

    The sweep of `Connections` checks `deadline` and `write_deadline`.
    """

    __slots__ = (
        "_closing",
        "_lingering",
        "_paused",
        "_unsent",
        "_wire",
        "clock",
        "deadline",
        "handler",
        "is_write_paused",
        "loop",
        "state",
        "transport",
        "write_deadline",
    )

    transport: asyncio.Transport

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.loop = state.loop
        self.clock = state.clock
        self.handler: Forwarding | Tunnel | None = None
        self.deadline = NEVER
        self.write_deadline = NEVER
        self.is_write_paused = False
        self._paused = 0
        self._unsent = 0
        self._closing = False
        self._lingering = False
        self._wire: asyncio.Transport | None = None

    def _attach(self, transport: asyncio.BaseTransport) -> None:
        """Use `transport`, with its buffers limited as O6 demands."""
        self._wire = wire_below(transport)
        self.transport = bounded(transport, self._wire)

    # --- reading ---------------------------------------------------------------------------

    def pause(self, why: int) -> None:
        """Stop reading, for the reason `why`."""
        if not self.transport.is_closing():
            if not self._paused:
                self.transport.pause_reading()
            if why != TURN:  # that ends before `Watch` polls again
                self.state.connections.watch.add(self)
        self._paused |= why

    def resume(self, why: int) -> None:
        """Remove the reason `why`; resume reading if it was the last one."""
        if self._paused & why:
            self._paused &= ~why
            if not self._paused & ~TURN:
                self.state.connections.watch.discard(self)
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def is_paused(self, why: int) -> bool:
        """Return whether reading is paused for the reason `why`."""
        return bool(self._paused & why)

    def pause_upload(self) -> None:
        """Stop reading the request's body: it waits for the upstream or for a connection to it (F7)."""
        self.pause(UPLOAD)

    def resume_upload(self) -> None:
        """Resume reading the request's body."""
        self.resume(UPLOAD)

    @property
    def is_upload_paused(self) -> bool:
        """Whether reading the request's body is paused."""
        return bool(self._paused & UPLOAD)

    # --- a client that leaves while nothing is read from it (F6; `Watch`) ------------------

    def descriptor(self) -> int:
        """Return the descriptor of the socket, -1 if that is closed."""
        sock = self.transport.get_extra_info("socket")
        return -1 if sock is None else int(sock.fileno())

    @property
    def leaves_by_fin(self) -> bool:
        """Whether a FIN means that the client has left, even if data before it is unread (H20)."""
        return self.state.config.server.half_close == "close" and type(self.handler) is not Tunnel

    def peer_left(self, *, by_reset: bool) -> None:
        """Abandon the exchange of a client that left while nothing was read from it (F6)."""
        # A reset destroys unsent data in any case. After a FIN the rest of a complete response may
        # still be read.
        if by_reset or self.handler is not None:
            self.transport.abort()
        elif not self._closing:
            self.close_now()

    def _has_unread(self) -> bool:
        """Return whether data has arrived that the loop has not read yet: likely a request."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(poll.poll(0))

    # --- writing ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send `data`, unless the client has left and the loop has not reported it yet."""
        if takes_writes(self.transport, self._wire):
            self.transport.write(data)

    def _begin_write_pause(self) -> None:
        """Start `write_idle`, within which the client must read some of the unsent data (O1)."""
        self.is_write_paused = True
        self._unsent = self._count_unsent()
        self.write_deadline = self.clock.after(self.state.config.server.timeouts.write_idle)
        self.state.connections.write_paused.add(self)

    def _end_write_pause(self) -> None:
        self.is_write_paused = False
        self.state.connections.write_paused.discard(self)

    def write_expired(self) -> None:
        """End the connection if its client read nothing for `write_idle`, even without a request (O1)."""
        if self._took_some(self._count_unsent()):
            return
        if self.handler is not None:
            self.handler.client_stalled()
        else:
            self.transport.abort()

    def _took_some(self, unsent: int) -> bool:
        """Return whether less is `unsent` than before; if so, restart `write_idle`."""
        if unsent >= self._unsent:
            return False
        self._unsent = unsent
        self.write_deadline = self.clock.after(self.state.config.server.timeouts.write_idle)
        return True

    def _count_unsent(self) -> int:
        return unacknowledged(self.transport, self._wire)

    # --- the end ---------------------------------------------------------------------------

    def close_now(self) -> None:
        """Close once all is sent; abort if the client does not read it (`write_idle`)."""
        self._await_end()
        if (
            not self.transport.is_closing()
        ):  # a second close would make asyncio's TLS drop unsent data
            self.transport.close()

    def _await_end(self) -> None:
        """Stop serving a connection that closes; `write_idle` limits how long unsent data may take."""
        self.handler = None
        self._closing = True
        if not self.is_write_paused:
            self._unsent = sys.maxsize
        self._look_again()

    def _linger(self) -> None:
        """Send a FIN and discard what still arrives: a reset could destroy the response (S10).

        https://www.rfc-editor.org/rfc/rfc9112.html#section-9.6
        """
        self._closing = self._lingering = True
        self._unsent = self._unsent if self.is_write_paused else sys.maxsize
        self.deadline = self.clock.after(_LINGER_TIME)
        self.resume(self._paused)
        if self.transport.can_write_eof():
            send_fin(self.transport)

    def _look_again(self) -> None:
        idle = self.state.config.server.timeouts.write_idle
        self.deadline = self.clock.after(min(idle, _LOOK) if idle else _LOOK)

    def _still_open(self) -> None:
        """Wait on while the client reads unsent data; abort once there is none or it stalls (F1)."""
        unsent = self._count_unsent()
        self._took_some(unsent)
        if unsent and self.write_deadline > self.clock.now:
            self._look_again()
        else:
            self.transport.abort()

    def cut(self, *, reset: bool) -> None:
        """End the connection so that an incomplete response never looks complete (F1, H18).

        `reset` for a body that the end of the connection delimits: a FIN would complete it
        (https://www.rfc-editor.org/rfc/rfc9112.html#section-8).
        """
        self.handler = None
        self._closing = True
        if not reset:
            self.close_now()
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - aiohttp's signature
        """Abort the connection (aiohttp calls this when the time to drain is over)."""
        self.transport.abort()
