"""Parses message bodies: by length, in chunks, or until the connection is closed (RFC 9112 6 and 7).

`feed` takes what arrived and returns its payload. `complete` is whether the body has ended, `excess`
the bytes that were not parsed: those after its end, or after its share of one turn.
"""

from typing import Final

from corsproxy.policy.tokens import is_token

MAX_CHUNK_EXTENSIONS: Final = 4 * 1024
_LONGEST_CHUNK_LINE: Final = 16 + 1 + MAX_CHUNK_EXTENSIONS
_LONGEST_TRAILERS: Final = 16 * 1024
_HEX: Final = b"0123456789abcdefABCDEF"
_CTL: Final = bytes(b for b in range(0x20) if b != 0x09) + b"\x7f"


class BadChunk(ValueError):  # noqa: N818 - it describes what the peer sent
    """A chunked body that breaks RFC 9112 7.1 (forwarding.md S4, S7)."""


class LengthBody:
    """A body delimited by Content-Length."""

    __slots__ = ("complete", "excess", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.complete = length == 0
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        self.complete = True
        if size > self.remaining:
            self.excess = data[self.remaining :]
            data = data[: self.remaining]
        self.remaining = 0
        return data


class UntilClose:
    """The body of a response that is delimited by the end of the connection (RFC 9112 6.3)."""

    __slots__ = ("complete", "excess")

    def __init__(self) -> None:
        self.complete = False
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        """Return `data`: all of it is payload."""
        return data


class ChunkedBody:
    """A chunked body, parsed strictly by its grammar; extensions and trailers are dropped (H15).

    One call of `feed` parses at most `most_lines` lines, 0 for any number: chunks of one byte cost a
    thousand times as much as large ones, and one read full of them would block the loop.
    """

    __slots__ = ("_extensions", "_left", "_line", "_most_lines", "_trailers", "complete", "excess")

    # What comes next, as values of `_left`; a positive value is the payload left in the chunk.
    _SIZE: Final = 0
    _CRLF: Final = -1
    _TRAILER: Final = -2

    def __init__(self, most_lines: int = 0) -> None:
        self._most_lines = most_lines
        self._left = self._SIZE
        self._line = b""
        self._extensions = 0
        self._trailers = 0
        self.complete = False
        self.excess = b""

    def feed(self, data: bytes) -> bytes:
        """Return the payload in `data`. Raise BadChunk if the grammar is violated."""
        pieces: list[bytes] = []
        if self._line:
            data = self._line + data
            self._line = b""
        at, end, lines = 0, len(data), 0
        self.excess = b""
        while at < end and not self.complete:
            if self._left > 0:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left = self._left - len(piece) or self._CRLF
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._hold(data[at:])
                    return b"".join(pieces)
                self._read_line(data[at:line_end])
                at = line_end + 2
                lines += 1
                if lines == self._most_lines:
                    break
        if at < end:
            self.excess = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _hold(self, start: bytes) -> None:
        """Keep the start of a line whose end has not arrived; reject it if it can no longer be valid.

        Each check is made at the first byte that decides it, so that a peer which sends a malformed
        line byte by byte is rejected at once.
        """
        if self._left == self._CRLF and start != b"\r":
            raise BadChunk("a chunk does not end after its size")
        if len(start) > _LONGEST_CHUNK_LINE or b"\n" in start:
            raise BadChunk("a chunk size line is too long or ends in a bare LF")
        if self._left == self._SIZE and start[:1] not in (b"\r", b"") and start[0] not in _HEX:
            raise BadChunk("a chunk size is not hexadecimal")
        self._line = start

    def _read_line(self, line: bytes) -> None:
        if self._left == self._SIZE:
            self._left = self._read_size(line) or self._TRAILER
        elif self._left == self._CRLF:
            if line:
                raise BadChunk("a chunk does not end after its size")
            self._left = self._SIZE
        elif line:
            self._check_trailer(line)
        else:
            self.complete = True

    def _read_size(self, line: bytes) -> int:
        size, semicolon, extension = line.partition(b";")
        if semicolon:
            # RFC 9112 7.1.1 permits BWS around ";"
            # (https://www.rfc-editor.org/rfc/rfc9112.html#section-7.1.1). It is rejected here:
            # recipients that strip it and recipients that do not would read different sizes.
            self._extensions += len(extension) + 1
            if (
                self._extensions > MAX_CHUNK_EXTENSIONS
                or extension.translate(None, _CTL) != extension
            ):
                raise BadChunk("the chunk extensions are too long or contain control bytes")
        if not size or len(size) > 16 or size.strip(_HEX):
            raise BadChunk("a chunk size is not hexadecimal")
        number = int(size, 16)
        if number >= 1 << 63:
            raise BadChunk("a chunk size is too large")
        return number

    def _check_trailer(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        self._trailers += len(line)
        if not colon or not is_token(name) or value.translate(None, _CTL) != value:
            raise BadChunk("a trailer field is malformed")
        if self._trailers > _LONGEST_TRAILERS:
            raise BadChunk("the trailer section is too long")


Body = LengthBody | ChunkedBody | UntilClose


def as_chunk(payload: bytes | bytearray) -> bytes:
    """Frame `payload`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), bytes(payload))


LAST_CHUNK: Final = b"0\r\n\r\n"
