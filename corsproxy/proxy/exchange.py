"""One request's way: match -> decide -> forward -> rewrite -> answer. Knows no parsing and no pool.

`begin` judges the request at once (`admit`); if it is forwarded, the exchange is a small state
machine whose phases are named below. Everything ends in `_end`, where it is accounted for, once.
"""

from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, Final

from corsproxy.policy.compiled import CompiledConfig, Route
from corsproxy.policy.cors.decide import Decision
from corsproxy.proxy import faults
from corsproxy.proxy.admit import Forward, LocalResponse, admit, refuse
from corsproxy.proxy.context import RequestContext
from corsproxy.proxy.deadlines import NEVER
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.forwarded import Caller, caller_of
from corsproxy.proxy.http.bodies import LAST_CHUNK, Body, ChunkedBody, as_chunk
from corsproxy.proxy.http.request_head import RequestHead
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.pauses import UPLOAD
from corsproxy.proxy.response import rewritten
from corsproxy.proxy.serialize import (
    CONTINUE,
    connection_line,
    join_fields,
    serialize_local_response,
    serialize_request_head,
    serialize_response_head,
)
from corsproxy.proxy.stall_detection import StallDetector
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upload import Upload
from corsproxy.proxy.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from corsproxy.proxy.client import ClientConnection
    from corsproxy.proxy.upstream.pool import Pool


class Phase(Enum):
    """Where a forwarded request is on its way."""

    ADMITTING = "admitting"
    GATHERING = "gathering"  # the start of a body, or the whole of a short one, is awaited (O4)
    CONNECTING = "connecting"  # an upstream connection was asked for
    AWAITING = "awaiting"  # the request is on its way, the head of the answer is not here
    RELAYING = "relaying"  # the answer's head has gone out
    TUNNELLING = "tunnelling"  # a 101 has gone out: a Tunnel has taken over (H17)
    ENDED = "ended"


# What is left of a body when the answer is complete is read up to here to keep the connection (S10).
DRAINED: Final = 64 * 1024

# After these the client and the proxy may disagree on where the next request begins.
_ENDS_CONNECTION: Final = frozenset({400, 405, 408, 413, 414, 417, 431, 501, 505})
# Bytes a second: a gathered body that is slower over `request_body_idle` is too slow (O4).
_SLOWEST_GATHERED: Final = 100
_SAFE_TO_REPEAT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


# Members of an enum are slow to look up by attribute; these are read several times a request.
_ADMITTING: Final = Phase.ADMITTING
_GATHERING: Final = Phase.GATHERING
_CONNECTING: Final = Phase.CONNECTING
_AWAITING: Final = Phase.AWAITING
_RELAYING: Final = Phase.RELAYING
_TUNNELLING: Final = Phase.TUNNELLING
_ENDED: Final = Phase.ENDED


