"""Defines what an upstream connection calls: the handlers of a response and a tunnel, and its pool."""

from collections.abc import Hashable
from typing import Protocol, TypeVar

from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import Body
from corsproxy.proxy.http.response_head import ResponseHead

C_contra = TypeVar("C_contra", bound=Hashable, contravariant=True)


class ResponseHandler(Protocol):
    """Handles the response on an upstream connection: the forwarded request that it is lent to."""

    def response_started(self, head: ResponseHead, body: Body | None, payload: bytes) -> None:
        """Handle the head of the final response, the reader of its body (None: no body) and its first piece."""

    def interim_received(self, head: ResponseHead) -> None:
        """Handle an interim response (1xx)."""

    def body_received(self, payload: bytes) -> None:
        """Handle a piece of the body."""

    def response_ended(self) -> None:
        """Handle the end of a complete response."""

    def response_failed(self, fault: Fault) -> None:
        """Handle the loss of the connection before the end of the response."""

    def stalled_since(self, now: float) -> float:
        """Return since when the client has stalled the transfer; 0 if it has not (O4)."""

    def cut_stalled(self) -> None:
        """End the transfer, whose client occupies a connection that others need (O4)."""

    def upstream_paused(self) -> None:
        """Stop sending until resumed."""

    def upstream_resumed(self) -> None:
        """Go on sending."""


class TunnelHandler(Protocol):
    """Handles the bytes after a 101: the tunnel."""

    def upstream_sent(self, data: bytes) -> None:
        """Handle bytes from the upstream."""

    def upstream_half_closed(self) -> bool:
        """Handle a FIN; return whether the connection stays open for writing."""

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
