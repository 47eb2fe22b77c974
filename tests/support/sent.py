"""What was written to an upstream connection, parsed strictly as one request (RFC 9112 alone).

Counts bytes and keeps none of a body, so that a transfer of a gigabyte can be watched.
"""

import re
from typing import Final

_LENGTH: Final = re.compile(rb"\r\ncontent-length: ([0-9]{1,18})\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: chunked\r\n", re.IGNORECASE)
_FIRST_LINE: Final = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.1\r\n")
_CHUNK_LINE: Final = re.compile(rb"[0-9a-fA-F]{1,15}\r\n")


class Sent:
    """The bytes written to a connection since it was lent."""

    def __init__(self) -> None:
        self.head = b""
        self.wrong = ""
        self.excess = 0
        self._line = b""  # what is not yet a whole head or chunk line
        self._left = 0  # bytes of payload, and of the CRLF behind a chunk, that are due
        self._is_chunked = False
        self._is_last = False  # the last chunk's line has passed; an empty line is due
        self._is_whole = False

    def feed(self, data: bytes) -> None:
        """Count `data`, which was written next."""
        while data and not self.wrong:
            if self._is_whole:
                self.excess += len(data)
                return
            data = self._skip(data) if self._left else self._read_line(data)

    def _skip(self, data: bytes) -> bytes:
        taken = min(self._left, len(data))
        self._left -= taken
        if not self._left and not self._is_chunked:
            self._is_whole = True
        return data[taken:]

    def _read_line(self, data: bytes) -> bytes:
        end = b"\r\n" if self.head else b"\r\n\r\n"
        line, found, rest = (self._line + data).partition(end)
        if not found:
            self._line = line
            return b""
        self._line = b""
        if not self.head:
            self._begin(line + found)
        elif self._is_last:
            self._is_whole = True
            self.wrong = f"trailers: {line!r}" if line else ""
        elif _CHUNK_LINE.fullmatch(line + found):
            size = int(line, 16)
            self._is_last = not size
            self._left = size + 2 if size else 0
        else:
            self.wrong = f"not a chunk size: {line[:80]!r}"
        return rest

    def _begin(self, head: bytes) -> None:
        self.head = head
        lengths = _LENGTH.findall(head.replace(b"\r\n", b"\r\n\r\n"))
        self._is_chunked = _CHUNKED.search(head) is not None
        if not _FIRST_LINE.match(head):
            self.wrong = f"not a request line: {head[:80]!r}"
        elif len(lengths) + self._is_chunked > 1:
            self.wrong = f"framed more than once: {head!r}"
        elif not self._is_chunked:
            self._left = int(lengths[0]) if lengths else 0
            self._is_whole = not self._left

    @property
    def fault(self) -> str:
        """Why this is not exactly one whole request, empty if it is one."""
        if self.wrong:
            return self.wrong
        if self.excess:
            return f"{self.excess} bytes behind the end of {self._first_line}"
        if self._is_whole:
            return ""
        if not self.head:
            return f"no whole head: {self._line[:80]!r}"
        due = "the last chunk" if self._is_chunked and not self._left else f"{self._left} bytes"
        return f"{due} of {self._first_line} not written"

    @property
    def _first_line(self) -> str:
        return ascii(self.head.partition(b"\r\n")[0].decode("latin-1"))
