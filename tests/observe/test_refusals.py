"""Refused and malformed requests are logged at a bounded rate: cors.md 69, forwarding.md P3."""

import json
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.observe import logs
from corsproxy.observe.record import Record
from corsproxy.observe.refusals import A_SECOND, BURST, Bucket, Refusals
from corsproxy.policy.compiled import LogSettings
from tests.observe.records import REFUSED, hostile_records, record_of


class Time:
    """A clock that advances only when the test sets it."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Remembering(logging.Handler):
    """Remembers each message as the line of JSON that it becomes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a message."""
        self.lines.append(logs.JsonFormatter().format(record))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """Return a logger whose messages are caught."""
    caplog.set_level(logging.INFO, "tests.refusals")
    return logging.getLogger("tests.refusals")


@given(st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_bounds_the_rate(pauses: list[float]) -> None:
    """cors.md 69: in any time at most the burst and what was filled in since."""
    bucket, now, taken = Bucket(0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
    assert taken <= BURST + now * A_SECOND + 1e-6
    assert taken + bucket.take_suppressed() == len(pauses)


def test_a_refusal_is_logged_with_its_reason_and_position(
    log: logging.Logger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """cors.md 67: the words of the reason, its code, and the line that decided; no query."""
    refusals = Refusals(log, Time())
    assert refusals.is_due("api")
    refusals.refused(record_of(decision=REFUSED))
    (message,) = caplog.messages
    assert message == (
        "route api: GET /users/1 refused: the origin https://evil.example is not in allow_origins "
        "(origin_not_allowed, config.yaml:14:22)"
    )


def test_each_route_has_a_rate_of_its_own_and_reports_what_it_suppressed(
    log: logging.Logger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """cors.md 69: a noisy route silences neither another one nor itself forever."""
    clock = Time()
    refusals = Refusals(log, clock)
    due = [refusals.is_due("api") for _ in range(100)]
    assert due == [True] * int(BURST) + [False] * (100 - int(BURST))
    assert refusals.is_due("files")
    clock.now = 1 / A_SECOND
    assert refusals.is_due("api")
    refusals.refused(record_of(decision=REFUSED))
    assert caplog.messages[0].endswith("; 95 more since the last such message")


@given(hostile_records)
def test_a_malformed_request_is_logged_without_a_byte_of_it(record: Record) -> None:
    """P3: the fault's own word and who sent it, nothing that was sent."""
    marked = record._replace(
        client=b"192.0.2.7",
        method=b"SECRET",
        target=b"/SECRET",
        origin=b"SECRET",
        request_id=b"SECRET",
        status=400,
        fault="bad_header",
        note="",
    )
    log = logging.getLogger("tests.malformed")
    log.handlers = [handler := Remembering()]
    Refusals(log, Time()).malformed(marked)
    (line,) = handler.lines
    assert json.loads(line)["message"] == "malformed request from 192.0.2.7: bad_header"
    assert "SECRET" not in line


def test_malformed_requests_share_one_rate(
    log: logging.Logger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """P3: one rate-limited line, whoever sends them; time-outs and overload are not malformed."""
    refusals = Refusals(log, Time())
    for number in range(100):
        client = b"192.0.2.%d" % number
        refusals.malformed(record_of(client=client, status=400, fault="bad_host"))
    refusals.malformed(record_of(status=408, fault="request_timeout"))
    refusals.malformed(record_of(status=503, fault="overloaded"))
    assert len(caplog.messages) == int(BURST)


def test_overload_is_logged_once_in_ten_seconds(
    log: logging.Logger,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A thousand requests rejected are one line, then one more with their number."""
    clock = Time()
    refusals = Refusals(log, clock)
    for _ in range(1000):
        refusals.overloaded("the number of requests in flight", 100)
    clock.now = 10.0
    refusals.overloaded("the number of connections", 10, "an idle connection can be closed")
    start, away = "overloaded: the number of", "excess is rejected"
    unless, more = "unless an idle connection can be closed", "999 more since the last such message"
    assert caplog.messages == [
        f"{start} requests in flight is at its limit of 100; {away}",
        f"{start} connections is at its limit of 10; {away}, {unless}; {more}",
    ]


@pytest.fixture
def reading() -> Iterator[tuple[int, int]]:
    """Make a pipe in place of standard error; restore logging afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # so that those of the test runner stay open
    ends = os.pipe()
    yield ends
    for handler in root.handlers:
        handler.close()
    root.handlers[:], root.level = handlers, level
    for end in ends:
        os.close(end)


def said(ends: tuple[int, int]) -> list[str]:
    """Return the lines that were logged so far, all written."""
    for handler in logging.getLogger().handlers:
        handler.close()
    return os.read(ends[0], 65536).decode().splitlines()


def test_messages_are_json_without_a_terminal(reading: tuple[int, int]) -> None:
    """`log.format: auto`: JSON with ECS names, the fields of a refusal among them."""
    logs.configure(LogSettings(), reading[1], is_terminal=False)
    refusals = Refusals(logging.getLogger("corsproxy"), Time())
    assert refusals.is_due("api")
    refusals.refused(record_of(decision=REFUSED))
    (line,) = said(reading)
    fields = json.loads(line)
    assert fields["log.level"] == "warn"
    assert fields["corsproxy.route"] == "api"
    assert fields["corsproxy.cors.reason"] == "origin_not_allowed"


def test_messages_are_text_on_a_terminal_and_stay_one_line(reading: tuple[int, int]) -> None:
    """A value that was not escaped still adds no line; a trace is indented below its message."""
    logs.configure(LogSettings(), reading[1], is_terminal=True)
    logging.getLogger("corsproxy").warning("from %s", "x\r\nERROR forged\x1b[2J")
    try:
        raise ValueError("one\ntwo")  # noqa: TRY301 - the trace is what the test wants
    except ValueError:
        logging.getLogger("corsproxy").exception("a bug")
    first, second, *trace = said(reading)
    assert first == "WARNING from x\\r\\nERROR forged\\x1b[2J"
    assert second == "ERROR a bug"
    assert trace
    assert all(line.startswith("  ") for line in trace)


def test_the_level_is_kept(reading: tuple[int, int]) -> None:
    """`log.level`: what is less severe is not logged."""
    logs.configure(LogSettings(level="error", format="text"), reading[1], is_terminal=False)
    logging.getLogger("corsproxy").warning("unheard")
    logging.getLogger("corsproxy").error("heard")
    assert said(reading) == ["ERROR heard"]


def test_only_a_decision_of_a_policy_is_a_refusal(log: logging.Logger) -> None:
    """A record without a decision is a mistake of the caller, not a line without a reason."""
    refusals = Refusals(log, Time())
    with pytest.raises(ValueError, match="without a decision"):
        refusals.refused(record_of(decision=None))
