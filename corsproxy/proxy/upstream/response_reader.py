"""Parses the responses of one connection, one after the other. Pure: bytes in, heads and payload out.

The end of a response depends on its head and on its request's method
(https://www.rfc-editor.org/rfc/rfc9112.html#section-6.3).
"""

from typing import Final

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import BadChunk, Body
from corsproxy.proxy.http.framing import ParseFields
from corsproxy.proxy.http.response_head import MAX_HEAD_BYTES, ResponseHead, read_response_head

_TOO_LARGE: Final = "a header section of more than 64 KiB"


class ResponseReader:
    """The parser of one connection's current response.

    `body` parses its body; it is None before the final head, and if there is no body.
    """

    __slots__ = ("_held", "_method", "_parse_fields", "body")

    def __init__(self, parse_fields: ParseFields) -> None:
        self._parse_fields = parse_fields
        self._method = b""
        self._held = b""
        self.body: Body | None = None

    def begin(self, method: bytes) -> None:
        """Prepare for the response to a request with `method`."""
        self._method = method
        self.body = None

    def read_head(self, data: bytes) -> tuple[ResponseHead, bytes] | None:
        """Return the head that `data` completes, interim or final, and the bytes after it.

        Return None if the end of the head has not arrived. Raise Fault UPSTREAM_INVALID for a head,
        or the start of one, that is not valid.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        # The end of the head before its size: a head that has not ended is checked by `_hold`, at the
        # first byte that makes it invalid (S11; https://www.rfc-editor.org/rfc/rfc9112.html#section-2.2).
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._hold(data)
            return None
        if end > MAX_HEAD_BYTES:
            raise Fault(faults.UPSTREAM_INVALID, _TOO_LARGE)
        head = read_response_head(self._parse_fields, data[: end + 4])
        return head, data[end + 4 :]

    def begin_body(self, head: ResponseHead, data: bytes) -> tuple[bytes, bytes]:
        """Return the payload in `data`, which follows the final `head`, and the bytes not parsed.

        These are in excess if the response is complete. Raise Fault UPSTREAM_INVALID for a malformed
        chunk: nothing of the response has been sent to the client yet, so it can still get 502.
        """
        body = head.body(self._method)
        if body is None:
            return b"", data
        try:
            payload = body.feed(data) if data else b""
        except BadChunk as error:
            raise Fault(faults.UPSTREAM_INVALID, str(error)) from error
        self.body = body
        return payload, body.excess

    def _hold(self, data: bytes) -> None:
        """Keep the start of a head; reject it if it can no longer be valid (S11)."""
        if len(data) > MAX_HEAD_BYTES:
            raise Fault(faults.UPSTREAM_INVALID, _TOO_LARGE)
        if data.count(b"\n") > data.count(b"\r\n"):
            raise Fault(faults.UPSTREAM_INVALID, "a bare LF in the head")
        if not b"HTTP/1.".startswith(data[:7]):
            raise Fault(faults.UPSTREAM_INVALID, "a status line that is not HTTP/1")
        self._held = data


def read_body(body: Body, data: bytes) -> bytes:
    """Return the payload in `data`, a later piece of `body`.

    Raise Fault UPSTREAM_TRUNCATED for a malformed chunk: the end of the response cannot be found any
    more, and the part that was sent to the client must not look complete (F1).
    """
    try:
        return body.feed(data)
    except BadChunk as error:
        raise Fault(faults.UPSTREAM_TRUNCATED, str(error)) from error
