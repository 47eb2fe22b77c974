"""Parses, counts, buffers and frames the body of one request for its upstream."""

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

# A body of at most this length is buffered completely before a connection is requested (O4).
BUFFERED: Final = 64 * 1024

# The limit for all bodies of a worker that wait for an upstream connection, in bytes (O4).
MAX_BUFFERED: Final = 64 * 1024 * 1024


class UploadBuffers:
    """The total size of the buffered bodies of one worker, in bytes, at most `limit`."""

    __slots__ = ("limit", "size")

    def __init__(self, limit: int = MAX_BUFFERED) -> None:
        self.limit = limit
        self.size = 0


class Upload:
    """The body of one request.

    `is_stopped` is set by an early response (F5): the rest of the body is dropped, so the request is
    never complete on its upstream connection. `limit` is the largest size of the body in bytes, 0 for
    no limit (O5); one whose length is announced was checked before. `length` is the Content-Length, None without one.
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
        """The bytes that were not taken: later requests if the body is complete, else the body's own."""
        return self.body.excess

    @property
    def moved(self) -> int:
        """A number that grows by each byte that arrives; only differences are meaningful."""
        body = self.body
        return -body.remaining if isinstance(body, LengthBody) else self._counted

    def take(self, data: bytes) -> bytes:
        """Return the payload in `data`. Raise Fault if the framing is malformed, or above the limit."""
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
        """Buffer `payload` until there is a connection. Raise Fault above the worker's limit (O4)."""
        buffers = self._buffers
        if buffers.size + len(payload) > buffers.limit:
            raise Fault(
                faults.OVERLOADED,
                "the memory for request bodies that wait for an upstream connection is full",
            )
        buffers.size += len(payload)
        if not self._held:
            self._held = payload  # most bodies arrive in one piece, which is not copied
            return
        if isinstance(self._held, bytes):
            # One buffer: a list of pieces could cost an object for every two bytes of a body.
            self._held = bytearray(self._held)
        self._held += payload

    def drop(self) -> None:
        """Discard what was buffered."""
        self._buffers.size -= len(self._held)
        self._held = b""

    def may_begin(self) -> bool:
        """Return whether enough has arrived to request an upstream connection (O4)."""
        return self.complete or (bool(self._held) and not self._is_short)

    def release(self) -> bytes:
        """Return what was buffered, framed for the upstream."""
        payload = self._held
        self.drop()
        return self.framed(payload)

    def framed(self, payload: bytes | bytearray) -> bytes:
        """Return `payload` framed for the upstream, with the last chunk if the body is complete."""
        if not isinstance(self.body, ChunkedBody):
            return bytes(payload)
        # Not an empty chunk: that is the last one (RFC 9112 7.1).
        chunk = as_chunk(payload) if payload else b""
        return chunk + LAST_CHUNK if self.complete else chunk
