"""Handles one request from its head to its end: admits it, responds locally, accounts for it once.

`Forwarding` handles those that are forwarded.
"""

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from corsproxy.policy.compiled import Route
from corsproxy.proxy.accounting import account
from corsproxy.proxy.admit import Forward, LocalResponse, admit, refuse
from corsproxy.proxy.context import RequestContext
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.forwarded import Caller, Peer, caller_of
from corsproxy.proxy.http.bodies import Body
from corsproxy.proxy.http.request_head import RequestHead
from corsproxy.proxy.serialize import connection_line, serialize_local_response
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.upload import Upload

if TYPE_CHECKING:
    from corsproxy.policy.cors.decision import Decision

# To keep a connection, at most this much is read of a body after its response, in bytes (S10).
DRAINED: Final = 64 * 1024

# After these the client and the proxy may disagree on where the next request begins (S10;
# https://www.rfc-editor.org/rfc/rfc9112.html#section-11.2).
_ENDS_CONNECTION: Final = frozenset({400, 405, 408, 413, 414, 417, 431, 501, 505})


class Client(Protocol):
    """What exchanges use of their client's connection."""

    deadline: float
    is_surplus: bool
    is_write_paused: bool
    leftover: Body | None
    peer: Peer
    transport: asyncio.Transport

    def write(self, data: bytes) -> None:
        """Send `data`."""

    def pause_upload(self) -> None:
        """Stop reading the request's body."""

    def resume_upload(self) -> None:
        """Resume reading the request's body."""

    def exchange_ended(self, exchange: "Exchange") -> None:
        """Continue after a response that is complete."""

    def cut(self, *, reset: bool) -> None:
        """End the connection after a response that is incomplete."""

    def close_now(self) -> None:
        """Close the connection once all is sent."""


class Exchange:
    """A request, its response, and the outcome."""

    __slots__ = (
        "bytes_sent",
        "client",
        "config",
        "decision",
        "fault",
        "head",
        "keep_alive",
        "note",
        "request_id",
        "route",
        "started_at",
        "state",
        "status",
        "upload",
        "upstream_started_at",
    )

    def __init__(self, client: Client, state: ServerState, head: RequestHead) -> None:
        self.client = client
        self.state = state
        self.config = state.config  # the request ends under the configuration it began with (P2)
        self.head = head
        self.started_at = perf_counter()
        self.request_id = head.request_id or state.new_request_id()
        self.route: Route | None = None
        self.decision: Decision | None = None
        self.status = 0
        self.bytes_sent = 0
        self.fault: FaultKind | None = None
        self.note = ""
        self.keep_alive = False
        self.upstream_started_at = 0.0
        state.open_exchanges += 1
        body = head.body()
        self.upload = None if body is None else Upload(body, head.length, state.uploads)

    def admit(self) -> LocalResponse | Forward:
        """Decide whether the request is forwarded; keep its route and decision."""
        admitted = admit(self.config, self.head, self.client.peer, self.request_id)
        self.route = admitted.route
        self.decision = admitted.decision
        return admitted

    def caller(self) -> Caller:
        """Return where the request came from, using the header fields of trusted proxies (K3)."""
        return caller_of(self.head, self.client.peer, self.config.server)

    def context(self, route: Route) -> RequestContext:
        """Return the request as conditions and variables of the rules of `route` use it."""
        return RequestContext(route, self.head, self.caller(), self.request_id, self.decision)

    @property
    def upload_complete(self) -> bool:
        """Whether the whole request has arrived."""
        return self.upload is None or self.upload.complete

    @property
    def unread(self) -> Body | None:
        """The body of the request, unless all of it has been read."""
        return None if self.upload is None or self.upload.complete else self.upload.body

    # --- a response of the proxy's own -----------------------------------------------------

    def refusal(self, kind: FaultKind) -> LocalResponse:
        """Return the response to a fault of this request, with CORS headers (cors.md 62)."""
        policy = self.config.default_policy if self.route is None else self.route.policy
        return refuse(kind, self.request_id, self.route, policy, self.head.facts)

    def respond(self, response: LocalResponse, data: bytes = b"") -> bytes:
        """Send a response of the proxy's own and end; return the part of `data` that is later requests.

        `data` is the start of the body, or b"" if that was received before.
        """
        upload = self.upload
        if data and upload is not None and not upload.complete:
            # First of all, because a body whose end cannot be found changes the response to 400 (S4;
            # https://www.rfc-editor.org/rfc/rfc9112.html#section-6.3).
            response, data = self._skip_body(upload, response, data)
        self.status = response.status
        self.fault = response.fault
        self.keep_alive = keep = self._may_keep_alive_after(response)
        minor = self.head.minor
        connection = b"" if keep and minor else connection_line(minor, keep_alive=keep)
        if self.head.method != b"HEAD":
            self.bytes_sent += len(response.body)
        # Before the response is written: if that fills the client's buffer, the rest of the body is
        # still read, and requests after it are not (F7).
        self.client.leftover = self.unread
        self.client.write(
            serialize_local_response(
                response.status, response.lines, response.body, connection, self.head.method
            ),
        )
        self.end()
        return data

    def _skip_body(
        self, upload: Upload, response: LocalResponse, data: bytes
    ) -> tuple[LocalResponse, bytes]:
        """Return the response, and `data` after the body; malformed framing replaces the response."""
        try:
            upload.take(data)
        except Fault as fault:
            self.note = fault.note
            return self.refusal(fault.kind), b""
        return response, upload.excess

    def _may_keep_alive_after(self, response: LocalResponse) -> bool:
        # First, because it holds whatever the length is: after a final response without 100 a client
        # may send the body or not, so the next bytes are ambiguous
        # (H14; https://www.rfc-editor.org/rfc/rfc9110.html#section-10.1.1).
        if self.head.expect is not None and not self.upload_complete:
            return False
        if response.fault is not None and response.fault.status in _ENDS_CONNECTION:
            return False
        return self.may_keep_alive()

    def may_keep_alive(self) -> bool:
        """Return whether the client's connection can serve another request after this one."""
        if not self.head.keep_alive or self.state.draining or self.client.is_surplus:
            return False
        if self.head.upgrade:
            # What the client sent after the head is meant for another protocol (S8;
            # https://www.rfc-editor.org/rfc/rfc9110.html#section-7.8).
            return False
        # Last, because only a rest of the body can be read to keep the connection (S10;
        # https://www.rfc-editor.org/rfc/rfc9112.html#section-9.3).
        if self.upload_complete:
            return True
        length = self.head.length
        return length is None or length <= DRAINED

    # --- the end: one of these is called, once ---------------------------------------------

    def end(self) -> None:
        """Account for the exchange, whose response is complete, and continue with the next request."""
        account(self.state, self)
        self.client.exchange_ended(self)

    def cut(self, *, reset: bool) -> None:
        """Account for the exchange, and end the connection so that the response looks incomplete (F1)."""
        account(self.state, self)
        self.client.cut(reset=reset)

    def abandon(self) -> None:
        """Account for the exchange, whose client's connection has ended or is being closed."""
        account(self.state, self)
