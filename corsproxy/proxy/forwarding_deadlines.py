"""Keeps the time limits of one forwarded request, and ends it when one has passed.

Each phase has its own limit (forwarding.md O1); the deadline itself is kept at the client's
connection, because one sweep looks at all of them.
"""

from typing import TYPE_CHECKING, Final, Protocol

from corsproxy.policy.compiled import Route
from corsproxy.proxy import faults
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.exchange import Client, Exchange
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.phases import ADMITTED, AWAITING_RESPONSE, BUFFERING, RELAYING, Phase
from corsproxy.proxy.stall_detection import StallDetector
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upload import Upload

if TYPE_CHECKING:
    from corsproxy.proxy.upstream.connection import UpstreamConnection

# Bytes a second: a buffered body that is slower over `request_body_idle` is too slow (O4).
_SLOWEST_BUFFERED: Final = 100


class ForwardingClient(Client, Protocol):
    """What a forwarded request uses of its client's connection, beside what each exchange does."""

    @property
    def is_upload_paused(self) -> bool:
        """Whether the request's body is not being read."""

    def begin_tunnel(self, tunnel: Tunnel) -> bytes:
        """Give the client's bytes to `tunnel` from now on; return those that were held back."""


class ForwardingDeadlines:
    """A forwarded request, as far as time is concerned. `Forwarding` says how it ends."""

    __slots__ = (
        "client",
        "clock",
        "connection",
        "exchange",
        "idle_timeout",
        "last_activity",
        "phase",
        "pool",
        "route",
        "stall",
        "total_deadline",
        "upload",
    )

    def __init__(self, client: ForwardingClient, exchange: Exchange, route: Route) -> None:
        self.client = client
        self.exchange = exchange
        self.route = route
        self.pool = exchange.state.pools.of(route.upstream)
        self.upload = exchange.upload
        self.clock = exchange.state.clock
        self.phase: Phase = ADMITTED
        self.last_activity = self.clock.now
        self.total_deadline = NEVER
        self.idle_timeout = 0.0
        self.connection: UpstreamConnection | None = None
        self.stall: StallDetector | None = None

    @property
    def upload_complete(self) -> bool:
        """Whether the whole request has arrived."""
        return self.upload is None or self.upload.complete

    def _fail(self, fault: Fault) -> None:
        """Respond with `fault`, or cut the response that has begun."""
        raise NotImplementedError

    def _cut(self, fault: FaultKind) -> None:
        """Cut the response that has begun."""
        raise NotImplementedError

    # --- what is awaited -------------------------------------------------------------------

    def _begin_buffering(self, upload: Upload) -> None:
        """Await the body, or as much of it as is buffered."""
        self.stall = StallDetector(self.last_activity, upload.moved, _SLOWEST_BUFFERED)
        self._await_body()

    def _await_body(self) -> None:
        self._arm(self.exchange.config.server.timeouts.request_body_idle)

    def _await_response(self) -> None:
        self.last_activity = self.clock.now
        if self._is_held_back():
            self.client.deadline = self.total_deadline
        else:
            self._arm(self.route.timeouts.response_header)

    def _await_rest(self) -> None:
        if self._is_held_back():
            self.client.deadline = self.total_deadline
        else:
            self._arm(self.route.timeouts.idle)

    def _is_held_back(self) -> bool:
        """Return whether the upstream cannot be late, because nothing is read from it (F7).

        The client is, and its connection keeps the time for that (`write_idle`).
        """
        return self.connection is not None and self.connection.is_read_paused

    def _arm(self, seconds: float) -> None:
        self.idle_timeout = seconds
        self.client.deadline = min(self.clock.after(seconds), self.total_deadline)

    def expired(self, now: float) -> None:
        """Handle the end of the deadline; it moves if something has happened since it was set."""
        phase = self.phase
        is_over = self.total_deadline <= now
        idle_until = self.last_activity + (self.idle_timeout or NEVER)
        # First, because a body that is buffered has a pace to keep beside its idle time (O4), and no
        # total yet.
        if phase is BUFFERING:
            self._expired_buffering(idle_until, now)
        elif idle_until > now and not is_over:
            self.client.deadline = min(idle_until, self.total_deadline)
        elif phase is RELAYING:
            self._cut(faults.UPSTREAM_TRUNCATED)
        else:
            self._give_up(is_over=is_over)

    def _expired_buffering(self, idle_until: float, now: float) -> None:
        """Fail a body that stopped, or that trickles in: while it is buffered it costs memory (O4)."""
        if self.stall is not None and self.upload is not None:
            kept_pace_at = self.stall.look(now, self.upload.moved)
            idle_until = min(idle_until, kept_pace_at + self.idle_timeout)
        if idle_until > now:
            self.client.deadline = idle_until
        else:
            self._fail(Fault(faults.REQUEST_TIMEOUT))

    def _give_up(self, *, is_over: bool) -> None:
        """Respond that no response began in time, or that the request itself did not arrive."""
        # Before the upstream is held to be late: it cannot respond to what has not arrived.
        if not self.upload_complete and not self.client.is_upload_paused and not is_over:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
            return
        # Not while CONNECTING: then the dialler reports the failure, or the queue was too long.
        if self.phase is AWAITING_RESPONSE:
            self.pool.record_failure()
        self._fail(Fault(faults.UPSTREAM_TIMEOUT))

    # --- a client that holds the transfer up (O1, O4) --------------------------------------

    def client_stalled(self) -> None:
        """End everything: the client reads nothing of what was written to it for `write_idle` (O1)."""
        self._cut(faults.WRITE_STALLED)

    def stalled_since(self, now: float) -> float:
        """Return since when its client holds this transfer up; 0 if it does not (O4)."""
        client, upload = self.client, self.upload
        uploads = upload is not None and not upload.complete and not upload.is_stopped
        if not (
            (self.phase is RELAYING and client.is_write_paused)
            or (self.phase is AWAITING_RESPONSE and uploads and not client.is_upload_paused)
        ):
            self.stall = None
            return 0.0
        moved = self.exchange.bytes_sent + (0 if upload is None else upload.moved)
        if self.stall is None:
            self.stall = StallDetector(now, moved)
        return self.stall.look(now, moved)

    def cut_stalled(self) -> None:
        """End the transfer: its client holds up what others need (O4)."""
        # What holds a request up before its response is its own body, so there is still time for 408.
        if self.phase is AWAITING_RESPONSE:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
        else:
            self._cut(faults.WRITE_STALLED)
