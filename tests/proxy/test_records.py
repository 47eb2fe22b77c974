"""What is written down of each request, field by field (operations.md M4; forwarding.md P3).

How a record becomes a line is in tests/observe/test_access_log.py.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from corsproxy.observe.record import Record
from corsproxy.policy.cors.reasons import Reason, Verdict
from tests.support.messages import Truncated, read_head
from tests.support.proxy import Way, through
from tests.support.upstream import (
    Script,
    UpstreamConnection,
    black_hole,
    close,
    head_of_request,
    repeat,
    request,
    send,
    tell,
)
from tests.support.wire import eventually, patiently

APP = b"https://app.example"
CORS = "name: api\ncors: {allow_origins: ['https://app.example'], on_refused: block}\n"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ALWAYS_OK: Script = [repeat(request(), send(OK))]
GET = b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-Request-Id: r1\r\n\r\n"


@asynccontextmanager
async def recorded(
    *scripts: Script, route: str = CORS, server: str = "", upstream: str = ""
) -> AsyncIterator[tuple[Way, list[Record]]]:
    """Put a client, the proxy and an upstream in a row; yield what is written down, too."""
    records: list[Record] = []
    async with through(*scripts, route=route, server=server, upstream=upstream) as way:
        way.proxy.server.state.observers = (records.append,)
        yield way, records


def plain(**changed: object) -> dict[str, object]:
    """Return the fields, durations left out, of the record of `GET` as it is served, changed as said."""
    return {
        "client": b"127.0.0.1",
        "method": b"GET",
        "target": b"/a",
        "host": b"a.example",
        "minor": 1,
        "status": 200,
        "bytes_sent": 2,
        "route": "api",
        "origin": b"",
        "request_id": b"r1",
        "traceparent": b"",
        "fault": "",
        "note": "",
    } | changed


def fields_of(record: Record) -> dict[str, object]:
    """Return the fields of a record, durations and decision left out."""
    left_out = {"duration", "upstream_duration", "decision"}
    return {name: value for name, value in record._asdict().items() if name not in left_out}


def reason_of(record: Record) -> tuple[Verdict, Reason] | None:
    """Return what the policy said."""
    decision = record.decision
    return None if decision is None else (decision.verdict, decision.reason)


async def test_a_request_that_was_served_is_written_down_in_full() -> None:
    """M4: who asked, for what, and what the outcome was; behind a trusted proxy, its client."""
    data = (
        b"PUT /users/1?token=x HTTP/1.1\r\nHost: api.example:8443\r\nOrigin: %b\r\n"
        b"X-Forwarded-For: 192.0.2.7\r\nTraceParent: %b\r\nX-Request-Id: r1\r\n"
        b"Content-Length: 4\r\n\r\n" % (APP, TRACE)
    )
    chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    trusting = "trusted_proxies: [127.0.0.1]"
    async with recorded([request(), send(chunked)], server=trusting) as (way, records):
        assert (await way.client.exchange(data + b"body", "PUT")).status == 201
    (record,) = records
    assert fields_of(record) == plain(
        client=b"192.0.2.7",
        method=b"PUT",
        target=b"/users/1?token=x",
        host=b"api.example:8443",
        status=201,
        bytes_sent=3,
        origin=APP,
        traceparent=TRACE,
    )
    assert reason_of(record) == (Verdict.allowed, Reason.allowed)


async def test_what_was_not_sent_is_left_empty() -> None:
    """M4: no Origin, no trace; HTTP/1.0; a route without a policy."""
    old = b"GET /a HTTP/1.0\r\n\r\n"
    async with recorded(ALWAYS_OK, route="name: api\ncors: false") as (way, records):
        answer = await way.client.exchange(old)
        own = answer.head.value("x-request-id")
    (record,) = records
    assert fields_of(record) == plain(host=b"", minor=0, request_id=own)
    assert reason_of(record) is None


async def test_a_name_that_ends_in_traceparent_is_not_it() -> None:
    """W3C Trace Context 3.2: the field has one name, in any case."""
    more = b"X-Traceparent: x\r\nTRACEPARENT: %b\r\n\r\n" % TRACE
    async with recorded(ALWAYS_OK) as (way, records):
        await way.client.exchange(GET[:-2] + more)
    assert [record.traceparent for record in records] == [TRACE]


async def test_durations_are_those_of_the_request_and_of_its_upstream() -> None:
    """M4: from its head on; the upstream's part from when it was asked for, body and all."""

    async def think(_: UpstreamConnection) -> None:
        await asyncio.sleep(0.1)

    data = GET[:-2].replace(b"GET", b"POST") + b"Content-Length: 4\r\n\r\n"
    async with recorded([request(), think, send(OK)]) as (way, records):
        began = time.perf_counter()
        await way.client.send(data)
        await eventually(lambda: way.proxy.server.state.open_exchanges == 1, "the head")
        await asyncio.sleep(0.2)
        await way.client.send(b"body")
        await way.client.response()
        lasted = time.perf_counter() - began
    (record,) = records
    assert record.upstream_duration >= 0.1
    assert record.upstream_duration + 0.2 <= record.duration <= lasted


