"""Reads, counts, buffers and frames the body of one request on its way upstream."""

from typing import Final

from corsproxy.proxy import faults
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.http.bodies import (
    LAST_CHUNK,
    BadChunk,
    Body,
    ChunkedBody,
    LengthBody,
    as_chunk,
)

# A body of at most this length is read whole before an upstream connection is taken (O4).
BUFFERED: Final = 64 * 1024

# What all bodies of a worker that wait for an upstream connection may hold together (O4).
MAX_BUFFERED: Final = 64 * 1024 * 1024


class UploadBuffers:
    """How many bytes the buffered bodies of one worker occupy together, at most `limit`."""

    __slots__ = ("limit", "size")

    def __init__(self, limit: int = MAX_BUFFERED) -> None:
        self.limit = limit
        self.size = 0


class Upload:
    """What a client uploads with one request.

    `is_stopped` once an early response made the rest pointless (F5); what arrives from then on is
    dropped, so the request is never whole on its upstream connection. `limit` is the largest number
    of bytes that a body without a length may have, 0 for none (O5). `length` is what was announced.
    """

    __slots__ = (
        "_buffers",
        "_counted",
        "_held",
        "_is_short",
        "body",
        "complete",
        "is_stopped",
        "limit",
    )

    def __init__(self, body: Body, length: int | None, buffers: UploadBuffers) -> None:
        self.body = body
        self._is_short = length is not None and length <= BUFFERED
        self.complete = body.complete
        self.is_stopped = False
        self.limit = 0
        self._counted = 0
        self._buffers = buffers
        self._held: bytes | bytearray = b""

    @property
    def excess(self) -> bytes:
        """What was not taken: of later requests if the body is complete, else its own."""
        return self.body.excess

    @property
    def moved(self) -> int:
        """A number of bytes that grows by as many as arrive."""
        body = self.body
        return -body.remaining if isinstance(body, LengthBody) else self._counted

    def take(self, data: bytes) -> bytes:
        """Return the payload in `data`. Raise Fault if the framing is broken, or at the limit."""
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
        """Keep `payload` until there is a connection. Raise Fault above the worker's limit (O4)."""
        buffers = self._buffers
        if buffers.size + len(payload) > buffers.limit:
            raise Fault(
                faults.OVERLOADED,
                "the memory for request bodies that wait for an upstream connection is full",
            )
        buffers.size += len(payload)
        if not self._held:
            self._held = payload  # most bodies come in one piece, which needs no copy
            return
        if isinstance(self._held, bytes):
            # One buffer: a list of pieces would cost an object for every two bytes of a hostile body.
            self._held = bytearray(self._held)
        self._held += payload

    def drop(self) -> None:
        """Discard what was held."""
        self._buffers.size -= len(self._held)
        self._held = b""

    def may_begin(self) -> bool:
        """Return whether enough has arrived to take an upstream connection for it (O4)."""
        return self.complete or (bool(self._held) and not self._is_short)

    def release(self) -> bytes:
        """Return what was held, framed for the upstream."""
        payload = self._held
        self.drop()
        return self.framed(payload)

    def framed(self, payload: bytes | bytearray) -> bytes:
        """Return `payload` as it goes upstream, with the end mark if it was the last of the body."""
        if not isinstance(self.body, ChunkedBody):
            return bytes(payload)
        # An empty chunk would be the last one.
        chunk = as_chunk(payload) if payload else b""
        return chunk + LAST_CHUNK if self.complete else chunk
