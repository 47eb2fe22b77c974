"""What became of one request, for logs, counters and the journal. Knows no sockets."""

from typing import NamedTuple

from corsproxy.policy.cors.decide import Decision


class Record(NamedTuple):
    """One request and its answer. Durations are in seconds, `ended` is the loop's time.

    `status` 499 means that the client left before an answer; `fault` is the stable word of what
    went wrong ("" for nothing), `note` more about it, never a value of the wire. `decision` is
    None where no policy applied. `method` and `target` are b"" where no head could be read.
    """

    client: bytes
    method: bytes
    target: bytes
    host: bytes
    minor: int
    status: int
    bytes_sent: int
    duration: float
    upstream_duration: float
    route: str
    origin: bytes
    decision: Decision | None
    request_id: bytes
    traceparent: bytes
    fault: str
    note: str
