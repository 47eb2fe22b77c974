"""One line a request, whatever is in it: operations.md M4, cors.md 69."""

import json
import os
import re
import select
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from corsproxy.observe.access_log import FORMATS, AccessLog, as_colour, as_json, as_text
from corsproxy.observe.record import Record
from corsproxy.policy.cors.reasons import Reason, Verdict
from tests.observe.records import REFUSED, TRACE, hostile_records, record_of

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe: the end to read from, the end to write to."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


@settings(max_examples=200)
@given(hostile_records)
def test_no_value_adds_a_line(record: Record) -> None:
    """cors.md 69: in every format one record is one line, for readers of any idea of a line."""
    for write in FORMATS.values():
        line = write(record)
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert "\x1b[2J" not in line


@settings(max_examples=200)
@given(hostile_records)
def test_no_value_reaches_a_terminal_as_it_is(record: Record) -> None:
    """cors.md 69: DEL, C1 and invisible characters are escaped as well; the colours are our own."""
    for write in FORMATS.values():
        assert re.sub(r"\x1b\[\d+m", "", write(record)[:-1]).isprintable()


@settings(max_examples=200)
@given(hostile_records)
def test_json_stays_json_and_text_stays_words(record: Record) -> None:
    """cors.md 69: nothing of a client's can add a field, or look like another word."""
    fields = json.loads(as_json(record))
    assert set(fields) <= FIELDS | OPTIONAL
    assert as_json(record).isascii()
    words = as_text(record).split(" ")
    assert re.fullmatch(STAMP, words[0])
    assert words[4] == "200"
    assert [word for word in words if word.startswith("verdict=")] == (
        ["verdict=refused"] if record.decision else []
    )


@settings(max_examples=100)
@given(hostile_records)
def test_a_line_is_short_enough_for_a_pipe(record: Record) -> None:
    """Several workers write to one pipe: up to PIPE_BUF bytes a write is never torn."""
    assert len(as_json(record).encode()) <= select.PIPE_BUF
    assert len(as_text(record).encode()) <= select.PIPE_BUF


FIELDS = {
    "@timestamp",
    "log.level",
    "ecs.version",
    "event.dataset",
    "client.address",
    "http.request.method",
    "url.path",
    "http.response.status_code",
    "http.response.body.bytes",
    "event.duration",
    "corsproxy.upstream.duration",
    "corsproxy.route",
    "http.request.id",
}
OPTIONAL = {
    "http.request.origin",
    "corsproxy.cors.verdict",
    "corsproxy.cors.reason",
    "error.type",
    "error.message",
    "trace.id",
}


def test_a_line_of_json_has_every_field() -> None:
    """M4: all fields, with the names of the Elastic Common Schema; no query."""
    record = record_of(decision=REFUSED, fault="upstream_timeout", note="reset", status=504)
    fields = json.loads(as_json(record))
    assert re.fullmatch(STAMP, fields.pop("@timestamp"))
    assert fields == {
        "log.level": "info",
        "ecs.version": "8.11.0",
        "event.dataset": "corsproxy.access",
        "client.address": "192.0.2.7",
        "http.request.method": "GET",
        "url.path": "/users/1",
        "http.response.status_code": 504,
        "http.response.body.bytes": 302,
        "event.duration": 4_250_000,  # nanoseconds, as in ECS
        "corsproxy.upstream.duration": 4_000_000,
        "corsproxy.route": "api",
        "http.request.origin": "https://app.example",
        "corsproxy.cors.verdict": "refused",
        "corsproxy.cors.reason": "origin_not_allowed",
        "error.type": "upstream_timeout",
        "error.message": "reset",
        "trace.id": TRACE,
        "http.request.id": "abc-1",
    }


def test_a_line_of_text_has_every_field() -> None:
    """M4: the same for a person."""
    line = as_text(record_of(decision=REFUSED))
    assert re.sub(STAMP, "NOW", line) == (
        "NOW 192.0.2.7 GET /users/1 200 302B 4.2ms upstream=4.0ms route=api "
        "origin=https://app.example verdict=refused reason=origin_not_allowed id=abc-1 "
        f"trace={TRACE}\n"
    )


def test_what_could_not_be_read_still_gets_a_line() -> None:
    """P3: no method, no path, no route; nothing invented."""
    record = record_of(method=b"", target=b"", route="", origin=b"", traceparent=b"", status=400)
    assert re.sub(STAMP, "NOW", as_text(record)) == (
        "NOW 192.0.2.7 - - 400 302B 4.2ms upstream=4.0ms id=abc-1\n"
    )
    fields = json.loads(as_json(record))
    assert (fields["http.request.method"], fields["url.path"]) == ("", "")
    assert "trace.id" not in fields


