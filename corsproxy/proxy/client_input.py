"""Holds, within bounds, what has arrived from a client and cannot be served yet; serves it in turns."""

from typing import TYPE_CHECKING, Final

from corsproxy.proxy.client_stream import PIPELINE, TURN, WRITE, ClientStream
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from corsproxy.proxy.http.bodies import Body

# With this much held, one more read of uvloop's (up to 256 000 bytes) still fits into O6's 256 KiB.
_MAX_HELD: Final = 4 * 1024


class ClientInput(ClientStream):
    """A client's stream whose bytes have their turn.

    `leftover` is what has not been read of a body whose request has its response (S10).
    """

    __slots__ = ("_has_more", "_held", "leftover")

    def __init__(self, state: ServerState) -> None:
        super().__init__(state)
        self.leftover: Body | None = None
        self._held = b""
        # What is held can be served in the next turn: nothing but this turn's share kept it.
        self._has_more = False

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        raise NotImplementedError

    def _receive(self, data: bytes) -> None:
        """Pass `data` to what it belongs to."""
        raise NotImplementedError

    def _hold(self, data: bytes, handler: Forwarding | Tunnel) -> None:
        """Keep what `handler` did not take: later requests, up to a bound, or the rest of its body."""
        if type(handler) is Forwarding and not handler.upload_complete:
            self._hold_for_next_turn(self._held + data)
            return
        self._held += data
        if len(self._held) > _MAX_HELD:
            self.pause(PIPELINE)

    def _take_held(self) -> bytes:
        """Return and forget what was kept."""
        held, self._held = self._held, b""
        self.resume(PIPELINE)
        return held

    def _postpone(self, data: bytes) -> None:
        """Hold requests that wait for the client to read (F7), or for the next turn (S9)."""
        self._held = data
        self.deadline = NEVER
        if self.is_write_paused:
            self.pause(WRITE)  # `write_idle` is running
        else:
            self._hold_for_next_turn(data)

    def _hold_for_next_turn(self, data: bytes) -> None:
        self._held = data
        self._has_more = True
        self._end_turn()

    def _end_turn(self) -> None:
        """Read no more, and serve nothing that is held, in this turn of the loop (S9)."""
        if not self.is_paused(TURN):
            self.pause(TURN)
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Serve its share of what is held; what comes after it is read one turn later."""
        handler = self.handler
        has_more, self._has_more = self._has_more, False
        if not (has_more and self._held) or self._closing:
            self.resume(TURN)
            return
        if handler is None and self.leftover is None:
            if self._paused & ~TURN:
                self.resume(TURN)  # whoever takes back the other reason serves what is held
                return
            serve = self._serve
        elif type(handler) is Forwarding and handler.upload_complete:
            self.resume(TURN)  # what is held are later requests: they wait for its end
            return
        else:
            serve = self._receive  # the rest of a body
        # Reading stays paused meanwhile, so to end this turn, too, schedules no second call.
        self.loop.call_soon(self._next_turn)
        serve(self._take_held())

    def _go_on(self) -> None:
        """Serve what is held, unless something is under way or holds it up."""
        if self._paused:
            self.deadline = NEVER  # nothing is read, so nothing can be late
        elif self.handler is None and self.leftover is None and not self._closing:
            self._serve(self._take_held())
