"""The keys of an upstream."""

from typing import Literal

from corsproxy.config.models.types import (
    Count,
    Flag,
    NoneOrOne,
    Positive,
    Seconds,
    Section,
    Text,
    default_of,
    key,
    optional_section,
    section,
)
from corsproxy.policy.compiled import (
    CircuitBreaker,
    PoolLimits,
    Upstream,
    UpstreamTimeouts,
    UpstreamTls,
)


class UpstreamTimeoutsSection(Section):
    """How long an upstream may take for each part of an answer (forwarding.md O1)."""

    connect: Seconds = key(
        default_of(UpstreamTimeouts, "connect"), "To accept a connection; then 504.", "2s"
    )
    response_header: Seconds = key(
        default_of(UpstreamTimeouts, "response_header"),
        "To send the head of its answer; then 504.",
        "30s",
    )
    idle: Seconds = key(
        default_of(UpstreamTimeouts, "idle"), "Between two pieces of an answer's body.", "60s"
    )
    total: Seconds = key(
        default_of(UpstreamTimeouts, "total"),
        "From asking for a connection to the end of the answer, tunnels excepted; 0 means no limit.",
        "0s",
    )
    tunnel_idle: Seconds = key(
        default_of(UpstreamTimeouts, "tunnel_idle"),
        "How long a tunnel (WebSocket) may stay silent.",
        "1h",
    )


class PoolSection(Section):
    """How many connections to one upstream there are, per worker (forwarding.md F4, S12)."""

    max_connections: Positive = key(
        default_of(PoolLimits, "max_connections"), "Connections at most; a request above waits."
    )
    max_idle: Count = key(default_of(PoolLimits, "max_idle"), "Idle connections kept at most.")
    idle: Seconds = key(
        default_of(PoolLimits, "idle"),
        "How long an idle connection is kept: less than the upstream itself keeps it.",
        "1s",
    )
    queue: Seconds = key(
        default_of(PoolLimits, "queue"),
        "How long a request waits for a connection when all are taken; then 503.",
        "1s",
    )
    reuse: Literal["always", "never"] = key(
        default_of(PoolLimits, "reuse"),
        "Whether a connection carries one request after the other: always, or never, for a server"
        " that is not trusted to send exactly one response for each request.",
    )
    tunnels: Count | None = key(
        default_of(PoolLimits, "tunnels"),
        "Tunnels (WebSocket) at most, counted beside max_connections; above: 503. Default: half of"
        " max_connections.",
        "512",
    )


class RetriesSection(Section):
    """When a request is sent again (forwarding.md F3)."""

    attempts: NoneOrOne = key(
        default_of(Upstream, "retries"),
        "How often a GET, HEAD or OPTIONS is sent again when a kept connection turns out dead; 0 never.",
    )


class CircuitBreakerSection(Section):
    """When an upstream that fails is left alone (forwarding.md O7)."""

    failures: Positive = key(
        default_of(CircuitBreaker, "failures"),
        "Failures to connect, or answers that did not begin in time, in a row; then 503 at once.",
    )
    open: Seconds = key(
        default_of(CircuitBreaker, "open"),
        "How long, until one request is let through as a trial.",
        "1s",
    )


class UpstreamTlsSection(Section):
    """How an https upstream is known, and how it knows this proxy."""

    ca_file: Text | None = key(
        None,
        "Authorities that may have signed its certificate: PEM. Default: those of the system.",
        "/etc/corsproxy/upstream-ca.crt",
    )
    server_name: Text | None = key(
        None,
        "The name its certificate has to hold, also sent as SNI. Default: the host of the URL.",
        "legacy.internal",
    )
    cert_file: Text | None = key(
        None,
        "A certificate to show it: PEM. Default: none.",
        "/etc/corsproxy/client.crt",
    )
    key_file: Text | None = key(
        None,
        "That certificate's private key, not encrypted: PEM.",
        "/etc/corsproxy/client.key",
    )
    insecure_skip_verify: Flag = key(
        default_of(UpstreamTls, "insecure_skip_verify"),
        "Whether any certificate will do: then nobody knows who answers.",
    )


class UpstreamSection(Section):
    """One server that requests are forwarded to."""

    url: Text = key(
        ...,
        "Where it is: http://host:port, https://host:port or unix:/run/app.sock; without a path.",
        "http://127.0.0.1:9000",
    )
    host_header: Text = key(
        default_of(Upstream, "host_header"),
        "The Host it gets: upstream (its own), preserve (the client's), or a literal name.",
    )
    origin_header: Literal["keep", "strip", "rewrite"] = key(
        default_of(Upstream, "origin_header"),
        "The Origin and Referer it gets: keep (the client's), strip (none), or rewrite (its own"
        " origin, for servers that refuse others; not for requests that the policy refuses).",
    )
    public_url: Text | None = key(
        None,
        "What clients call it, scheme and host: for Location and the like; default what they asked"
        " for.",
        "https://api.example.com",
    )
    forwarded: Literal["x-forwarded", "forwarded", "both", "off"] = key(
        default_of(Upstream, "forwarded"),
        "How it is told who asked: x-forwarded (X-Forwarded-For, -Proto, -Host), forwarded (RFC 7239),"
        " both, or off.",
    )
    timeouts: UpstreamTimeoutsSection = section(
        UpstreamTimeoutsSection,
        "How long it may take; 0 means no limit.",
    )
    pool: PoolSection = section(PoolSection, "Connections to it, per worker.")
    retries: RetriesSection = section(RetriesSection, "When requests are sent again.")
    circuit_breaker: CircuitBreakerSection | None = optional_section(
        "When it is left alone because it fails; default never.",
    )
    tls: UpstreamTlsSection | None = optional_section("How TLS is spoken with an https upstream.")