@pytest.mark.parametrize(
    ("method", "target", "origin", "changed", "reason"),
    [
        pytest.param(
            b"GET",
            b"/a",
            b"https://evil.example",
            {"status": 403, "fault": "cors_refused"},
            (Verdict.refused, Reason.origin_not_allowed),
            id="refused",
        ),
        pytest.param(
            b"GET", b"/%2e%2e/a", APP, {"status": 400, "fault": "ambiguous_path"}, None, id="path"
        ),
        pytest.param(
            b"TRACE", b"/a", APP, {"status": 405, "fault": "method_not_allowed"}, None, id="method"
        ),
    ],
)
async def test_what_the_proxy_refuses_is_written_down_with_its_response(
    method: bytes,
    target: bytes,
    origin: bytes,
    changed: dict[str, object],
    reason: tuple[Verdict, Reason] | None,
) -> None:
    """M4: the word of the fault, the length of its body; no upstream was asked."""
    data = GET.replace(b"GET /a", method + b" " + target)[:-2] + b"Origin: %b\r\n\r\n" % origin
    async with recorded(ALWAYS_OK) as (way, records):
        answer = await way.client.exchange(data)
    (record,) = records
    told = plain(method=method, target=target, origin=origin, bytes_sent=len(answer.body)) | changed
    assert fields_of(record) == told
    assert record.upstream_duration == 0.0 < record.duration
    assert reason is None or reason_of(record) == reason


async def test_a_preflight_is_written_down_without_an_upstream() -> None:
    """M4, cors.md 6: 204, no byte of a body."""
    data = GET.replace(b"GET", b"OPTIONS")[:-2] + (
        b"Origin: %b\r\nAccess-Control-Request-Method: GET\r\n\r\n" % APP
    )
    async with recorded(ALWAYS_OK) as (way, records):
        await way.client.exchange(data, "OPTIONS")
    (record,) = records
    assert fields_of(record) == plain(method=b"OPTIONS", origin=APP, status=204, bytes_sent=0)
    assert record.upstream_duration == 0.0


async def test_a_request_without_a_route_has_none() -> None:
    """cors.md 73: the route's name is empty, and nothing else is missing."""
    async with recorded(ALWAYS_OK, route=CORS + "match: {path: /b}") as (way, records):
        answer = await way.client.exchange(GET)
    (record,) = records
    assert fields_of(record) == plain(
        route="", status=404, bytes_sent=len(answer.body), fault="no_route"
    )


