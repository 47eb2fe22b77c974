"""What an upstream connection calls: the handler of a response, the handler of a tunnel, its pool."""

from collections.abc import Hashable
from typing import Protocol, TypeVar

from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import Body
from corsproxy.proxy.http.response_head import ResponseHead

C_contra = TypeVar("C_contra", bound=Hashable, contravariant=True)


class ResponseHandler(Protocol):
    """Handles the response on an upstream connection: the exchange that the connection is lent to."""

    def response_started(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Handle the final response's head, its body's reader (None: no body) and first piece."""

    def interim_received(self, head: ResponseHead) -> None:
        """Handle an interim response (1xx)."""

    def body_received(self, payload: bytes) -> None:
        """Handle a piece of the body."""

    def response_ended(self) -> None:
        """Handle the end of a complete response."""

    def response_failed(self, fault: Fault) -> None:
        """Handle the loss of the connection, before a response or within one."""

    def stalled_since(self, now: float) -> float:
        """Return since when only the client holds the transfer up; 0 if it does not."""

    def cut_stalled(self) -> None:
        """End the transfer: its client holds up what others need."""

    def upstream_paused(self) -> None:
        """Stop sending until resumed."""

    def upstream_resumed(self) -> None:
        """Go on sending."""


class TunnelHandler(Protocol):
    """Handles the bytes behind a 101: the tunnel."""

    def upstream_sent(self, data: bytes) -> None:
        """Handle bytes from the upstream."""

    def upstream_half_closed(self) -> bool:
        """Handle a FIN; return whether there may be more to send."""

    def upstream_left(self, fault: Fault) -> None:
        """Handle the loss of the connection."""

    def upstream_paused(self) -> None:
        """Stop sending until resumed."""

    def upstream_resumed(self) -> None:
        """Go on sending."""


class ConnectionOwner(Protocol[C_contra]):
    """Owns connections of one kind: their pool."""

    def record_excess(self) -> None:
        """Record bytes that belong to no response (S12)."""

    def became_tunnel(self, connection: C_contra) -> None:
        """Count a lent connection as a tunnel from now on (O4)."""

    def remove(self, connection: C_contra) -> None:
        """Remove a connection that is lost or being closed."""