@pytest.mark.parametrize(
    "traceparent",
    [
        b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c",
        b"garbage",
    ],
)
def test_an_invalid_traceparent_has_no_trace_id(traceparent: bytes) -> None:
    """W3C Trace Context 3.2.2: upper case, zeros and fragments are not valid."""
    assert "trace.id" not in json.loads(as_json(record_of(traceparent=traceparent)))


def test_a_line_of_text_names_the_fault() -> None:
    """M4: its word; without an origin, a policy or a trace their words are left out."""
    record = record_of(origin=b"", traceparent=b"", status=504, fault="upstream_timeout")
    assert re.sub(STAMP, "NOW", as_text(record)) == (
        "NOW 192.0.2.7 GET /users/1 504 302B 4.2ms upstream=4.0ms route=api "
        "fault=upstream_timeout id=abc-1\n"
    )


def test_a_line_of_json_has_no_field_without_a_value() -> None:
    """M4: the note belongs to a fault, and what is not there has no field."""
    record = record_of(origin=b"", traceparent=b"", note="nothing of importance")
    assert set(json.loads(as_json(record))) == FIELDS
    without = json.loads(as_json(record_of(fault="client_left")))
    assert without["error.type"] == "client_left"
    assert "error.message" not in without


ALLOWED = REFUSED._replace(verdict=Verdict.allowed, reason=Reason.allowed)
NO_ORIGIN = REFUSED._replace(verdict=Verdict.none, reason=Reason.no_origin)
LINES = [
    ({"decision": REFUSED}, "R✗O O200O GET /users/1 DfromO https://app.example  RrefusedO D4.2 msO"),
    ({"decision": ALLOWED}, "G✓O O200O GET /users/1 DfromO https://app.example  GallowedO D4.2 msO"),
    (
        {"decision": NO_ORIGIN, "origin": b"", "status": 404, "fault": "no_route"},
        "D·O Y404O GET /users/1  Dno OriginO Rno_routeO D4.2 msO",
    ),
    ({"origin": b"", "status": 400}, "D-O Y400O GET /users/1  no policy D4.2 msO"),
    ({"origin": b"", "status": 500}, "D-O R500O GET /users/1  no policy D4.2 msO"),
    ({"origin": b"", "status": 399}, "D-O O399O GET /users/1  no policy D4.2 msO"),
]  # fmt: skip
COLOURS = {"\x1b[32m": "G", "\x1b[31m": "R", "\x1b[33m": "Y", "\x1b[2m": "D", "\x1b[0m": "O"}


@pytest.mark.parametrize(("changed", "expected"), LINES)
def test_a_line_for_a_terminal_begins_with_the_verdict(
    changed: dict[str, object], expected: str
) -> None:
    """M4: one coloured line: green, red, yellow, dim and off are G, R, Y, D and O here."""
    line = as_colour(record_of(**changed))
    for code, letter in COLOURS.items():
        line = line.replace(code, letter)
    assert line == expected.replace("Rrefused", "Rrefused: origin_not_allowed") + "\n"


@pytest.mark.parametrize(
    ("which", "record", "written"),
    [
        ("all", record_of(), True),
        ("errors", record_of(), False),
        ("errors", record_of(status=399), False),
        ("errors", record_of(status=400), True),
        ("errors", record_of(status=404), True),
        ("errors", record_of(status=503), True),
        ("errors", record_of(fault="upstream_truncated"), True),
    ],
)
def test_which_requests_get_a_line(
    pipe: tuple[int, int],
    which: str,
    record: Record,
    written: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    """`log.access`: all, or errors: status 400 and above, and responses that were cut short."""
    reading, writing = pipe
    log = AccessLog(writing, "text", which)  # type: ignore[arg-type] # a literal of the table
    log(record)
    log.close()
    assert bool(select.select([reading], [], [], 0)[0]) is written


def test_lines_are_written_soon_without_more_of_them(pipe: tuple[int, int]) -> None:
    """M5: flushed every 200 ms, with the last line of a quiet hour, too."""
    reading, writing = pipe
    log = AccessLog(writing, "json", "all")
    log(record_of())
    assert select.select([reading], [], [], 2.0)[0], "no line within two seconds"
    assert json.loads(os.read(reading, 65536))["url.path"] == "/users/1"
    log.close()
