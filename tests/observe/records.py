"""Records for tests, written short."""

from typing import Any

from hypothesis import strategies as st

from corsproxy.observe.record import Record
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.source import SourcePos

TRACE = "0af7651916cd43dd8448eb211c80319c"
REFUSED = Decision(
    Verdict.refused,
    Reason.origin_not_allowed,
    b"https://evil.example",
    SourcePos("config.yaml", 14, 22),
    b"",
    b"",
    0,
)


def record_of(**changed: Any) -> Record:  # noqa: ANN401 - any item of Record
    """Return the record of an ordinary request with `changes` applied."""
    record = Record(
        client=b"192.0.2.7",
        method=b"GET",
        target=b"/users/1?token=secret",
        host=b"api.example",
        minor=1,
        status=200,
        bytes_sent=302,
        duration=0.00425,
        upstream_duration=0.004,
        route="api",
        origin=b"https://app.example",
        decision=None,
        request_id=b"abc-1",
        traceparent=b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        fault="",
        note="",
    )
    return record._replace(**changed)


# What a client may put anywhere: the parser lets none of the control bytes through, logs do not
# depend on that.
hostile = st.binary(max_size=700) | st.sampled_from(
    [
        b"x\r\nFORGED 200",
        b'"}\n{"@timestamp":"2020',
        b"\x1b[2J\x85\xe2\x80\xa8\x00\x7f\\",
        b"\xff" * 1000,
        b"\x00" * 1000,
    ],
)
hostile_records = st.builds(
    record_of,
    client=hostile,
    method=hostile,
    target=hostile,
    host=hostile,
    origin=hostile,
    request_id=hostile,
    traceparent=hostile,
    decision=st.sampled_from([None, REFUSED]),
    note=st.text(max_size=50),
)
