"""Defines the record of one request, which logs and observers read."""

from typing import NamedTuple

from corsproxy.policy.cors.decision import Decision


class Record(NamedTuple):
    """One request and its response. Durations are in seconds, `sent` in bytes of the response body.

    `status` 499 means that the client disconnected before a response; `fault` is the stable word for
    what failed ("" if nothing did), `note` adds detail, never bytes from the wire. `decision` is None
    if no policy applied. `method` and `target` are b"" if no request head could be parsed.
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
