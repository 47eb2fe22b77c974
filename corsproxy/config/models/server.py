"""Defines the keys of `server`, `health` and `log`."""

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
    """Limits on each client and on all clients together (forwarding.md S7, O2, O3)."""

    max_connections: Positive = key(
        default_of(Limits, "max_connections"),
        "Client connections per worker, TLS handshakes included; above, the longest idle one is closed,"
        " or if none is idle, the new one is rejected with 503 and Retry-After.",
    )
    max_requests_in_flight: Positive = key(
        default_of(Limits, "max_requests_in_flight"),
        "Requests in flight per worker; above: 503 with Retry-After.",
    )
    max_request_line: Bytes = key(
        default_of(Limits, "max_request_line"),
        "Size of a request line; above: 414.",
        "8KiB",
    )
    max_header_bytes: Bytes = key(
        default_of(Limits, "max_header_bytes"),
        "Size of the header section of a request; above: 431.",
        "32KiB",
    )
    max_headers: Positive = key(
        default_of(Limits, "max_headers"), "Number of header lines of a request; above: 431."
    )
    max_body: Bytes = key(
        default_of(Limits, "max_body"),
        "Size of a request body; above: 413. 0 means no limit.",
        "10MiB",
    )


class ServerTimeoutsSection(Section):
    """Time limits for each part of a client's request (forwarding.md O1)."""

    request_header: Seconds = key(
        default_of(ServerTimeouts, "request_header"),
        "From the first byte of a request to the end of its head; then 408. For the first request of"
        " a connection, from accept, TLS handshake included.",
        "10s",
    )
    request_body_idle: Seconds = key(
        default_of(ServerTimeouts, "request_body_idle"),
        "Between two parts of a request body.",
        "30s",
    )
    keepalive: Seconds = key(
        default_of(ServerTimeouts, "keepalive"),
        "How long a connection may be idle between requests.",
        "75s",
    )
    write_idle: Seconds = key(
        default_of(ServerTimeouts, "write_idle"),
        "How long a client may stop reading the response.",
        "30s",
    )


class ServerTlsSection(Section):
    """The files of a TLS listener, which are read again when they change."""

    cert_file: Text = key(
        ...,
        "The certificate, followed by intermediate certificates: PEM.",
        "/etc/corsproxy/tls.crt",
    )
    key_file: Text = key(
        ...,
        "The private key of the certificate, not encrypted: PEM.",
        "/etc/corsproxy/tls.key",
    )
    client_ca_file: Text | None = key(
        None,
        "Authorities for client certificates, which are then required. Default: no client certificates.",
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
        "TLS on all of these; default none. The files are read again when they change; other changes"
        " need a restart.",
    )
    workers: Workers = key(
        default_of(Server, "workers"),
        "Processes that share the addresses, each with its own limits and pools; auto is one per"
        " available core. Needs a restart.",
        "1",
    )
    trusted_proxies: list[Text] = key(
        [],
        "Networks whose forwarding headers are trusted; unix for clients on a unix socket; default none.",
        "[10.0.0.0/8]",
    )
    trusted_headers: Literal["x-forwarded", "forwarded"] = key(
        default_of(Server, "trusted_headers"),
        "The headers that these networks send: x-forwarded (X-Forwarded-*, X-Real-IP) or forwarded (RFC"
        " 7239); the other family could be forged and is removed.",
    )
    limits: LimitsSection = section(LimitsSection, "Limits on what clients send.")
    timeouts: ServerTimeoutsSection = section(
        ServerTimeoutsSection,
        "Time limits for clients; 0 means no limit.",
    )
    drain_delay: Seconds = key(
        default_of(Server, "drain_delay"),
        "After SIGTERM: how long new requests are still accepted while readiness already fails.",
        "5s",
    )
    drain: Seconds = key(
        default_of(Server, "drain"),
        "After drain_delay: how long requests in flight may take before they are aborted.",
        "20s",
    )
    half_close: Literal["close", "answer"] = key(
        default_of(Server, "half_close"),
        "What to do when a client ends its sending side: `close` (treat it as an abort, which looks the"
        " same), or `answer` (still send the response); without effect over TLS.",
    )


class HealthSection(Section):
    """The listener for probes and metrics."""

    listen: Text | None = key(
        None,
        "The address of /livez, /readyz and /metrics, which serves nothing else; off disables it."
        " Default: port 9902, on loopback if all listeners are on loopback, else on all addresses,"
        " including IPv6 if a listener uses it. Needs a restart.",
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
        "The lowest severity that is logged.",
    )
    access: Literal["all", "errors", "off"] = key(
        default_of(LogSettings, "access"),
        "Which requests are logged: all, errors (status 400 and above), or off.",
    )
