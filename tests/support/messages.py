"""A small, strict reader of HTTP/1.1 messages, written against RFC 9112 alone, for tests."""

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.support.wire import End, Ended, Wire

Field = tuple[bytes, bytes]

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3}) ([\t\x20-\x7e\x80-\xff]*)\r\n")
_FIELD_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*"
    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*\r\n",
)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(?:;[\t\x20-\x7e]*)?\r\n")


class Truncated(Exception):  # noqa: N818 - what rule F1 wants to see
    """A message ended before it was whole: `end` is how it ended, `head` and `body` what had come."""

    def __init__(self, end: End, head: "Head | None", body: bytes) -> None:
        super().__init__(f"cut by {end.value} after {head and head.raw!r} {body[-200:]!r}")
        self.end, self.head, self.body = end, head, body


@dataclass(frozen=True)
class Head:
    """A first line and its field lines, in order and with their case."""

    raw: bytes
    first_line: bytes
    fields: tuple[Field, ...]

    def values(self, name: str) -> list[bytes]:
        """Return the value of every line named `name`, in any case."""
        wanted = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == wanted]

    def value(self, name: str) -> bytes | None:
        """Return the value of the only line named `name`, None without one; two are an error."""
        values = self.values(name)
        assert len(values) <= 1, f"{len(values)} lines of {name}: {values}"
        return values[0] if values else None

    def names(self) -> list[str]:
        """Return the names of the lines, lower-cased, in order."""
        return [key.decode("ascii").lower() for key, _ in self.fields]

    def without(self, *names: str) -> tuple[Field, ...]:
        """Return the field lines less those of these names."""
        dropped = {name.lower().encode() for name in names}
        return tuple(field for field in self.fields if field[0].lower() not in dropped)

    def cors(self) -> dict[str, str]:
        """Return the Access-Control-* lines by lower-case name; no name may appear twice."""
        lines = [name for name in self.names() if name.startswith("access-control-")]
        assert len(lines) == len(set(lines)), f"a CORS header stands twice in {self.raw!r}"
        return {name: (self.value(name) or b"").decode("latin-1") for name in lines}


@dataclass(frozen=True)
class Message:
    """A whole message; `framing` is how its body was delimited on the wire."""

    head: Head
    body: bytes
    framing: str  # "none", "length", "chunked" or "close"
    trailers: tuple[Field, ...] = ()

    @property
    def request_line(self) -> bytes:
        """The first line of a request."""
        return self.head.first_line

    @property
    def target(self) -> bytes:
        """The target of a request, byte for byte."""
        return self.head.first_line.split(b" ")[1]


@dataclass(frozen=True)
class Response(Message):
    """A final response, with the interim ones that came before it."""

    version: str = "1.1"
    status: int = 0
    reason: bytes = b""
    interim: tuple[Head, ...] = ()

    def problem(self) -> dict[str, Any]:
        """Return the body as the JSON object it must be (RFC 9457)."""
        assert self.head.value("content-type") == b"application/problem+json"
        problem = json.loads(self.body)
        assert isinstance(problem, dict)
        return problem


def parse_head(raw: bytes) -> Head:
    """Return the head in `raw`, which must be one, strictly: CRLF, no space before a colon."""
    first_line, _, rest = raw.partition(b"\r\n")
    assert rest.endswith(b"\r\n"), f"no empty line in {raw!r}"
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", first_line), f"CTL in {first_line!r}"
    fields: list[Field] = []
    rest, position = rest[:-2], 0
    while position < len(rest):
        line = _FIELD_LINE.match(rest, position)
        assert line, f"no field line at {rest[position : position + 80]!r} in {raw!r}"
        fields.append((line[1], line[2]))
        position = line.end()
    return Head(raw, first_line, tuple(fields))


async def read_head(wire: Wire) -> Head:
    """Read one head; raises Ended if the peer ends before it is whole."""
    return parse_head(await wire.until(b"\r\n\r\n"))


async def read_body(wire: Wire, head: Head, without: str) -> Message:
    """Read the body that `head` frames; `without` names the framing where no header does."""
    lengths, codings = head.values("content-length"), head.values("transfer-encoding")
    assert len(lengths) + len(codings) <= 1, f"framed more than once: {head.raw!r}"
    if codings:
        assert codings == [b"chunked"], f"unknown coding: {codings}"
        body, trailers = await _read_chunks(wire)
        return Message(head, body, "chunked", trailers)
    if lengths:
        assert re.fullmatch(rb"[0-9]+", lengths[0]), f"no length: {lengths}"
        return Message(head, await wire.exactly(int(lengths[0])), "length")
    return Message(head, await wire.until_end() if without == "close" else b"", without)


async def _read_chunks(wire: Wire) -> tuple[bytes, tuple[Field, ...]]:
    body = b""
    try:
        while True:
            line = await wire.until(b"\r\n")
            size = _CHUNK_SIZE.fullmatch(line)
            assert size, f"no chunk size: {line!r}"
            if not int(size[1], 16):
                break
            body += await wire.exactly(int(size[1], 16))
            assert await wire.exactly(2) == b"\r\n", "no CRLF after a chunk"
        trailers = b""
        while not trailers.endswith(b"\r\n\r\n") and trailers != b"\r\n":
            trailers += await wire.until(b"\r\n")
    except Ended as ended:
        raise Ended(ended.end, body + ended.rest) from None
    return body, parse_head(b"trailers\r\n" + trailers).fields


async def read_request(wire: Wire) -> Message:
    """Read one whole request; raises Ended if the peer ends before it is whole."""
    return await read_body(wire, await read_head(wire), "none")


async def read_response(wire: Wire, method: str = "GET") -> Response:
    """Read exactly one final response to `method`, interim ones before it included.

    Raises Truncated if the connection ends before the response is whole, or, for a body that
    only the end of the connection delimits, if that end is a reset.
    """
    interim: list[Head] = []
    head: Head | None = None
    try:
        while True:
            head = await read_head(wire)
            line = _STATUS_LINE.fullmatch(head.first_line + b"\r\n")
            assert line, f"no status line: {head.first_line!r}"
            status = int(line[2])
            if status >= 200 or status == 101:
                break
            interim.append(head)
        bodiless = method == "HEAD" or status in (101, 204, 304) or method == "CONNECT"
        if bodiless:
            message = Message(head, b"", "none")
        else:
            message = await read_body(wire, head, "close")
    except Ended as ended:
        raise Truncated(ended.end, head, ended.rest) from None
    if message.framing == "close" and wire.end is End.RESET:
        raise Truncated(End.RESET, head, message.body)
    return Response(
        head=head,
        body=message.body,
        framing=message.framing,
        trailers=message.trailers,
        version=f"1.{line[1].decode()}",
        status=status,
        reason=line[3],
        interim=tuple(interim),
    )