class Exchange:
    """A request, its answer, and what became of both.

    Optional attributes live on the class until they are set: most exchanges never set them.
    """

    phase: Phase = _ADMITTING
    route: Route | None = None
    forward: Forward | None = None
    decision: Decision | None = None
    pool: "Pool | None" = None
    upstream: UpstreamConnection | None = None
    upload: Upload | None = None
    status = 0
    sent = 0
    fault: FaultKind | None = None
    note = ""
    retries = 0
    is_at_work = False  # counted among those that max_requests_in_flight bounds (O3)
    has_tunnel_place = False  # counted among those that pool.tunnels bounds (O4)
    pace: StallDetector | None = None
    until = NEVER
    chunked_out = False
    delimited = True
    keep_alive = False
    upstream_began = 0.0

    def __init__(
        self, client: "ClientConnection", config: CompiledConfig, head: RequestHead
    ) -> None:
        self.client = client
        self.config = config
        self.head = head
        self.began = perf_counter()
        self.request_id = head.request_id or client.server.new_request_id()
        self.touched = client.clock.now
        self._limit = 0.0

    # --- match, decide, prepare ------------------------------------------------------------

    def begin(self, data: bytes) -> bytes:
        """Judge the request and set it on its way. `data` is what came behind its head.

        Return what in `data` belongs to later requests.
        """
        head = self.head
        body = head.body()
        if body is not None:
            self.upload = Upload(body, head.length, self.client.server.gathered)
        admitted = admit(self.config, head, self.client.peer, self.request_id)
        self.route = admitted.route
        self.decision = admitted.decision
        if type(admitted) is LocalResponse:
            return self._answer(admitted, data)
        assert type(admitted) is Forward  # noqa: S101 - there are two kinds
        self.forward = admitted
        self.pool = self.client.server.pool_of(admitted.route.upstream)
        shed = self._why_shed()
        if shed is not None:
            route, policy, _ = admitted
            return self._answer(refuse(shed, self.request_id, route, policy, head.facts), data)
        if self.upload is None:
            self._connect()
            return data
        self.upload.limit = admitted.route.max_body
        self.phase = _GATHERING
        self.pace = StallDetector(self.touched, self.upload.moved, _SLOWEST_GATHERED)
        self._await_body()
        if head.expect is not None and head.minor == 1 and not data:
            self.client.write(CONTINUE)  # H14
        return self.receive(data) if data else b""

    def _why_shed(self) -> FaultKind | None:
        """Return why the request is not sent on just now (O2-O4, O7); preflights were answered."""
        client = self.client
        if client.is_surplus or client.server.is_full():
            return faults.OVERLOADED
        assert self.pool is not None  # noqa: S101
        # Last of all, because a place in the circuit's trial or among the tunnels is taken by asking.
        if self.head.upgrade:
            self.has_tunnel_place = self.pool.reserve_tunnel()
            if not self.has_tunnel_place:
                what = f"pool.tunnels of upstream {self.pool.upstream.name}"
                client.server.tell_overload(what, self.pool.most_tunnels)
                return faults.TUNNELS_FULL
        return None if self.pool.admits() else faults.CIRCUIT_OPEN

    # --- the request's body ----------------------------------------------------------------

    @property
    def upload_complete(self) -> bool:
        """Whether the whole request has arrived."""
        return self.upload is None or self.upload.complete

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return those that were not taken.

        They belong to later requests or, if the body is not complete, to a later turn of the loop.
        """
        upload = self.upload
        if upload is None or upload.complete:
            return data
        try:
            payload = upload.take(data)
            self.touched = self.client.clock.now
            self._pass_on(upload, payload)
        except Fault as fault:
            self._fail(fault)
        return upload.excess

    def _pass_on(self, upload: Upload, payload: bytes) -> None:
        phase = self.phase
        if phase is _GATHERING:
            upload.hold(payload)
            if upload.may_begin():
                self._connect()
        elif phase is _CONNECTING:
            upload.hold(payload)
            if not upload.complete:
                self.client.pause(UPLOAD)
        elif self.upstream is not None and not upload.is_stopped:
            self.upstream.send(upload.framed(payload), is_last=upload.complete)
            if upload.complete:
                self._await_answer()

    # --- forward ---------------------------------------------------------------------------

    @property
    def wants_connection(self) -> bool:
        """Whether a connection that was asked for is still of use."""
        return self.phase is _CONNECTING

    def _connect(self) -> None:
        assert self.pool is not None and self.forward is not None  # noqa: S101, PT018
        if not self.is_at_work:
            if self.client.server.is_full():
                self._fail(Fault(faults.OVERLOADED))  # O3: its body came too late
                return
            self.is_at_work = True
            self.client.server.at_work += 1
        self.pace = None
        self.upstream_began = perf_counter()
        if not self.retries:
            self.until = self.client.clock.after(self.forward.route.timeouts.total)
        self.phase = _CONNECTING
        connection = self.pool.take()
        if connection is not None:
            self.connected(connection)
            return
        # The pool keeps time for the queue, and the dialler for itself.
        self.client.deadline = self.until
        self.pool.request(self)

    def connected(self, connection: UpstreamConnection) -> None:
        """Send the request, as far as it is here, on `connection`."""
        assert self.forward is not None  # noqa: S101
        head = self.head
        self.upstream = connection
        self.phase = _AWAITING
        connection.begin(self, head.method)
        if self.client.is_write_paused:
            connection.pause_reading()  # F7: an interim response may have filled the buffer
        route, _, decision = self.forward
        lines = serialize_request_head(head, route, self.caller(), self.request_id, decision)
        upload = self.upload
        if upload is not None:
            lines += upload.release()
        connection.send(lines, is_last=self.upload_complete)
        if self.upload_complete:
            self._await_answer()
        else:
            self._await_body()
            if not connection.is_write_paused:
                self.client.resume(UPLOAD)

    def not_connected(self, fault: Fault) -> None:
        """Tell the client that no upstream connection is to be had."""
        self._fail(fault)

    def caller(self) -> Caller:
        """Return where the request came from, as far as it can be believed (K3)."""
        return caller_of(self.head, self.client.peer, self.config.server)

    # --- rewrite, answer -------------------------------------------------------------------

    def response_started(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Send the head of the upstream's answer, rewritten, and the first piece of its body."""
        assert self.pool is not None  # noqa: S101
        self.pool.record_success()
        self.status = head.status
        self.phase = _RELAYING
        self.touched = self.client.clock.now
        self._await_rest()
        minor = self.head.minor
        self.chunked_out = type(body) is ChunkedBody and minor == 1
        self.delimited = body is None or self.chunked_out or head.length is not None
        upload = self.upload
        if upload is not None and not upload.complete:
            upload.is_stopped = True  # F5: it would come too late
            self.client.resume(UPLOAD)
        self.keep_alive = self._may_keep_alive() and self.delimited
        connection = connection_line(minor, keep_alive=self.keep_alive)
        lines = self._rewritten(head)
        data = serialize_response_head(head, body, lines, connection, chunked=self.chunked_out)
        if not payload:
            self.client.write(data)
        else:
            self.sent += len(payload)
            self.client.write(data + (as_chunk(payload) if self.chunked_out else payload))

    def _rewritten(self, head: ResponseHead) -> bytes:
        assert self.forward is not None  # noqa: S101
        return rewritten(head, self.forward, self.request_id, self._asked, self.client.server)

    def _asked(self) -> RequestContext:
        assert self.forward is not None  # noqa: S101
        route, _, decision = self.forward
        return RequestContext(route, self.head, self.caller(), self.request_id, decision)

    def interim_received(self, head: ResponseHead) -> None:
        """Pass an interim answer on; switch to a tunnel at a 101 that was asked for (H13, H17)."""
        if head.status == 101:
            self._begin_tunnel(head)
        elif head.status != 100 and self.head.minor == 1:
            self.client.write(
                b"HTTP/1.1 %b\r\n%b\r\n" % (head.status_line, join_fields(head.fields)),
            )

    def _begin_tunnel(self, head: ResponseHead) -> None:
        protocol = self.head.upgrade
        if not protocol or head.upgrade != protocol:
            raise Fault(faults.UPSTREAM_INVALID, "a 101 that was not asked for")
        assert self.upstream is not None and self.pool is not None  # noqa: S101, PT018
        self.pool.record_success()
        self.client.server.left_work(self)  # a tunnel is a connection, however long it lasts
        self.status = 101
        self.phase = _TUNNELLING
        upstream, self.upstream = self.upstream, None
        self.client.write(
            b"HTTP/1.1 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            % (head.status_line, self._rewritten(head), protocol),
        )
        assert self.forward is not None  # noqa: S101
        tunnel = Tunnel(self, upstream, idle=self.forward.route.timeouts.tunnel_idle)
        self.client.exchange = tunnel
        upstream.become_tunnel(tunnel)
        tunnel.begin(self.client.take_held())  # S8: it waited for the 101

    def tunnel_ended(self, fault: FaultKind | None) -> None:
        """Account for the tunnel that this exchange became."""
        self.fault = fault
        self._account()

    def body_received(self, payload: bytes) -> None:
        """Pass a piece of the answer's body on as it comes (H19)."""
        self.touched = self.client.clock.now
        self.sent += len(payload)
        self.client.write(as_chunk(payload) if self.chunked_out else payload)

    def response_ended(self) -> None:
        """Finish: end the client's message, give the connection back."""
        upstream = self.upstream
        assert upstream is not None and self.pool is not None  # noqa: S101, PT018
        self.upstream = None
        if self.chunked_out:
            self.client.write(LAST_CHUNK)
        # First the connection, then the client: its next request may go out on this very one.
        self.pool.give_back(upstream)
        self._end()

    # --- faults ----------------------------------------------------------------------------

    def response_failed(self, fault: Fault) -> None:
        """Send the request again where that is safe; else tell the client, or cut it off (F1, F3)."""
        lost = self.upstream
        self.upstream = None
        if self.phase is _AWAITING:
            if lost is not None and self._may_repeat(lost):
                self.retries += 1
                self._connect()
            else:
                self._fail(fault)
            return
        if self.phase is _RELAYING:
            self.fault, self.note = faults.UPSTREAM_TRUNCATED, fault.note
            self._end(cut=True)

    def _may_repeat(self, lost: UpstreamConnection) -> bool:
        """Tell whether the loss can only mean that an idle connection was closed under us (F3)."""
        assert self.pool is not None  # noqa: S101
        return (
            self.retries < self.pool.upstream.retries
            and lost.was_reused
            and not lost.has_responded
            and self.head.method in _SAFE_TO_REPEAT
            and self.upload is None
            and self.pool.reserve_retry()
        )

    def _fail(self, fault: Fault) -> None:
        """Answer a fault that came before any answer; after one, cut the client off (cors.md 65)."""
        self.fault, self.note = fault.kind, fault.note
        self._drop_upstream()
        if self.phase is _RELAYING:
            self._end(cut=True)
            return
        policy = self.config.default_policy if self.route is None else self.route.policy
        answer = refuse(fault.kind, self.request_id, self.route, policy, self.head.facts)
        self._answer(answer, b"")

    def _answer(self, answer: LocalResponse, data: bytes) -> bytes:
        """Send an answer of the proxy's own; return what in `data` belongs to later requests."""
        self.status = answer.status
        self.fault = answer.fault
        rest = self.receive(data) if data else b""
        if self.phase is _ENDED:
            return b""  # the rest of the body broke the framing and was answered instead
        keep = self._may_keep_alive()
        # A client that expected 100 may send the body or not: only closing is unambiguous.
        if self.head.expect is not None and not self.upload_complete:
            keep = False
        if answer.fault is not None and answer.fault.status in _ENDS_CONNECTION:
            keep = False
        self.keep_alive = keep
        minor = self.head.minor
        connection = b"" if keep and minor else connection_line(minor, keep_alive=keep)
        self.sent += 0 if self.head.method == b"HEAD" else len(answer.body)
        self.client.write(
            serialize_local_response(
                answer.status, answer.lines, answer.body, connection, self.head.method
            ),
        )
        self._end()
        return rest

    def _may_keep_alive(self) -> bool:
        """Tell whether the client's connection can serve another request after this one."""
        if not self.head.keep_alive or self.client.server.draining or self.client.is_surplus:
            return False
        if self.head.upgrade:
            return False  # S8: what the client sent behind it was meant for another protocol
        if self.upload_complete:
            return True
        length = self.head.length
        return length is None or length <= DRAINED

    # --- deadlines -------------------------------------------------------------------------

    def _await_body(self) -> None:
        self._arm(self.config.server.timeouts.request_body_idle)

    def _await_answer(self) -> None:
        assert self.forward is not None  # noqa: S101
        self.touched = self.client.clock.now
        if self._is_held_back():
            self.client.deadline = self.until
        else:
            self._arm(self.forward.route.timeouts.response_header)

    def _await_rest(self) -> None:
        assert self.forward is not None  # noqa: S101
        if self._is_held_back():
            self.client.deadline = self.until
        else:
            self._arm(self.forward.route.timeouts.idle)

    def _is_held_back(self) -> bool:
        """Return whether the upstream cannot be late, because nothing is read from it (F7).

        The client is, and its connection keeps the time for that (`write_idle`).
        """
        return self.upstream is not None and self.upstream.is_read_paused

    def _arm(self, seconds: float) -> None:
        self._limit = seconds
        self.client.deadline = min(self.client.clock.after(seconds), self.until)

    def expired(self, now: float) -> None:
        """Learn that the deadline passed; it moves where something has happened since it was set."""
        phase = self.phase
        is_over = self.until <= now
        idle_until = self.touched + (self._limit or NEVER)
        if phase is _GATHERING:
            self._expired_gathering(idle_until, now)
        elif idle_until > now and not is_over:
            self.client.deadline = min(idle_until, self.until)
        elif phase is _AWAITING or phase is _CONNECTING:
            self._give_up(is_over=is_over)
        else:
            self._cut(faults.UPSTREAM_TRUNCATED)

    def _expired_gathering(self, idle_until: float, now: float) -> None:
        """Fail a body that stopped, or that trickles in: while it is gathered it costs memory (O4)."""
        assert self.pace is not None and self.upload is not None  # noqa: S101, PT018
        kept_until = self.pace.look(now, self.upload.moved) + self._limit
        if min(idle_until, kept_until) > now:
            self.client.deadline = min(idle_until, kept_until)
        else:
            self._fail(Fault(faults.REQUEST_TIMEOUT))

    def client_stalled(self) -> None:
        """End everything: the client reads nothing of what was written to it for `write_idle` (O1)."""
        self._cut(faults.WRITE_STALLED)

    def _cut(self, fault: FaultKind) -> None:
        """End the exchange so that what was sent never looks whole (F1)."""
        self.fault = fault
        self._drop_upstream()
        self._end(cut=True)

    def _give_up(self, *, is_over: bool) -> None:
        """Tell the client that no answer began in time, or that its own request did not come."""
        assert self.pool is not None  # noqa: S101
        waits_for_client = not self.upload_complete and not self.client.is_paused(UPLOAD)
        if waits_for_client and not is_over:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
            return
        if self.phase is _AWAITING:
            self.pool.record_failure()
        self._fail(Fault(faults.UPSTREAM_TIMEOUT))

    def stalled_since(self, now: float) -> float:
        """Return since when its client holds this transfer up; 0 if it does not (O4)."""
        client, upload = self.client, self.upload
        uploads = upload is not None and not upload.complete and not upload.is_stopped
        if not (
            (self.phase is _RELAYING and client.is_write_paused)
            or (self.phase is _AWAITING and uploads and not client.is_paused(UPLOAD))
        ):
            self.pace = None
            return 0.0
        moved = self.sent + (0 if upload is None else upload.moved)
        if self.pace is None:
            self.pace = StallDetector(now, moved)
        return self.pace.look(now, moved)

    def cut_stalled(self) -> None:
        """End the transfer: its client holds up what others need (O4)."""
        if self.phase is _AWAITING:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
        else:
            self._cut(faults.WRITE_STALLED)

    # --- back-pressure (F7) ----------------------------------------------------------------

    def upstream_paused(self) -> None:
        """Stop reading from the client while the upstream does not read."""
        if not self.upload_complete:
            self.client.pause(UPLOAD)

    def upstream_resumed(self) -> None:
        """Go on reading from the client."""
        self.client.resume(UPLOAD)

    def client_paused(self) -> None:
        """Stop reading from the upstream while the client does not read."""
        if self.upstream is not None:
            self.upstream.pause_reading()
            if self.upload_complete:
                self.client.deadline = self.until

    def client_resumed(self) -> None:
        """Go on reading from the upstream."""
        if self.upstream is None:
            return
        self.upstream.resume_reading()
        self.touched = self.client.clock.now
        if self.phase is _RELAYING:
            self._await_rest()
        elif self.upload_complete:
            self._await_answer()

    # --- the end ---------------------------------------------------------------------------

    def client_half_closed(self) -> bool:
        """Take a client's FIN; return whether it may still be answered (H20)."""
        answers = self.config.server.half_close == "answer" and self.upload_complete
        return answers and self.client.transport.can_write_eof()

    def client_left(self) -> None:
        """End everything: nobody wants the answer any more (F6)."""
        if self.phase is _ENDED:
            return
        self.fault = self.fault or faults.CLIENT_LEFT
        self.status = self.status if self.phase is _RELAYING else 499
        self._drop_upstream()
        self.client.leftover = None
        self._account()

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.close()

    def _end(self, *, cut: bool = False) -> None:
        """Account for the exchange and let the client go on."""
        self._account()
        if cut:
            self.client.cut(reset=not self.delimited)
        else:
            self.client.exchange_ended(self)

    def _account(self) -> None:
        self.phase = _ENDED
        if self.upload is not None:
            self.upload.drop()
        if self.has_tunnel_place:
            assert self.pool is not None  # noqa: S101
            self.pool.release_tunnel()
        client = self.client
        client.server.account(self)
