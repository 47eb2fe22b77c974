"""Forwards one request: gets a connection, sends the request, retries it, relays the response.

`serialize` writes the head that is sent, and the pool chooses the connection.
"""

from time import perf_counter
from typing import Final

from corsproxy.proxy import faults
from corsproxy.proxy.admit import Forward
from corsproxy.proxy.exchange import Exchange
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.forwarding_deadlines import ForwardingClient, ForwardingDeadlines
from corsproxy.proxy.http.bodies import Body
from corsproxy.proxy.http.response_head import ResponseHead
from corsproxy.proxy.phases import (
    AWAITING_RESPONSE,
    BUFFERING,
    CONNECTING,
    ENDED,
    RELAYING,
    TRANSITIONS,
    TUNNELLING,
    IllegalTransition,
    Phase,
)
from corsproxy.proxy.response import ResponseRelay
from corsproxy.proxy.serialize import CONTINUE, serialize_request_head
from corsproxy.proxy.tunnel import Tunnel
from corsproxy.proxy.upload import Upload
from corsproxy.proxy.upstream.connection import UpstreamConnection

# The safe methods that are forwarded, so not TRACE (F3;
# https://www.rfc-editor.org/rfc/rfc9110.html#section-9.2.1).
_SAFE_TO_REPEAT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class Forwarding(ForwardingDeadlines):
    """A request that is forwarded. It ends its exchange in every case.

    `is_in_flight` while `max_requests_in_flight` bounds it (O3), `has_tunnel_place` while
    `pool.tunnels` does (O4).
    """

    __slots__ = ("has_tunnel_place", "is_in_flight", "relay", "retries", "state")

    def __init__(self, client: ForwardingClient, exchange: Exchange, admitted: Forward) -> None:
        super().__init__(client, exchange, admitted.route)
        self.state = exchange.state
        self.relay = ResponseRelay(exchange, admitted)
        self.retries = 0
        self.is_in_flight = False
        self.has_tunnel_place = False

    def _enter(self, phase: Phase) -> None:
        if phase not in TRANSITIONS[self.phase]:
            raise IllegalTransition(self.phase, phase)
        self.phase = phase

    # --- admitted: forward now, or buffer the body first -----------------------------------

    def begin(self, data: bytes) -> bytes:
        """Begin to forward. `data` arrived after the head; return the part of it that was not taken.

        That part is later requests or, if the body is not complete, is left for a later turn of the loop.
        """
        rejection = self._find_rejection()
        if rejection is not None:
            self._release()
            return self.exchange.respond(self.exchange.refusal(rejection), data)
        upload, head = self.upload, self.exchange.head
        if upload is None:
            self._connect()
            return data
        upload.limit = self.route.max_body
        self._enter(BUFFERING)
        self._begin_buffering(upload)
        # After the rejections, because a client that gets a 100 sends its body. One that has begun to
        # send it does not wait for a 100 (H14;
        # https://www.rfc-editor.org/rfc/rfc9110.html#section-10.1.1).
        if head.expect is not None and head.minor == 1 and not data:
            self.client.write(CONTINUE)
        return self.receive(data) if data else b""

    def _find_rejection(self) -> FaultKind | None:
        """Return why the request cannot be forwarded now (O2-O4, O7), or None. Preflights never get here."""
        if self.client.is_surplus or self.state.is_full():
            return faults.OVERLOADED
        # These two last, because the check itself reserves a tunnel's place or the circuit's one trial.
        # The trial comes last: a request that is rejected after it would leave the circuit half-open.
        if self.exchange.head.upgrade:
            self.has_tunnel_place = self.pool.reserve_tunnel()
            if not self.has_tunnel_place:
                what = f"pool.tunnels of upstream {self.pool.upstream.name}"
                self.state.reports.overloaded(what, self.pool.most_tunnels)
                return faults.TUNNELS_FULL
        return None if self.pool.admits() else faults.CIRCUIT_OPEN

    # --- the request's body ----------------------------------------------------------------

    def receive(self, data: bytes) -> bytes:
        """Receive bytes of the client; return those that were not taken, as `begin` does."""
        upload = self.upload
        if upload is None or upload.complete:
            return data
        try:
            payload = upload.take(data)
            self.last_activity = self.clock.now
            self._pass_on(upload, payload)
        except Fault as fault:
            self._fail(fault)
        return upload.excess

    def _pass_on(self, upload: Upload, payload: bytes) -> None:
        """Buffer `payload` until there is a connection, then send it (O4)."""
        phase = self.phase
        # One branch per phase in which a body can arrive.
        if phase is BUFFERING:
            upload.hold(payload)
            if upload.may_begin():
                self._connect()
        elif phase is CONNECTING:
            upload.hold(payload)
            if not upload.complete:
                self.client.pause_upload()
        # After an early response the rest is read and dropped (F5;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.5).
        elif self.connection is not None and not upload.is_stopped:
            self.connection.send(upload.framed(payload), is_last=upload.complete)
            if upload.complete:
                self._await_response()

    # --- connecting ------------------------------------------------------------------------

    @property
    def wants_connection(self) -> bool:
        """Whether the request still waits for a connection."""
        return self.phase is CONNECTING

    def _connect(self) -> None:
        if not self.is_in_flight:
            # Checked again, because other requests may have come while a body was buffered (O3).
            if self.state.is_full():
                self._fail(Fault(faults.OVERLOADED))
                return
            self.is_in_flight = True
            self.state.in_flight += 1
        self.stall = None
        self.exchange.upstream_started_at = perf_counter()
        if not self.retries:
            self.total_deadline = self.clock.after(self.route.timeouts.total)
        self._enter(CONNECTING)
        # Idle connections first, so that no more are opened than requests overlap (F4).
        connection = self.pool.take()
        if connection is not None:
            self.connected(connection)
            return
        # The pool limits the time in the queue, and the connector that of connecting (O1).
        self.client.deadline = self.total_deadline
        self.pool.request(self)

    def connected(self, connection: UpstreamConnection) -> None:
        """Send the head, and the part of the body that has arrived, on `connection`."""
        exchange, head, upload = self.exchange, self.exchange.head, self.upload
        self.connection = connection
        self._enter(AWAITING_RESPONSE)
        connection.begin(self, head.method)
        # Before anything is sent, because the response may follow at once. An interim response may
        # already have filled the client's buffer (F7).
        if self.client.is_write_paused:
            connection.pause_reading()
        data = serialize_request_head(
            head, self.route, exchange.caller(), exchange.request_id, exchange.decision
        )
        if upload is None:
            connection.send(data, is_last=True)
            self._await_response()
            return
        connection.send(data + upload.release(), is_last=upload.complete)
        if upload.complete:
            self._await_response()
            return
        self._await_body()
        # Unless the first piece filled the upstream's buffer: then `upstream_resumed` does this (F7).
        if not connection.is_write_paused:
            self.client.resume_upload()

    def not_connected(self, fault: Fault) -> None:
        """Respond with `fault`, the reason why this request gets no connection."""
        self._fail(fault)

    # --- the response ----------------------------------------------------------------------

    def response_started(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Send the head of the upstream's response, rewritten, and the first piece of its body."""
        self.pool.record_success()
        self._enter(RELAYING)
        self.last_activity = self.clock.now
        self._await_rest()
        upload = self.upload
        if upload is not None and not upload.complete:
            # The rest of the body would be too late. It is read and dropped (F5;
            # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.5).
            upload.is_stopped = True
            self.client.resume_upload()
        self.relay.send_head(head, body, payload)

    def body_received(self, payload: bytes) -> None:
        """Send a piece of the response's body as it arrives."""
        self.last_activity = self.clock.now
        self.relay.send_body(payload)

    def response_ended(self) -> None:
        """End the client's message, and return the connection to the pool."""
        connection = self._detach()
        self.relay.send_end()
        # The connection before the client, whose next request can then reuse it (F4).
        self.pool.give_back(connection)
        self._release()
        self.exchange.end()

    def interim_received(self, head: ResponseHead) -> None:
        """Relay an interim response, or become a tunnel after a 101 (H13, H17)."""
        if head.status == 101:
            self._begin_tunnel(head)
        else:
            self.relay.send_interim(head)

    def _begin_tunnel(self, head: ResponseHead) -> None:
        protocol = self.exchange.head.upgrade
        # First, while an error can still be sent: a server may switch only to a protocol that the
        # client requested (H17; https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
        if not protocol or head.upgrade != protocol:
            raise Fault(faults.UPSTREAM_INVALID, "a 101 without a matching Upgrade in the request")
        self.pool.record_success()
        self._leave_flight()  # a tunnel counts as a connection, not as a request in flight (O3)
        self._enter(TUNNELLING)
        connection = self._detach()
        self.relay.send_switching_protocols(head, protocol)
        idle = self.route.timeouts.tunnel_idle
        tunnel = Tunnel(self.exchange, connection, idle=idle, on_end=self._tunnel_ended)
        early = self.client.begin_tunnel(tunnel)  # what the client sent before the 101 (S8)
        connection.become_tunnel(tunnel)
        tunnel.begin(early)

    def _tunnel_ended(self) -> None:
        self._release()
        self.exchange.abandon()

    def _detach(self) -> UpstreamConnection:
        """Return the connection and forget it: this request no longer uses it."""
        connection, self.connection = self.connection, None
        if connection is None:
            raise AssertionError("a response came without a connection")
        return connection

    # --- faults ----------------------------------------------------------------------------

    def response_failed(self, fault: Fault) -> None:
        """Retry the request if that is safe; else respond with `fault`, or cut the response (F1, F3)."""
        lost, self.connection = self.connection, None
        if self.phase is RELAYING:
            # First, because part of a response has been sent: it must not look complete (F1; RFC 9112 8,
            # https://www.rfc-editor.org/rfc/rfc9112.html#section-8).
            self.exchange.note = fault.note
            self._cut(faults.UPSTREAM_TRUNCATED)
        elif lost is not None and self._may_repeat(lost):
            self.retries += 1
            self._connect()
        else:
            self._fail(fault)

    def _may_repeat(self, lost: UpstreamConnection) -> bool:
        """Return whether the upstream can only have closed an idle connection, and a retry is safe (F3).

        https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3.1
        """
        return (
            self.retries < self.pool.upstream.retries
            and lost.was_reused
            and not lost.has_responded
            and self.exchange.head.method in _SAFE_TO_REPEAT
            and self.upload is None
            # Last of all, because the check itself spends a retry.
            and self.pool.reserve_retry()
        )

    def _fail(self, fault: Fault) -> None:
        """Respond with `fault`; if a response has begun, cut that instead (cors.md 65)."""
        exchange = self.exchange
        exchange.note = fault.note
        if self.phase is RELAYING:
            self._cut(fault.kind)
            return
        # Before the response, after which the client's next request may begin at once.
        self._drop_connection()
        self._release()
        exchange.respond(exchange.refusal(fault.kind))

    def _cut(self, fault: FaultKind) -> None:
        """End the exchange so that an incomplete response never looks complete (F1)."""
        self.exchange.fault = fault
        self._drop_connection()
        self._release()
        self.exchange.cut(reset=not self.relay.is_delimited)

    # --- back-pressure (F7) ----------------------------------------------------------------

    def upstream_paused(self) -> None:
        """Stop reading from the client while the upstream does not read."""
        if not self.upload_complete:
            self.client.pause_upload()

    def upstream_resumed(self) -> None:
        """Resume reading from the client."""
        self.client.resume_upload()

    def client_paused(self) -> None:
        """Stop reading from the upstream while the client does not read."""
        if self.connection is not None:
            self.connection.pause_reading()
            if self.upload_complete:
                self.client.deadline = self.total_deadline

    def client_resumed(self) -> None:
        """Resume reading from the upstream."""
        if self.connection is None:
            return
        self.connection.resume_reading()
        self.last_activity = self.clock.now
        if self.phase is RELAYING:
            self._await_rest()
        elif self.upload_complete:
            self._await_response()

    # --- the end ---------------------------------------------------------------------------

    def client_half_closed(self) -> bool:
        """Handle a client's FIN; return whether the response is still sent (H20).

        A FIN within the request's body makes the request incomplete, which is not served
        (https://www.rfc-editor.org/rfc/rfc9112.html#section-8).
        """
        responds = self.exchange.config.server.half_close == "answer" and self.upload_complete
        return responds and self.client.transport.can_write_eof()

    def client_left(self) -> None:
        """Abandon the request and close its upstream connection (F6)."""
        exchange = self.exchange
        exchange.fault = faults.CLIENT_LEFT
        # A status that was sent is the one to log, even if its response is incomplete.
        if self.phase is not RELAYING:
            exchange.status = 499
        self._drop_connection()
        self._release()
        exchange.abandon()

    def _drop_connection(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _release(self) -> None:
        """Enter ENDED and release what the request occupies; its exchange is accounted for next."""
        self._enter(ENDED)
        if self.upload is not None:
            self.upload.drop()
        if self.has_tunnel_place:
            self.pool.release_tunnel()
        self._leave_flight()

    def _leave_flight(self) -> None:
        """Stop counting the request for `max_requests_in_flight` (O3)."""
        if self.is_in_flight:
            self.is_in_flight = False
            self.state.in_flight -= 1