async def test_to_head_no_byte_of_a_body_is_sent() -> None:
    """H12: neither of an upstream's response nor of the proxy's own."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    async with recorded([request(), send(head)]) as (way, records):
        for target in (b"/a", b"/%00"):
            data = GET.replace(b"GET /a", b"HEAD " + target)
            await way.client.exchange(data, "HEAD")
    assert [(record.status, record.bytes_sent) for record in records] == [(200, 0), (400, 0)]


async def test_a_fault_of_the_upstream_has_its_word_and_a_note_for_the_log() -> None:
    """F2, F8: the note says more, and is in no response."""
    async with recorded([request(), send(b"HTTP/1.1 099 x\r\n\r\n")]) as (way, records):
        answer = await way.client.exchange(GET)
    (record,) = records
    told = plain(
        status=502, bytes_sent=len(answer.body), fault="upstream_invalid", note=record.note
    )
    assert fields_of(record) == told
    assert record.note
    assert record.note.encode() not in answer.body
    assert record.upstream_duration > 0.0


async def test_a_response_that_breaks_off_keeps_its_status() -> None:
    """F1: the fault is the outcome, `sent` how much of the body was sent."""
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
    async with recorded([request(), send(start), close()]) as (way, records):
        with pytest.raises(Truncated):
            await way.client.exchange(GET)
    (record,) = records
    assert fields_of(record) == plain(bytes_sent=5, fault="upstream_truncated", note=record.note)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_left_is_a_499_unless_its_response_had_begun(
    begun: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """F6: 499 is logged in place of a status that nobody got."""
    asked = asyncio.Event()
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
    script: Script = [request(), tell(asked), *([send(start)] if begun else []), black_hole()]
    async with recorded(script) as (way, records):
        await way.client.send(GET)
        await patiently(asked.wait(), "the request")
        if begun:
            await way.client.until(b"hello")
        way.client.reset()
        await eventually(lambda: bool(records), "the record")
    (record,) = records
    expected = {"status": 200, "bytes_sent": 5} if begun else {"status": 499, "bytes_sent": 0}
    assert fields_of(record) == plain(fault="client_left", **expected)


async def test_a_tunnel_is_written_down_when_it_ends() -> None:
    """H17: as a 101, with the number of bytes that its client was sent."""
    lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\nhello"
    async with recorded([head_of_request(), send(switched), close()]) as (way, records):
        await way.client.send(GET[:-2] + lines + b"\r\n")
        await read_head(way.client)
        assert await way.client.until_end() == b"hello"
        assert records == []
        way.client.finish()
        await eventually(lambda: bool(records), "the record")
    (record,) = records
    # What counts as a fault of a tunnel is in test_tunnels.py.
    ended = {"fault": record.fault, "note": record.note}
    assert fields_of(record) == plain(status=101, bytes_sent=5, **ended)


async def test_what_could_not_be_read_is_written_down_all_the_same() -> None:
    """P3: who sent it, its response and the word of the fault; nothing of its own."""
    async with recorded(ALWAYS_OK) as (way, records):
        answer = await way.client.exchange(b"GET / secret HTTP/1.1\r\nHost: a\r\n\r\n")
    (record,) = records
    assert fields_of(record) == plain(
        method=b"",
        target=b"",
        host=b"",
        route="",
        status=400,
        bytes_sent=len(answer.body),
        request_id=answer.head.value("x-request-id") or answer.problem()["request_id"].encode(),
        fault="bad_request_line",
    )
    assert (record.duration, record.upstream_duration) == (0.0, 0.0)
    assert reason_of(record) is None


async def test_each_request_is_counted_once_by_what_became_of_it() -> None:
    """M2, cors.md 69: method, status, decision, fault; how long, but of tunnels and junk."""
    origin = b"Origin: %b\r\n" % APP
    preflight = b"Access-Control-Request-Method: GET\r\n"
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    switched = b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade + b"\r\n"
    options = GET.replace(b"GET", b"OPTIONS")
    plans = [
        (GET, b""),
        (GET, origin + preflight),  # of no preflight: the method is another one
        (options, origin + preflight),
        (options, origin),
        (options, preflight),
        (GET, b"Origin: https://evil.example\r\n"),
    ]
    forwarded = [request(), send(OK)] * 4
    tunnel = [head_of_request(), send(switched), close()]
    async with recorded([*forwarded, *tunnel]) as (way, _):
        for data, more in plans:
            await way.client.exchange(data[:-2] + more + b"\r\n")
        await way.client.send(GET[:-2] + upgrade + b"\r\n")
        await way.client.until_end()
        way.client.close()
        async with await way.proxy.client() as junk:
            await junk.exchange(b"junk\r\n\r\n")
        await eventually(
            lambda: way.proxy.server.state.open_exchanges == 0, "the end of the tunnel"
        )
        counted = way.proxy.server.snapshot()
    assert sorted(counted["corsproxy_requests_total"]) == [
        (("-", "other", "400"), (1,)),
        (("api", "GET", "101"), (1,)),
        (("api", "GET", "200"), (2,)),
        (("api", "GET", "403"), (1,)),
        (("api", "OPTIONS", "200"), (2,)),
        (("api", "OPTIONS", "204"), (1,)),
    ]
    assert sorted(counted["corsproxy_cors_decisions_total"]) == [
        (("api", "actual", "allowed", "allowed"), (2,)),
        (("api", "actual", "none", "no_origin"), (3,)),
        (("api", "actual", "refused", "origin_not_allowed"), (1,)),
        (("api", "preflight", "allowed", "allowed"), (1,)),
    ]
    for route, word in (("-", "bad_request_line"), ("api", "cors_refused")):
        assert ((route, word), (1,)) in counted["corsproxy_faults_total"]
    for name, count in (("request", 6), ("upstream", 4)):
        ((labels, figures),) = counted[f"corsproxy_{name}_duration_seconds"]
        assert (labels, sum(figures[:-1])) == (("api",), count)
