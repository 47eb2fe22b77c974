"""Writes the access log: one line per request, as JSON (ECS field names) or text.

A client cannot inject lines: line ends and control characters are escaped, and long values are
truncated (cors.md 69).
"""

import re
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quote
from typing import Final, Literal

from corsproxy.observe.record import Record
from corsproxy.observe.writer import LineWriter

_LONGEST_VALUE: Final = 512
# In characters, after escaping: a line has to fit into one atomic write to a pipe.
_LONGEST_SHOWN: Final = 640
_LONGEST_ESCAPED: Final = 100
# Control characters, spaces, the backslash that begins an escape, and bytes that are not ASCII.
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in [*range(0x21), 0x5C, *range(0x7F, 0x100)]}
_TRACE: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_NO_TRACE: Final = b"0" * 32

Format = Callable[[Record], str]


def _text(value: bytes) -> str:
    """Return bytes from a client as text, truncated (cors.md 69)."""
    if len(value) > _LONGEST_VALUE:
        value = value[:_LONGEST_VALUE] + b"..."
    return value.decode("latin-1")


def _quoted(value: bytes) -> str:
    """Return bytes from a client as a JSON string, truncated."""
    shown = quote(_text(value))
    if len(shown) <= _LONGEST_SHOWN:
        return shown
    return quote(value[:_LONGEST_ESCAPED].decode("latin-1") + "...")


def _plain(value: bytes) -> str:
    """Return bytes from a client as one word of a line, truncated."""
    shown = _text(value).translate(_ESCAPED)
    if len(shown) > _LONGEST_SHOWN:
        return _plain(value[:_LONGEST_ESCAPED]) + "..."
    return shown or "-"


def _trace_id(traceparent: bytes) -> str:
    """Return the trace ID of a `traceparent` (W3C Trace Context 3.2.2), "" if it is not valid."""
    match = _TRACE.match(traceparent)
    return "" if match is None or match[1] == _NO_TRACE else match[1].decode()


def _path(record: Record) -> bytes:
    """Return the path without its query, which may contain secrets."""
    return record.target.partition(b"?")[0]


class _Stamp:
    """Formats the current time; caches the part up to the seconds, which is slow to format."""

    def __init__(self) -> None:
        self._second = 0
        self._shown = ""

    def __call__(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown}.{int((now - second) * 1000):03d}Z"


stamp: Final = _Stamp()


def as_json(record: Record) -> str:
    """Return `record` as one line of JSON with the field names of the Elastic Common Schema."""
    decision = record.decision
    parts = [
        (
            f'{{"@timestamp":"{stamp()}","log.level":"info","ecs.version":"8.11.0"'
            f',"event.dataset":"corsproxy.access","client.address":{_quoted(record.client)}'
            f',"http.request.method":{_quoted(record.method)}'
            f',"url.path":{_quoted(_path(record))}'
            f',"http.response.status_code":{record.status}'
            f',"http.response.body.bytes":{record.bytes_sent}'
            f',"event.duration":{int(record.duration * 1e9)}'
            f',"corsproxy.upstream.duration":{int(record.upstream_duration * 1e9)}'
            f',"corsproxy.route":"{record.route}"'
        ),
    ]
    if record.origin:
        parts.append(f',"http.request.origin":{_quoted(record.origin)}')
    if decision is not None:
        parts.append(
            f',"corsproxy.cors.verdict":"{decision.verdict}"'
            f',"corsproxy.cors.reason":"{decision.reason}"',
        )
    if record.fault:
        parts.append(f',"error.type":"{record.fault}"')
        if record.note:
            parts.append(f',"error.message":{quote(record.note)}')
    if record.traceparent and (trace := _trace_id(record.traceparent)):
        parts.append(f',"trace.id":"{trace}"')
    parts.append(f',"http.request.id":{_quoted(record.request_id)}}}\n')
    return "".join(parts)


def as_text(record: Record) -> str:
    """Return `record` as one line of text."""
    decision = record.decision
    words = [
        stamp(),
        _plain(record.client),
        _plain(record.method),
        _plain(_path(record)),
        str(record.status),
        f"{record.bytes_sent}B",
        f"{record.duration * 1e3:.1f}ms",
        f"upstream={record.upstream_duration * 1e3:.1f}ms",
    ]
    if record.route:
        words.append(f"route={record.route}")
    if record.origin:
        words.append(f"origin={_plain(record.origin)}")
    if decision is not None:
        words.append(f"verdict={decision.verdict} reason={decision.reason}")
    if record.fault:
        words.append(f"fault={record.fault}")
    words.append(f"id={_plain(record.request_id)}")
    if trace := _trace_id(record.traceparent):
        words.append(f"trace={trace}")
    return " ".join(words) + "\n"


_GREEN, _RED, _YELLOW, _DIM, _OFF = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


def as_colour(record: Record) -> str:
    """Return `record` as one coloured line for a terminal: verdict and reason first."""
    decision = record.decision
    if decision is None:
        mark, verdict = f"{_DIM}-{_OFF}", "no policy"
    elif decision.verdict.value == "allowed":
        mark, verdict = f"{_GREEN}✓{_OFF}", f"{_GREEN}allowed{_OFF}"
    elif decision.verdict.value == "refused":
        mark, verdict = f"{_RED}✗{_OFF}", f"{_RED}refused: {decision.reason.value}{_OFF}"
    else:
        mark, verdict = f"{_DIM}·{_OFF}", f"{_DIM}no Origin{_OFF}"
    colour = _RED if record.status >= 500 else _YELLOW if record.status >= 400 else _OFF
    origin = f" {_DIM}from{_OFF} {_plain(record.origin)}" if record.origin else ""
    fault = f" {_RED}{record.fault}{_OFF}" if record.fault else ""
    return (
        f"{mark} {colour}{record.status}{_OFF} {_plain(record.method)} "
        f"{_plain(_path(record))}{origin}  {verdict}{fault} "
        f"{_DIM}{record.duration * 1e3:.1f} ms{_OFF}\n"
    )


FORMATS: Final[dict[str, Format]] = {"json": as_json, "text": as_text, "colour": as_colour}


def _lost_as_json(count: int) -> str:
    return (
        f'{{"@timestamp":"{stamp()}","log.level":"warn","ecs.version":"8.11.0"'
        f',"event.dataset":"corsproxy.access","message":{quote(_lost(count))}}}\n'
    )


def _lost(count: int) -> str:
    return f"{count} lines of the access log were lost: its reader is too slow or gone"


class AccessLog:
    """Writes a line per request to the file descriptor `target`; an observer that must be closed."""

    def __init__(self, target: int, format_name: str, which: Literal["all", "errors"]) -> None:
        lost_line = _lost_as_json if format_name == "json" else lambda count: f"{_lost(count)}\n"
        self._format = FORMATS[format_name]
        self._errors_only = which == "errors"
        self._writer = LineWriter(target, lost_line)

    def __call__(self, record: Record) -> None:
        """Log one request."""
        if self._errors_only and record.status < 400 and not record.fault:
            return
        self._writer.write(self._format(record))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
