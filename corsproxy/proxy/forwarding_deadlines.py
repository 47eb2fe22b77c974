"""Enforces the time limits of one forwarded request.

Each phase has its own limit (forwarding.md O1). The deadline is an attribute of the client's
connection, because one sweep checks all of them.
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

# In bytes per second: a body that is being buffered must not be slower over `request_body_idle` (O4).
_SLOWEST_BUFFERED: Final = 100


class ForwardingClient(Client, Protocol):
    """What a forwarded request uses of its client's connection, in addition to an exchange."""

    @property
    def is_upload_paused(self) -> bool:
        """Whether reading the request's body is paused."""

    def begin_tunnel(self, tunnel: Tunnel) -> bytes:
        """Pass the client's bytes to `tunnel` from now on; return those that arrived before."""


class ForwardingDeadlines:
    """The deadlines of a forwarded request. `Forwarding` implements how it fails."""

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

    # --- arming the deadline ---------------------------------------------------------------

    def _begin_buffering(self, upload: Upload) -> None:
        """Start the limits for a body that is being buffered."""
        self.stall = StallDetector(self.last_activity, upload.moved, _SLOWEST_BUFFERED)
        self._await_body()

    def _await_body(self) -> None:
        self._arm(self.exchange.config.server.timeouts.request_body_idle)

    def _await_response(self) -> None:
        self.last_activity = self.clock.now
        if self._is_upstream_paused():
            self.client.deadline = self.total_deadline
        else:
            self._arm(self.route.timeouts.response_header)

    def _await_rest(self) -> None:
        if self._is_upstream_paused():
            self.client.deadline = self.total_deadline
        else:
            self._arm(self.route.timeouts.idle)

    def _is_upstream_paused(self) -> bool:
        """Return whether the upstream cannot be late, because nothing is read from it (F7).

        The client is slow then, and `write_idle` limits that.
        """
        return self.connection is not None and self.connection.is_read_paused

    def _arm(self, seconds: float) -> None:
        self.idle_timeout = seconds
        self.client.deadline = min(self.clock.after(seconds), self.total_deadline)

    def expired(self, now: float) -> None:
        """Handle the end of the deadline; move it if there was activity since it was set."""
        phase = self.phase
        is_over = self.total_deadline <= now
        idle_until = self.last_activity + (self.idle_timeout or NEVER)
        # First, because a body that is being buffered must also keep a pace (O4), and `total` has not
        # begun. Then activity, which moves a deadline. Then a response that has begun, which can only
        # be cut (F1; https://www.rfc-editor.org/rfc/rfc9112.html#section-8).
        if phase is BUFFERING:
            self._expired_buffering(idle_until, now)
        elif idle_until > now and not is_over:
            self.client.deadline = min(idle_until, self.total_deadline)
        elif phase is RELAYING:
            self._cut(faults.UPSTREAM_TRUNCATED)
        else:
            self._give_up(is_over=is_over)

    def _expired_buffering(self, idle_until: float, now: float) -> None:
        """Fail a body that stalled or trickles: while it is buffered it costs memory (O4)."""
        if self.stall is not None and self.upload is not None:
            kept_pace_at = self.stall.look(now, self.upload.moved)
            idle_until = min(idle_until, kept_pace_at + self.idle_timeout)
        if idle_until > now:
            self.client.deadline = idle_until
        else:
            self._fail(Fault(faults.REQUEST_TIMEOUT))

    def _give_up(self, *, is_over: bool) -> None:
        """Respond 408 if the request did not arrive in time, else 504."""
        # 408 first, because the upstream cannot respond before the request has arrived
        # (https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.9).
        if not self.upload_complete and not self.client.is_upload_paused and not is_over:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
            return
        # Not while CONNECTING: the pool records that, or the queue was too long (O7).
        if self.phase is AWAITING_RESPONSE:
            self.pool.record_failure()
        self._fail(Fault(faults.UPSTREAM_TIMEOUT))

    # --- clients that stall a transfer (O1, O4) --------------------------------------------

    def client_stalled(self) -> None:
        """Cut the response: the client has read nothing for `write_idle` (O1)."""
        self._cut(faults.WRITE_STALLED)

    def stalled_since(self, now: float) -> float:
        """Return since when the client has stalled this transfer; 0 if it has not (O4)."""
        # The client stalls a response that it does not read, or a request whose body it does not send
        # although it is read. Otherwise the upstream is the slow side, and `expired` limits that (O1).
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
        """End the transfer, whose client occupies a connection that others need (O4)."""
        # Before the response only the request's own body can be late, so 408 can still be sent
        # (https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.9).
        if self.phase is AWAITING_RESPONSE:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
        else:
            self._cut(faults.WRITE_STALLED)
