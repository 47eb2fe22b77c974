"""The keys of `server`, `health` and `log`."""

from typing import Literal

from corsproxy.config.models.types import (
    Bytes,
    OneOrMany,
    Positive,
    Seconds,
    Section,
    Text,
    Workers,
    default_of,
    key,
    optional_section,
    section,
)
from corsproxy.policy.compiled import Limits, LogSettings, Server, ServerTimeouts


class LimitsSection(Section):
    """What one client, and all of them together, may send (forwarding.md S7, O2, O3)."""

    max_connections: Positive = key(
        default_of(Limits, "max_connections"),
        "Client connections per worker, TLS handshakes included; above, the longest idle is closed,"
        " and if none is idle the new one gets 503 with Retry-After.",
    )
    max_requests_in_flight: Positive = key(
        default_of(Limits, "max_requests_in_flight"),
        "Requests at work per worker; above: 503 with Retry-After.",
    )
    max_request_line: Bytes = key(
        default_of(Limits, "max_request_line"),
        "Size of a request's first line; above: 414.",
        "8KiB",
    )
    max_header_bytes: Bytes = key(
        default_of(Limits, "max_header_bytes"),
        "Size of a request's header block; above: 431.",
        "32KiB",
    )
    max_headers: Positive = key(
        default_of(Limits, "max_headers"), "Header lines of a request; above: 431."
    )
    max_body: Bytes = key(
        default_of(Limits, "max_body"),
        "Size of a request's body; above: 413. 0 means no limit.",
        "10MiB",
    )


class ServerTimeoutsSection(Section):
    """How long a client may take for each part of a request (forwarding.md O1)."""

    request_header: Seconds = key(
        default_of(ServerTimeouts, "request_header"),
        "From the first byte of a request to the end of its head; then 408. For the first request of"
        " a connection from accept, TLS handshake included.",
        "10s",
    )
    request_body_idle: Seconds = key(
        default_of(ServerTimeouts, "request_body_idle"),
        "Between two pieces of a request's body.",
        "30s",
    )
    keepalive: Seconds = key(
        default_of(ServerTimeouts, "keepalive"),
        "How long a connection may wait for its next request.",
        "75s",
    )
    write_idle: Seconds = key(
        default_of(ServerTimeouts, "write_idle"),
        "How long a client may leave an answer unread.",
        "30s",
    )


class ServerTlsSection(Section):
    """What a listener needs to speak TLS. Files are read again when they change."""

    cert_file: Text = key(
        ...,
        "The certificate, and those between it and its authority: PEM.",
        "/etc/corsproxy/tls.crt",
    )
    key_file: Text = key(
        ...,
        "The certificate's private key, not encrypted: PEM.",
        "/etc/corsproxy/tls.key",
    )
    client_ca_file: Text | None = key(
        None,
        "Authorities of clients' certificates: without one of theirs nobody gets in. Default: anybody.",
        "/etc/corsproxy/clients.crt",
    )


class ServerSection(Section):
    """Where and how the proxy listens."""

    listen: OneOrMany = key(
        ["0.0.0.0:8080"],
        "Where to listen: host:port, [::]:8080 or unix:/run/corsproxy.sock; one or a list."
        " Needs a restart.",
        "0.0.0.0:8080",
    )
    tls: ServerTlsSection | None = optional_section(
        "TLS on all of these; default none. The files are read again when they change, other changes"
        " need a restart.",
    )
    workers: Workers = key(
        default_of(Server, "workers"),
        "Processes that share the addresses, each with limits and pools of its own; auto is one for"
        " each core it may use. Needs a restart.",
        "1",
    )
    trusted_proxies: list[Text] = key(
        [],
        "Networks whose forwarding headers are trusted, unix for who comes by a unix socket; default none.",
        "[10.0.0.0/8]",
    )
    trusted_headers: Literal["x-forwarded", "forwarded"] = key(
        default_of(Server, "trusted_headers"),
        "The headers that these networks write: x-forwarded (X-Forwarded-*, X-Real-IP) or forwarded (RFC"
        " 7239); the other ones may be anybody's, and are removed.",
    )
    limits: LimitsSection = section(LimitsSection, "What clients may send.")
    timeouts: ServerTimeoutsSection = section(
        ServerTimeoutsSection,
        "How long clients may take; 0 means no limit.",
    )
    drain_delay: Seconds = key(
        default_of(Server, "drain_delay"),
        "After SIGTERM: how long new requests are still taken, while readiness is already off.",
        "5s",
    )
    drain: Seconds = key(
        default_of(Server, "drain"),
        "After drain_delay: how long requests at work may take to finish before they are cut.",
        "20s",
    )
    half_close: Literal["close", "answer"] = key(
        default_of(Server, "half_close"),
        "What the end of a client's sending means: close (it has left, as a browser's abort looks), or"
        " answer it all the same; never over TLS.",
    )


class HealthSection(Section):
    """The listener for probes and metrics."""

    listen: Text | None = key(
        None,
        "Where /livez, /readyz and /metrics are answered, and nothing else; off for nowhere. Default:"
        " port 9902 on loopback if every listener is there, else on all addresses, those of IPv6"
        " included if a listener has one. Needs a restart.",
        "0.0.0.0:9902",
    )


class LogSection(Section):
    """What is logged."""

    format: Literal["auto", "text", "json"] = key(
        default_of(LogSettings, "format"),
        "text, json, or auto: text on a terminal, JSON elsewhere.",
    )
    level: Literal["debug", "info", "warning", "error"] = key(
        default_of(LogSettings, "level"),
        "The least severe messages that are logged.",
    )
    access: Literal["all", "errors", "off"] = key(
        default_of(LogSettings, "access"),
        "Which requests get a line: all, errors (status 400 and above), or off.",
    )
