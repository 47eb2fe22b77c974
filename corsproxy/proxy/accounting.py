"""What is written down of a request that ended. Knows exchanges and records, not logs."""

from typing import TYPE_CHECKING

from corsproxy.observe.record import Record
from corsproxy.proxy.admit import LocalResponse
from corsproxy.proxy.faults import Fault
from corsproxy.proxy.forwarded import Peer
from corsproxy.proxy.http.request_head import RequestHead

if TYPE_CHECKING:
    from corsproxy.proxy.exchange import Exchange


def record_of(exchange: "Exchange", ended: float) -> Record:
    """Return what logs and counters want to know of `exchange`; `ended` is of perf_counter."""
    head = exchange.head
    began = exchange.upstream_began
    return Record(
        client=exchange.caller().client,
        method=head.method,
        target=head.target,
        host=head.host,
        minor=head.minor,
        status=exchange.status,
        sent=exchange.sent,
        duration=ended - exchange.began,
        upstream_duration=ended - began if began else 0.0,
        route=exchange.route.name if exchange.route is not None else "",
        origin=head.origin[0] if head.origin else b"",
        decision=exchange.decision,
        request_id=exchange.request_id,
        traceparent=_value_of(head, b"traceparent"),
        fault=exchange.fault.word if exchange.fault is not None else "",
        note=exchange.note,
    )


def record_of_unread(fault: Fault, answer: LocalResponse, peer: Peer, request_id: bytes) -> Record:
    """Return the record of a request whose head could not be read, and of what it was answered."""
    return Record(
        client=peer.address,
        method=b"",
        target=b"",
        host=b"",
        minor=1,
        status=answer.status,
        sent=len(answer.body),
        duration=0.0,
        upstream_duration=0.0,
        route="",
        origin=b"",
        decision=answer.decision,
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
