"""Counts requests that ended, logs and observes their records, and reads the gauges of a worker."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import Protocol

from corsproxy.observe.metrics import NO_ROUTE, is_tunnel
from corsproxy.observe.record import Record
from corsproxy.observe.snapshot import Series, Snapshot
from corsproxy.policy.compiled import Route
from corsproxy.policy.cors.decision import Decision
from corsproxy.policy.cors.reasons import Verdict
from corsproxy.proxy import faults
from corsproxy.proxy.admit import LocalResponse
from corsproxy.proxy.faults import Fault, FaultKind
from corsproxy.proxy.forwarded import Caller, Peer
from corsproxy.proxy.http.request_head import RequestHead
from corsproxy.proxy.state import ServerState
from corsproxy.proxy.upstream.breaker import State


class EndedExchange(Protocol):
    """An exchange that ended, as accounting reads it.

    Times are seconds of `perf_counter`; `upstream_started_at` is 0 if no upstream was used.
    """

    head: RequestHead
    request_id: bytes
    route: Route | None
    decision: Decision | None
    status: int
    bytes_sent: int
    fault: FaultKind | None
    note: str
    started_at: float
    upstream_started_at: float

    def caller(self) -> Caller:
        """Return where the request came from."""


def account(state: ServerState, exchange: EndedExchange) -> None:
    """Count an exchange that ended, log it if it was rejected, and call the observers."""
    state.open_exchanges -= 1
    ended = perf_counter()
    _count(state, exchange, ended)
    decision, fault = exchange.decision, exchange.fault
    refusals = state.reports.refusals
    if refusals is not None:
        is_refused = decision is not None and decision.verdict is Verdict.refused
        # The rate limit first: above it no record is made, and refusals can be frequent.
        if is_refused and refusals.is_due("" if exchange.route is None else exchange.route.name):
            refusals.refused(record_of(exchange, ended))
        if fault is not None and fault in faults.MALFORMED_BODY:
            refusals.malformed(record_of(exchange, ended))
    if state.observers:
        record = record_of(exchange, ended)
        for observe in state.observers:
            observe(record)


def _count(state: ServerState, exchange: EndedExchange, ended: float) -> None:
    route, head, status = exchange.route, exchange.head, exchange.status
    counters = state.metrics.of(NO_ROUTE if route is None else route.name)
    counters.responded(head.method, status)
    if not is_tunnel(status):  # the lifetime of a tunnel is not a response time
        began = exchange.upstream_started_at
        counters.lasted(ended - exchange.started_at, ended - began if began else 0.0)
    if exchange.decision is not None:
        preflight = bool(head.request_method) and head.method == b"OPTIONS" and bool(head.origin)
        counters.decided(exchange.decision, preflight=preflight)
    if exchange.fault is not None:
        counters.failed(exchange.fault.word)


def account_unread(state: ServerState, record: Record) -> None:
    """Count a request whose head could not be parsed, log it, and call the observers."""
    counters = state.metrics.of(NO_ROUTE)
    counters.responded(record.method, record.status)
    counters.failed(record.fault)
    if state.reports.refusals is not None:
        state.reports.refusals.malformed(record)
    for observe in state.observers:
        observe(record)


def snapshot(state: ServerState) -> Snapshot:
    """Return the counters and the current values of the gauges."""
    return state.metrics.snapshot(_gauges(state))


def _gauges(state: ServerState) -> Iterator[tuple[str, Series]]:
    yield "corsproxy_open_exchanges", ((), (state.open_exchanges,))
    yield "corsproxy_requests_in_flight", ((), (state.in_flight,))
    yield "corsproxy_connections", ((), (state.connections.count,))
    yield "corsproxy_tasks", ((), (len(asyncio.all_tasks(state.loop)),))
    for (route, reason), count in state.reports.cookies_left.items():
        yield "corsproxy_cookies_left_total", ((route, reason), (count,))
    connections: Counter[tuple[str, str]] = Counter()
    for pool in state.pools:
        for name, count in pool.states().items():
            connections[pool.upstream.name, name] += count
    for labels, count in connections.items():
        yield "corsproxy_upstream_connections", (labels, (count,))
    for upstream, circuit in state.pools.circuits():
        for one in State:
            is_in = int(circuit is one)
            yield "corsproxy_upstream_circuit", ((upstream, one.value), (is_in,))


def record_of(exchange: EndedExchange, ended: float) -> Record:
    """Return the record of `exchange`, which ended at `ended`."""
    head = exchange.head
    began = exchange.upstream_started_at
    return Record(
        client=exchange.caller().client,
        method=head.method,
        target=head.target,
        host=head.host,
        minor=head.minor,
        status=exchange.status,
        bytes_sent=exchange.bytes_sent,
        duration=ended - exchange.started_at,
        upstream_duration=ended - began if began else 0.0,
        route=exchange.route.name if exchange.route is not None else "",
        origin=head.origin[0] if head.origin else b"",
        decision=exchange.decision,
        request_id=exchange.request_id,
        traceparent=_value_of(head, b"traceparent"),
        fault=exchange.fault.word if exchange.fault is not None else "",
        note=exchange.note,
    )


def record_of_unread(
    fault: Fault, response: LocalResponse, peer: Peer, request_id: bytes
) -> Record:
    """Return the record of a request whose head could not be parsed, and of its response."""
    return Record(
        client=peer.address,
        method=b"",
        target=b"",
        host=b"",
        minor=1,
        status=response.status,
        bytes_sent=len(response.body),
        duration=0.0,
        upstream_duration=0.0,
        route="",
        origin=b"",
        decision=response.decision,
        request_id=request_id,
        traceparent=b"",
        fault=fault.kind.word,
        note=fault.note,
    )


def _value_of(head: RequestHead, name: bytes) -> bytes:
    for field, value in head.fields:
        if field.lower() == name:
            return value
    return b""
