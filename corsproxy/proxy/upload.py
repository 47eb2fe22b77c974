"""The body of a request on its way upstream: read, counted, held, framed anew. Knows no sockets."""

from typing import Final

from corsproxy.proxy import faults
from corsproxy.proxy.bodies import LAST_CHUNK, BadChunk, Body, ChunkedBody, LengthBody, as_chunk
from corsproxy.proxy.faults import Fault

# A body of at most this length is read whole before an upstream connection is taken (O4).
GATHERED: Final = 64 * 1024


class Upload:
    """What a client uploads with one request.

    `is_stopped` once an early answer made the rest pointless (F5). `limit` is the largest number of
    bytes that a body without a length may have, 0 for none (O5). `length` is what was announced.
    """

    __slots__ = ("_counted", "_held", "_is_short", "body", "complete", "is_stopped", "limit")

    def __init__(self, body: Body, length: int | None) -> None:
        self.body = body
        self._is_short = length is not None and length <= GATHERED
        self.complete = body.complete
        self.is_stopped = False
        self.limit = 0
        self._counted = 0
        self._held: list[bytes] = []

    @property
    def excess(self) -> bytes:
        """What came behind the body: it belongs to later requests."""
        return self.body.excess if self.complete else b""

    @property
    def moved(self) -> int:
        """A number of bytes that grows by as many as arrive."""
        body = self.body
        return -body.remaining if isinstance(body, LengthBody) else self._counted

    def take(self, data: bytes) -> bytes:
        """Return the payload in `data`. Raise Fault where the framing is broken, or at the limit."""
        try:
            payload = self.body.feed(data)
        except BadChunk as error:
            raise Fault(faults.BAD_CHUNK) from error
        self.complete = self.body.complete
        self._counted += len(payload)
        if 0 < self.limit < self._counted and not self.is_stopped:
            raise Fault(faults.BODY_TOO_LARGE)
        return payload

    def hold(self, payload: bytes) -> None:
        """Keep `payload` until there is somebody to send it to."""
        if payload:
            self._held.append(payload)

    def drop(self) -> None:
        """Forget what was held: nobody will want it."""
        self._held = []

    def may_begin(self) -> bool:
        """Tell whether enough is here to take an upstream connection for it (O4)."""
        return self.complete or (bool(self._held) and not self._is_short)

    def release(self) -> bytes:
        """Return what was held, framed for the upstream."""
        payload = b"".join(self._held)
        self._held = []
        return self.framed(payload)

    def framed(self, payload: bytes) -> bytes:
        """Return `payload`, and the end of the body if it was the last of it, as they go upstream."""
        if not isinstance(self.body, ChunkedBody):
            return payload
        # An empty chunk would be the last one.
        chunk = as_chunk(payload) if payload else b""
        return chunk + LAST_CHUNK if self.complete else chunk
