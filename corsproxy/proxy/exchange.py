"""One request's way: match -> decide -> forward -> rewrite -> answer. Knows no parsing and no pool.

`begin` judges the request at once (`admit`); if it is forwarded, the exchange is a small state
machine whose phases are named below. Everything ends in `_end`, where it is accounted for, once.
"""

from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, Final

from corsproxy.observe.record import Record
from corsproxy.policy import fields as f
from corsproxy.policy.cors import Decision
from corsproxy.policy.plan import Plan, Route
from corsproxy.policy.reshape import reshape_answer
from corsproxy.policy.rewrite import rewrite
from corsproxy.policy.rules import Field
from corsproxy.proxy import faults
from corsproxy.proxy.admit import Answer, Forward, admit, refuse
from corsproxy.proxy.asked import Asked
from corsproxy.proxy.bodies import (
    LAST_CHUNK,
    BadChunk,
    Body,
    ChunkedBody,
    LengthBody,
    as_chunk,
)
from corsproxy.proxy.clock import NEVER
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.forwarded import Caller, caller_of
from corsproxy.proxy.lines import (
    CONTINUE,
    answer_lines,
    connection_line,
    join_fields,
    own_answer,
    request_lines,
)
from corsproxy.proxy.pace import Pace
from corsproxy.proxy.request_head import RequestHead
from corsproxy.proxy.response_head import ResponseHead
from corsproxy.proxy.upstream import UpstreamConnection, send_fin

if TYPE_CHECKING:
    from corsproxy.proxy.client import ClientConnection
    from corsproxy.proxy.pool import Pool


class Phase(Enum):
    """Where a forwarded request is on its way."""

    ADMITTING = "admitting"
    GATHERING = "gathering"  # the start of a body, or the whole of a short one, is awaited (O4)
    CONNECTING = "connecting"  # an upstream connection was asked for
    AWAITING = "awaiting"  # the request is on its way, the head of the answer is not here
    RELAYING = "relaying"  # the answer's head has gone out
    TUNNELLING = "tunnelling"  # a 101 has gone out: bytes both ways (H17)
    ENDED = "ended"


# A body of at most this length is read whole before an upstream connection is taken (O4).
GATHERED: Final = 64 * 1024
# What is left of a body when the answer is complete is read up to here to keep the connection (S10).
DRAINED: Final = 64 * 1024

# Why a client's connection may have to pause reading; bits, for there may be several reasons.
UPLOAD: Final = 1
PIPELINE: Final = 2

