"""What a CORS decision is made from and what it says. Knows no policy and decides nothing."""

from typing import NamedTuple

from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.source import SourcePos


class Facts(NamedTuple):
    """All that a decision may depend on, taken from the request as it came (cors.md 48).

    `origin`, `request_method` and `request_headers` hold the value of every line of that name, in
    order, without white space around it: presence decides, not value (cors.md 4). `own_origin` is
    the public origin of the route and matters only under `on_refused: block` (cors.md 55).
    """

    method: bytes
    origin: tuple[bytes, ...] = ()
    request_method: tuple[bytes, ...] = ()
    request_headers: tuple[bytes, ...] = ()
    is_websocket: bool = False
    own_origin: bytes | None = None
    fetch_site: bytes | None = None


class Outcome(NamedTuple):
    """What one step found: it passed if `reason` is `allowed`, or `no_origin`."""

    reason: Reason
    subject: bytes = b""
    pos: SourcePos | None = None


class Decision(NamedTuple):
    """What a policy says of one request.

    `block` holds the serialised header lines to add, its last ones being `extra`: those that are no
    `Access-Control-…`. `vary` is what to merge into the Vary of an answer (cors.md 45); that of a
    preflight is in `block`. `status` answers the request at once; 0 means: forward it.
    """

    verdict: Verdict
    reason: Reason
    subject: bytes
    pos: SourcePos | None
    block: bytes
    vary: bytes
    status: int
    extra: bytes = b""

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The lines of `block` as pairs of name and value."""
        return parse_lines(self.block)


def parse_lines(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return serialised header lines as pairs of name and value."""
    pairs = (line.partition(b": ") for line in block.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in pairs)


def is_preflight(facts: Facts) -> bool:
    """Whether the request is OPTIONS with Origin and Access-Control-Request-Method (cors.md 1-4)."""
    return bool(facts.request_method and facts.origin and facts.method == b"OPTIONS")
