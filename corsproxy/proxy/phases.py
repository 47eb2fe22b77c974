"""Defines the phases of a forwarded request and, in one table, the transitions between them.

`Forwarding` makes the transitions and asserts each of them.

Facts about the protocol that the table has to agree with:

- A request without a body is never BUFFERING. With one it is, until the body is whole or, for a body
  too long to be buffered, until its first bytes have arrived (O4).
- CONNECTING is entered even if an idle connection is available, and left at once, so that each
  attempt goes the same way. Above the limit of requests in flight a request never enters it (O3).
- The only way back is from AWAITING_RESPONSE to CONNECTING. A request that was sent on a reused
  connection and got no byte of a response is retried, if its method is safe (F3; RFC 9110
  9.2.2, https://www.rfc-editor.org/rfc/rfc9110.html#section-9.2.2).
- Interim responses leave the phase as it is, except for 101, which ends HTTP on both connections: it
  is never RELAYING before or after it (H13, H17; RFC 9110 15.2).
- A final response may begin while the request's body still arrives (F5), so RELAYING does not imply
  that the upload is complete.
- Every phase can end, because clients (F6) and upstreams can close at any time.
- Nothing follows ENDED. The request is detached from both connections before, so later events of these
  are not passed to it.
"""

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where a forwarded request is on its way."""

    ADMITTED = "admitted"  # nothing has been sent
    BUFFERING = "buffering"  # waits for a short body, or for the start of a longer one (O4)
    CONNECTING = "connecting"  # waits for a connection from the pool
    AWAITING_RESPONSE = "awaiting response"  # the head was sent, no final response has begun
    RELAYING = "relaying"  # the head of the final response was sent to the client
    TUNNELLING = "tunnelling"  # a 101 was sent to the client, a `Tunnel` passes the bytes (H17)
    ENDED = "ended"  # accounted for, and detached from both connections


# Members of an enum are slow to look up by attribute; these are read several times a request.
ADMITTED: Final = Phase.ADMITTED
BUFFERING: Final = Phase.BUFFERING
CONNECTING: Final = Phase.CONNECTING
AWAITING_RESPONSE: Final = Phase.AWAITING_RESPONSE
RELAYING: Final = Phase.RELAYING
TUNNELLING: Final = Phase.TUNNELLING
ENDED: Final = Phase.ENDED

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    ADMITTED: frozenset({BUFFERING, CONNECTING, ENDED}),
    BUFFERING: frozenset({CONNECTING, ENDED}),
    CONNECTING: frozenset({AWAITING_RESPONSE, ENDED}),
    AWAITING_RESPONSE: frozenset({CONNECTING, RELAYING, TUNNELLING, ENDED}),
    RELAYING: frozenset({ENDED}),
    TUNNELLING: frozenset({ENDED}),
    ENDED: frozenset(),
}


class IllegalTransition(AssertionError):  # noqa: N818 - the name is the message
    """A bug: a forwarded request was about to enter a phase that cannot follow the current one."""

    def __init__(self, before: Phase, after: Phase) -> None:
        super().__init__(f"a forwarded request cannot go from {before!r} to {after!r}")
