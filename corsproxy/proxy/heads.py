"""Checks the start of a request head before the rest has arrived."""

from corsproxy.policy.compiled import Limits
from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault


def check_start(data: bytes, limits: Limits) -> None:
    """Raise Fault if `data`, the start of a head, can no longer become a valid one (S3, S4, S7)."""
    line_end = data.find(b"\r\n")
    if max(line_end, 0) > limits.max_request_line or (
        line_end < 0 and len(data) > limits.max_request_line
    ):
        raise Fault(faults.TOO_LONG_TARGET)
    if len(data) > limits.max_request_line + limits.max_header_bytes:
        raise Fault(faults.TOO_LARGE_HEAD)
    # A bare LF, or a request line that begins with white space: no further bytes can make it valid.
    if data.count(b"\n") > data.count(b"\r\n") or data[:1] in {b"\r", b"\n", b" "}:
        raise Fault(faults.BAD_REQUEST_LINE)