# After these the client and the proxy may disagree on where the next request begins.
_ENDS_CONNECTION: Final = frozenset({400, 405, 408, 413, 414, 417, 431, 501, 505})
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
    body: Body | None = None
    status = 0
    sent = 0
    fault: FaultKind | None = None
    note = ""
    upload_complete = True
    upload_stopped = False
    retries = 0
    uploaded = 0
    is_at_work = False  # counted among those that max_requests_in_flight bounds (O3)
    pace: Pace | None = None
    until = NEVER
    half_closed = False
    chunked_out = False
    delimited = True
    keep_alive = False
    upstream_began = 0.0

    def __init__(self, client: "ClientConnection", plan: Plan, head: RequestHead) -> None:
        self.client = client
        self.plan = plan
        self.head = head
        self.began = perf_counter()
        self.request_id = head.request_id or client.server.new_request_id()
        self.touched = client.clock.now
        self._limit = 0.0
        self._held: list[bytes] = []

    # --- match, decide, prepare ------------------------------------------------------------

    def begin(self, data: bytes) -> bytes:
        """Judge the request and set it on its way. `data` is what came behind its head.

        Return what in `data` belongs to later requests.
        """
        head = self.head
        self.body = body = head.body()
        self.upload_complete = body is None
        admitted = admit(self.plan, head, self.client.peer, self.request_id)
        self.route = admitted.route
        self.decision = admitted.decision
        if type(admitted) is Answer:
            return self._answer(admitted, data)
        assert type(admitted) is Forward  # noqa: S101 - there are two kinds
        self.forward = admitted
        self.pool = self.client.server.pool_of(admitted.route.upstream)
        shed = self._why_shed()
        if shed is not None:
            route, policy, _ = admitted
            return self._answer(refuse(shed, self.request_id, route, policy, head.facts), data)
        if body is None:
            self._connect()
            return data
        self.phase = _GATHERING
        self._await_body()
        if head.expect is not None and head.minor == 1 and not data:
            self.client.write(CONTINUE)  # H14
        return self.receive(data) if data else b""

    def _why_shed(self) -> FaultKind | None:
        """Return why the request is not sent on just now (O2, O3, O7); preflights were answered."""
        client = self.client
        if client.is_surplus or client.server.is_full():
            return faults.OVERLOADED
        assert self.pool is not None  # noqa: S101
        return None if self.pool.admits() else faults.CIRCUIT_OPEN

    # --- the request's body ----------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return those that belong to later requests."""
        if self.phase is _TUNNELLING:
            assert self.upstream is not None  # noqa: S101 - a tunnel has two ends
            self.touched = self.client.clock.now
            self.upstream.transport.write(data)
            return b""
        body = self.body
        if body is None or self.upload_complete:
            return data
        try:
            payload = body.feed(data)
        except BadChunk:
            self._fail(Fault(faults.BAD_CHUNK))
            return b""
        self.touched = self.client.clock.now
        self.upload_complete = body.complete
        if self.head.chunked and self._is_too_much(payload):
            self._fail(Fault(faults.BODY_TOO_LARGE))
            return b""
        self._pass_on(payload)
        return body.excess if self.upload_complete else b""

    def _is_too_much(self, payload: bytes) -> bool:
        """Count a body whose length nobody announced (O5); after an answer it is no matter (F5)."""
        if self.forward is None or self.phase is _RELAYING:
            return False
        self.uploaded += len(payload)
        return 0 < self.forward.route.max_body < self.uploaded

    def _pass_on(self, payload: bytes) -> None:
        phase = self.phase
        if phase is _AWAITING or phase is _RELAYING:
            self._upload(payload)
        elif phase is _GATHERING:
            if payload:
                self._held.append(payload)
            length = self.head.length
            if self.upload_complete or (payload and (length is None or length > GATHERED)):
                self._connect()
        elif phase is _CONNECTING:
            self._held.append(payload)
            if not self.upload_complete:
                self.client.pause(UPLOAD)

    def _upload(self, payload: bytes) -> None:
        upstream = self.upstream
        if upstream is None or self.upload_stopped:
            return
        write = upstream.transport.write
        if not self.head.chunked:
            write(payload)
        else:
            if payload:
                write(as_chunk(payload))
            if self.upload_complete:
                write(LAST_CHUNK)
        if self.upload_complete:
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
        self.pool.ask(self)

    def connected(self, connection: UpstreamConnection) -> None:
        """Send the request, as far as it is here, on `connection`."""
        assert self.forward is not None  # noqa: S101
        head = self.head
        self.upstream = connection
        self.phase = _AWAITING
        connection.begin(self, head.method)
        route, _, decision = self.forward
        pieces = [request_lines(head, route, self.caller(), self.request_id, decision)]
        payload = b"".join(self._held)
        self._held = []
        if payload:  # an empty chunk would be the last one
            pieces.append(as_chunk(payload) if head.chunked else payload)
        if head.chunked and self.upload_complete:
            pieces.append(LAST_CHUNK)
        connection.transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.upload_complete:
            self._await_answer()
        else:
            self._await_body()
            self.client.resume(UPLOAD)

    def not_connected(self, fault: Fault) -> None:
        """Tell the client that no upstream connection is to be had."""
        self._fail(fault)

    def caller(self) -> Caller:
        """Return where the request came from, as far as it can be believed (K3)."""
        return caller_of(self.head, self.client.peer, self.plan.server.trusted_proxies)

    # --- rewrite, answer -------------------------------------------------------------------

    def answer_began(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Send the head of the upstream's answer, rewritten, and the first piece of its body."""
        assert self.pool is not None  # noqa: S101
        self.pool.answered()
        self.status = head.status
        self.phase = _RELAYING
        self.touched = self.client.clock.now
        self._await_rest()
        minor = self.head.minor
        self.chunked_out = type(body) is ChunkedBody and minor == 1
        self.delimited = body is None or self.chunked_out or head.length is not None
        if not self.upload_complete:
            self.upload_stopped = True  # F5: it would come too late
            self.client.resume(UPLOAD)
        self.keep_alive = self._may_keep_alive() and self.delimited
        connection = connection_line(minor, keep_alive=self.keep_alive)
        data = answer_lines(head, body, self._rewrite(head), connection, chunked=self.chunked_out)
        if not payload:
            self.client.write(data)
        else:
            self.sent += len(payload)
            self.client.write(data + (as_chunk(payload) if self.chunked_out else payload))

    def _rewrite(self, head: ResponseHead) -> bytes:
        """Return the answer's header lines after the route's rules and under its policy."""
        assert self.forward is not None  # noqa: S101
        route, policy, decision = self.forward
        fields, kinds = head.fields, head.kinds
        if not kinds & f.REQUEST_ID:
            fields.append((b"X-Request-Id", self.request_id))
            kinds |= f.REQUEST_ID
        if kinds & route.reshaped_kinds and head.status != 101:
            fields, kinds = self._reshape(route, head)
        if policy is None or decision is None:
            return join_fields(fields)
        if kinds & f.CORS:
            self.client.server.upstream_sent_cors(route)
        return rewrite(policy, decision, head.status, fields, kinds)

    def _reshape(self, route: Route, head: ResponseHead) -> tuple[list[Field], int]:
        """Return the answer's fields, and their kinds, after the route's links, cookies and rules."""
        asked = Asked(route, self.head, self.caller(), self.request_id, self.decision)
        links = asked.links() if head.kinds & f.LOCATION else None
        shaped = reshape_answer(route, head.fields, head.kinds, links, asked.context(head.status))
        for reason in shaped.left:
            self.client.server.cookie_left(route, reason)
        return shaped.fields, shaped.kinds

    def interim_came(self, head: ResponseHead) -> None:
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
        self.pool.answered()
        self.client.server.left_work(self)  # a tunnel is a connection, however long it lasts
        self.until = NEVER
        self.status = 101
        self.phase = _TUNNELLING
        self.touched = self.client.clock.now
        self._await_rest()
        self.client.write(
            b"HTTP/1.1 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            % (head.status_line, self._rewrite(head), protocol),
        )
        early = self.client.take_held()
        if early:
            self.upstream.transport.write(early)  # S8: it waited for the 101

    def answer_came(self, payload: bytes) -> None:
        """Pass a piece of the answer's body on as it comes (H19)."""
        self.touched = self.client.clock.now
        self.sent += len(payload)
        self.client.write(as_chunk(payload) if self.chunked_out else payload)

    def tunnelled(self, data: bytes) -> None:
        """Pass bytes behind a 101 on."""
        self.touched = self.client.clock.now
        self.sent += len(data)
        self.client.write(data)

    def answer_ended(self) -> None:
        """Finish: end the client's message, give the connection back."""
        upstream = self.upstream
        assert upstream is not None and self.pool is not None  # noqa: S101, PT018
        self.upstream = None
        if self.chunked_out:
            self.client.write(LAST_CHUNK)
        if not self.upload_complete:
            upstream.keep_alive = False
        # First the connection, then the client: its next request may go out on this very one.
        self.pool.give_back(upstream)
        self._end()

    # --- faults ----------------------------------------------------------------------------

    def answer_failed(self, fault: Fault) -> None:
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
        self.fault, self.note = fault.kind, fault.note
        if self.phase is _TUNNELLING:
            self._end()
        elif self.phase is _RELAYING:
            self.fault = faults.UPSTREAM_TRUNCATED
            self._end(cut=True)

    def _may_repeat(self, lost: UpstreamConnection) -> bool:
        """Tell whether the loss can only mean that an idle connection was closed under us (F3)."""
        assert self.pool is not None  # noqa: S101
        return (
            self.retries < self.pool.upstream.retries
            and lost.was_reused
            and not lost.has_answered
            and self.head.method in _SAFE_TO_REPEAT
            and self.body is None
            and self.pool.may_repeat()
        )

    def _fail(self, fault: Fault) -> None:
        """Answer a fault that came before any answer; after one, cut the client off (cors.md 65)."""
        self.fault, self.note = fault.kind, fault.note
        self._drop_upstream()
        if self.phase in {_RELAYING, _TUNNELLING}:
            self._end(cut=True)
            return
        policy = self.plan.default_policy if self.route is None else self.route.policy
        answer = refuse(fault.kind, self.request_id, self.route, policy, self.head.facts)
        self._answer(answer, b"")

    def _answer(self, answer: Answer, data: bytes) -> bytes:
        """Send an answer of the proxy's own; return what in `data` belongs to later requests."""
        self._held = []
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
            own_answer(answer.status, answer.lines, answer.body, connection, self.head.method),
        )
        self._end()
        return rest

    def _may_keep_alive(self) -> bool:
        """Tell whether the client's connection can serve another request after this one."""
        if not self.head.keep_alive or self.client.server.draining or self.client.is_surplus:
            return False
        if self.head.upgrade:
            return False  # S8: what the client sent behind it was meant for another protocol
        if self.upload_complete or self.body is None:
            return True
        length = self.head.length
        return length is None or length <= DRAINED

    # --- deadlines -------------------------------------------------------------------------

    def _await_body(self) -> None:
        self._arm(self.plan.server.timeouts.request_body_idle)

    def _await_answer(self) -> None:
        assert self.forward is not None  # noqa: S101
        self.touched = self.client.clock.now
        self._arm(self.forward.route.timeouts.response_header)

    def _await_rest(self) -> None:
        assert self.forward is not None  # noqa: S101
        timeouts = self.forward.route.timeouts
        tunnel = self.phase is _TUNNELLING
        self._arm(timeouts.tunnel_idle if tunnel else timeouts.idle)

    def _arm(self, seconds: float) -> None:
        self._limit = seconds
        self.client.deadline = min(self.client.clock.after(seconds), self.until)

    def expired(self, now: float) -> None:
        """Learn that the deadline passed; it moves where something has happened since it was set."""
        phase = self.phase
        is_over = self.until <= now
        idle_until = self.touched + (self._limit or NEVER)
        if idle_until > now and not is_over:
            self.client.deadline = min(idle_until, self.until)
        elif phase is _GATHERING:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
        elif phase is _AWAITING or phase is _CONNECTING:
            self._give_up(is_over=is_over)
        elif phase is _TUNNELLING and not self.client.is_write_paused:
            self._drop_upstream()
            self._end()  # nobody said anything for `tunnel_idle`: no fault
        else:
            stalled = self.client.is_write_paused and not is_over
            self.fault = faults.WRITE_STALLED if stalled else faults.UPSTREAM_TRUNCATED
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
            self.pool.failed()
        self._fail(Fault(faults.UPSTREAM_TIMEOUT))

    def stalled_since(self, now: float) -> float:
        """Return since when its client holds this transfer up; 0 if it does not (O4)."""
        client, body = self.client, self.body
        uploads = not self.upload_complete and not self.upload_stopped
        if not (
            (self.phase is _RELAYING and client.is_write_paused)
            or (self.phase is _AWAITING and uploads and not client.is_paused(UPLOAD))
        ):
            self.pace = None
            return 0.0
        moved = self.sent + self.uploaded
        if type(body) is LengthBody:
            moved -= body.remaining
        if self.pace is None:
            self.pace = Pace(now, moved)
        return self.pace.look(now, moved)

    def cut_stalled(self) -> None:
        """End the transfer: its client holds up what others need (O4)."""
        if self.phase is _AWAITING:
            self._fail(Fault(faults.REQUEST_TIMEOUT))
            return
        self.fault = faults.WRITE_STALLED
        self._drop_upstream()
        self._end(cut=True)

    # --- back-pressure (F7) ----------------------------------------------------------------

    def upstream_paused(self) -> None:
        """Stop reading from the client while the upstream does not read."""
        if not self.upload_complete or self.phase is _TUNNELLING:
            self.client.pause(UPLOAD)

    def upstream_resumed(self) -> None:
        """Go on reading from the client."""
        self.client.resume(UPLOAD)

    def client_paused(self) -> None:
        """Stop reading from the upstream while the client does not read."""
        self.touched = self.client.clock.now
        if self.phase is _RELAYING or self.phase is _TUNNELLING:
            self._arm(self.plan.server.timeouts.write_idle)
        if self.upstream is not None:
            self.upstream.transport.pause_reading()

    def client_resumed(self) -> None:
        """Go on reading from the upstream."""
        self.touched = self.client.clock.now
        if self.phase is _RELAYING or self.phase is _TUNNELLING:
            self._await_rest()
        if self.upstream is not None:
            self.upstream.transport.resume_reading()

    # --- the end ---------------------------------------------------------------------------

    def client_half_closed(self) -> bool:
        """Take a client's FIN; return whether the connection is to stay open for what is to come."""
        transport = self.client.transport
        if self.phase is not _TUNNELLING:
            answers = self.plan.server.half_close == "answer" and self.upload_complete  # H20
            return answers and transport.can_write_eof()
        assert self.upstream is not None  # noqa: S101
        other = self.upstream.transport
        if not (transport.can_write_eof() and other.can_write_eof()):
            return False
        if self.half_closed:
            other.close()  # both have said all; when this is on its way the tunnel ends
        else:
            self.half_closed = True
            send_fin(other)
        return True

    def tunnel_half_closed(self) -> bool:
        """Take the FIN of a tunnel's upstream; return whether it is to hear more from the client."""
        transport = self.client.transport
        if self.half_closed or not transport.can_write_eof():
            return False
        self.half_closed = True
        send_fin(transport)
        return True

    def client_left(self) -> None:
        """End everything: nobody wants the answer any more (F6)."""
        if self.phase is _ENDED:
            return
        if self.phase is not _TUNNELLING:
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
        phase = self.phase
        self._account()
        if cut:
            self.client.cut(reset=not self.delimited)
        elif phase is _TUNNELLING:
            self.client.close_now()
        else:
            self.client.exchange_ended(self)

    def _account(self) -> None:
        self.phase = _ENDED
        client = self.client
        client.server.account(self)

    def record(self, ended: float) -> Record:
        """Return what logs and counters want to know; `ended` is of perf_counter."""
        head = self.head
        began = self.upstream_began
        return Record(
            client=self.caller().client,
            method=head.method,
            target=head.target,
            host=head.host,
            minor=head.minor,
            status=self.status,
            sent=self.sent,
            duration=ended - self.began,
            upstream_duration=ended - began if began else 0.0,
            route=self.route.name if self.route is not None else "",
            origin=head.origin[0] if head.origin else b"",
            decision=self.decision,
            request_id=self.request_id,
            traceparent=_value_of(head, b"traceparent"),
            fault=self.fault.word if self.fault is not None else "",
            note=self.note,
        )


def _value_of(head: RequestHead, name: bytes) -> bytes:
    for field, value in head.fields:
        if field.lower() == name:
            return value
    return b""
