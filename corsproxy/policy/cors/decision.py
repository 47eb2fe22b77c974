"""Defines the input and the result of a CORS decision."""

from typing import NamedTuple

from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.source import SourcePos


class Facts(NamedTuple):
    """The parts of a request that a decision can depend on, as received (cors.md 48).

    `origin`, `request_method` and `request_headers` contain the value of each line of that name, in
    order, without surrounding white space. They are tuples because presence matters, not the value
    (cors.md 4): an empty Origin is malformed, not missing. `own_origin` is the public origin of the
    route and is used only under `on_refused: block` (cors.md 55).
    """

    method: bytes
    origin: tuple[bytes, ...] = ()
    request_method: tuple[bytes, ...] = ()
    request_headers: tuple[bytes, ...] = ()
    is_websocket: bool = False
    own_origin: bytes | None = None
    fetch_site: bytes | None = None


class Outcome(NamedTuple):
    """The result of one step; it passed if `reason` is `allowed` or `no_origin`."""

    reason: Reason
    subject: bytes = b""
    pos: SourcePos | None = None


class Decision(NamedTuple):
    """The decision about one request.

    `block` contains the serialized header lines to add; `extra` are its last lines, which are not
    `Access-Control-…`. `vary` is merged into the Vary of the response (cors.md 45); for a preflight
    it is in `block`. `status` is the status of the proxy's own response; 0 means to forward.
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
        """The lines of `block` as (name, value) pairs."""
        return parse_lines(self.block)


def parse_lines(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Parse serialized header lines into (name, value) pairs."""
    pairs = (line.partition(b": ") for line in block.split(b"\r\n") if line)
    return tuple((name, value) for name, _, value in pairs)


def is_preflight(facts: Facts) -> bool:
    """Whether the request is OPTIONS with Origin and Access-Control-Request-Method (cors.md 1-4)."""
    return bool(facts.request_method and facts.origin and facts.method == b"OPTIONS")
