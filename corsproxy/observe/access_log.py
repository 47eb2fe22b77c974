"""The access log: one line a request, as JSON (ECS names) or text. Knows records, not sockets.

Lines are written by a thread of its own, five times a second: a slow or full pipe never holds up
serving. What it cannot take in time is dropped beyond a bound, and the number of lines lost is told.
"""

import os
import threading
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quote
from typing import Final, Literal

from corsproxy.observe.record import Record

_INTERVAL: Final = 0.2
_MAX_WAITING: Final = 20_000
_LONGEST_VALUE: Final = 512
_CONTROLS: Final = {
    code: f"\\x{code:02x}" for code in [*range(0x20), 0x5C, 0x7F, *range(0x80, 0xA0)]
}

Format = Callable[[Record], str]


def _text(value: bytes) -> str:
    """Return a client's bytes as text, cut to a bound (cors.md 69)."""
    if len(value) > _LONGEST_VALUE:
        value = value[:_LONGEST_VALUE] + b"..."
    return value.decode("latin-1")


def _path(record: Record) -> str:
    """Return the path without its query, which may hold secrets."""
    return _text(record.target.partition(b"?")[0])


def _seconds(now: float) -> tuple[str, int]:
    whole = int(now)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)), int((now - whole) * 1000)


def as_json(record: Record) -> str:
    """Return `record` as one line of JSON with the field names of the Elastic Common Schema."""
    stamp, millis = _seconds(time.time())
    decision = record.decision
    parts = [
        (
            f'{{"@timestamp":"{stamp}.{millis:03d}Z","event.dataset":"corsproxy.access"'
            f',"client.address":{quote(_text(record.client))}'
            f',"http.request.method":{quote(_text(record.method))}'
            f',"url.path":{quote(_path(record))}'
            f',"http.response.status_code":{record.status}'
            f',"http.response.body.bytes":{record.sent}'
            f',"event.duration":{int(record.duration * 1e9)}'
            f',"corsproxy.upstream.duration":{int(record.upstream_duration * 1e9)}'
            f',"corsproxy.route":{quote(record.route)}'
        ),
    ]
    if record.origin:
        parts.append(f',"http.request.origin":{quote(_text(record.origin))}')
    if decision is not None:
        parts.append(
            f',"corsproxy.cors.verdict":"{decision.verdict.value}"'
            f',"corsproxy.cors.reason":"{decision.reason.value}"',
        )
    if record.fault:
        parts.append(f',"error.type":{quote(record.fault)}')
        if record.note:
            parts.append(f',"error.message":{quote(record.note)}')
    if record.traceparent:
        parts.append(f',"trace.id":{quote(_text(record.traceparent[3:35]))}')
    parts.append(f',"http.request.id":{quote(_text(record.request_id))}}}\n')
    return "".join(parts)


def as_text(record: Record) -> str:
    """Return `record` as one line for a person."""
    stamp, millis = _seconds(time.time())
    decision = record.decision
    words = [
        f"{stamp}.{millis:03d}Z",
        _plain(record.client),
        _plain(record.method) or "-",
        _path(record).translate(_CONTROLS) or "-",
        str(record.status),
        f"{record.sent}B",
        f"{record.duration * 1e3:.1f}ms",
        f"upstream={record.upstream_duration * 1e3:.1f}ms",
    ]
    if record.route:
        words.append(f"route={record.route}")
    if record.origin:
        words.append(f"origin={_plain(record.origin)}")
    if decision is not None:
        words.append(f"verdict={decision.verdict.value} reason={decision.reason.value}")
    if record.fault:
        words.append(f"fault={record.fault}")
    words.append(f"id={_plain(record.request_id)}")
    return " ".join(words) + "\n"


def _plain(value: bytes) -> str:
    return _text(value).translate(_CONTROLS).replace(" ", "\\x20")


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
        f"{mark} {colour}{record.status}{_OFF} {_plain(record.method) or '-'} "
        f"{_path(record).translate(_CONTROLS) or '-'}{origin}  {verdict}{fault} "
        f"{_DIM}{record.duration * 1e3:.1f} ms{_OFF}\n"
    )


FORMATS: Final[dict[str, Format]] = {"json": as_json, "text": as_text, "colour": as_colour}


class AccessLog:
    """Writes lines to the file descriptor `target`. Call `close` to write what is left."""

    def __init__(self, target: int, format_name: str, which: Literal["all", "errors"]) -> None:
        self._target = target
        self._format = FORMATS[format_name]
        self._errors_only = which == "errors"
        self._waiting: list[str] = []
        self._lost = 0
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._thread.start()

    def __call__(self, record: Record) -> None:
        """Enter one request."""
        if self._errors_only and record.status < 400 and not record.fault:
            return
        waiting = self._waiting
        if len(waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        waiting.append(self._format(record))
        if len(waiting) == 1:
            self._wake.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write what is left, for at most `seconds`: a pipe that nobody reads holds nothing up."""
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_INTERVAL)
            self._wake.clear()
            self._write_waiting()

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        lost, self._lost = self._lost, 0
        if lost:
            waiting.append(f"access log: {lost} lines were lost, its reader was too slow\n")
        data = "".join(waiting).encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._target, data) :]
        except OSError:
            # Nobody reads: serving goes on, and the next round tries again.
            self._lost += len(waiting)
