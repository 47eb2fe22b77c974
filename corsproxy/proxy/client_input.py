"""Keeps a bounded amount of client bytes that cannot be served yet, and serves them in later turns."""

from typing import TYPE_CHECKING, Final

from corsproxy.proxy.client_stream import PIPELINE, TURN, WRITE, ClientStream
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.forwarding import Forwarding
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from corsproxy.proxy.http.bodies import Body

# With this much kept, one more read of uvloop's (up to 256 000 bytes) still fits into O6's 256 KiB.
_MAX_HELD: Final = 4 * 1024


class ClientInput(ClientStream):
    """A client's stream that is served a bounded share in each turn of the loop (S9).

    `leftover` reads the rest of a body whose response has been sent (S10).
    """

    __slots__ = ("_has_more", "_held", "leftover")

    def __init__(self, state: ServerState) -> None:
        super().__init__(state)
        self.leftover: Body | None = None
        self._held = b""
        # Whether `_held` can be served in the next turn: only this turn's share delayed it.
        self._has_more = False

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`."""
        raise NotImplementedError

    def _receive(self, data: bytes) -> None:
        """Pass `data` to what it belongs to."""
        raise NotImplementedError

    def _hold(self, data: bytes, handler: Forwarding | Tunnel) -> None:
        """Keep what `handler` did not take: the rest of its body, or later requests up to a bound."""
        # A body first: it was not taken only because the share of this turn was used up (S9).
        if type(handler) is Forwarding and not handler.upload_complete:
            self._hold_for_next_turn(self._held + data)
            return
        # Pipelined requests wait for the response under way (S9;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3.2).
        self._held += data
        if len(self._held) > _MAX_HELD:
            self.pause(PIPELINE)

    def _take_held(self) -> bytes:
        """Return and forget what was kept."""
        held, self._held = self._held, b""
        self.resume(PIPELINE)
        return held

    def _postpone(self, data: bytes) -> None:
        """Keep requests until the client reads again (F7), or until the next turn (S9)."""
        self._held = data
        self.deadline = NEVER
        if self.is_write_paused:
            self.pause(WRITE)  # first: `write_idle` limits how long it does not read (O1)
        else:
            self._hold_for_next_turn(data)

    def _hold_for_next_turn(self, data: bytes) -> None:
        self._held = data
        self._has_more = True
        self._end_turn()

    def _end_turn(self) -> None:
        """Read and serve nothing more in this turn of the loop (S9)."""
        if not self.is_paused(TURN):
            self.pause(TURN)
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Serve a share of what was kept; resume reading one turn later."""
        handler = self.handler
        has_more, self._has_more = self._has_more, False
        if not (has_more and self._held) or self._closing:
            self.resume(TURN)
            return
        # As in `_receive`: a body under way comes before the next head, and requests behind a complete
        # one wait for its response.
        if handler is None and self.leftover is None:
            if self._paused & ~TURN:
                self.resume(TURN)  # what resumes the other pause serves what is kept
                return
            serve = self._serve
        elif type(handler) is Forwarding and handler.upload_complete:
            self.resume(TURN)  # later requests: `exchange_ended` serves them
            return
        else:
            serve = self._receive  # the rest of a body
        # Reading stays paused meanwhile, so `_end_turn` within `serve` schedules no second call.
        self.loop.call_soon(self._next_turn)
        serve(self._take_held())

    def _go_on(self) -> None:
        """Serve what was kept, unless reading is paused or an exchange is under way."""
        if self._paused:
            self.deadline = NEVER  # nothing is read, so the client cannot be late
        elif self.handler is None and self.leftover is None and not self._closing:
            self._serve(self._take_held())
