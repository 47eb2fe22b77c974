"""Defines the keys of an upstream."""

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
    """Time limits for each part of an upstream's response (forwarding.md O1)."""

    connect: Seconds = key(default_of(UpstreamTimeouts, "connect"), "To connect; then 504.", "2s")
    response_header: Seconds = key(
        default_of(UpstreamTimeouts, "response_header"),
        "Until the head of the response; then 504.",
        "30s",
    )
    idle: Seconds = key(
        default_of(UpstreamTimeouts, "idle"), "Between two parts of a response body.", "60s"
    )
    total: Seconds = key(
        default_of(UpstreamTimeouts, "total"),
        "From the request for a connection to the end of the response, except tunnels; 0 means no limit.",
        "0s",
    )
    tunnel_idle: Seconds = key(
        default_of(UpstreamTimeouts, "tunnel_idle"),
        "How long a tunnel (WebSocket) may be idle.",
        "1h",
    )


class PoolSection(Section):
    """Limits on the connections to one upstream, per worker (forwarding.md F4, S12)."""

    max_connections: Positive = key(
        default_of(PoolLimits, "max_connections"),
        "Maximum number of connections; further requests wait.",
    )
    max_idle: Count = key(default_of(PoolLimits, "max_idle"), "Maximum number of idle connections.")
    idle: Seconds = key(
        default_of(PoolLimits, "idle"),
        "How long an idle connection is kept; should be less than the keep-alive time of the upstream.",
        "1s",
    )
    queue: Seconds = key(
        default_of(PoolLimits, "queue"),
        "How long a request waits for a connection if all are in use; then 503.",
        "1s",
    )
    reuse: Literal["always", "never"] = key(
        default_of(PoolLimits, "reuse"),
        "Whether connections are reused: always, or never, for a server that is not trusted to send"
        " exactly one response for each request.",
    )
    tunnels: Count | None = key(
        default_of(PoolLimits, "tunnels"),
        "Maximum number of tunnels (WebSocket), in addition to max_connections; above: 503. Default:"
        " half of max_connections.",
        "512",
    )


class RetriesSection(Section):
    """When a request is repeated (forwarding.md F3)."""

    attempts: NoneOrOne = key(
        default_of(Upstream, "retries"),
        "How often a GET, HEAD or OPTIONS is repeated if a reused connection turns out to be closed; 0 for never.",
    )


class CircuitBreakerSection(Section):
    """When a failing upstream gets no requests for a while (forwarding.md O7)."""

    failures: Positive = key(
        default_of(CircuitBreaker, "failures"),
        "Consecutive failures to connect or to start a response in time; then 503 at once.",
    )
    open: Seconds = key(
        default_of(CircuitBreaker, "open"),
        "How long the circuit stays open; then one request is forwarded as a trial.",
        "1s",
    )


class UpstreamTlsSection(Section):
    """How an https upstream is verified, and the client certificate for it."""

    ca_file: Text | None = key(
        None,
        "Authorities trusted to sign its certificate: PEM. Default: those of the system.",
        "/etc/corsproxy/upstream-ca.crt",
    )
    server_name: Text | None = key(
        None,
        "The name that its certificate must contain, also sent as SNI. Default: the host of the URL.",
        "legacy.internal",
    )
    cert_file: Text | None = key(
        None,
        "The client certificate: PEM. Default: none.",
        "/etc/corsproxy/client.crt",
    )
    key_file: Text | None = key(
        None,
        "The private key of the client certificate, not encrypted: PEM.",
        "/etc/corsproxy/client.key",
    )
    insecure_skip_verify: Flag = key(
        default_of(UpstreamTls, "insecure_skip_verify"),
        "Whether any certificate is accepted: then any server can impersonate the upstream.",
    )


class UpstreamSection(Section):
    """One server that requests are forwarded to."""

    url: Text = key(
        ...,
        "Its address: http://host:port, https://host:port or unix:/run/app.sock; without a path.",
        "http://127.0.0.1:9000",
    )
    host_header: Text = key(
        default_of(Upstream, "host_header"),
        "The Host header it receives: upstream (its own), preserve (the client's), or a literal host.",
    )
    origin_header: Literal["keep", "strip", "rewrite"] = key(
        default_of(Upstream, "origin_header"),
        "The Origin and Referer it receives: keep (the client's), strip (none), or rewrite (its own"
        " origin, for servers that reject others; not for requests that the policy refuses).",
    )
    public_url: Text | None = key(
        None,
        "The scheme and host by which clients reach it, for Location and the like; default those of"
        " the request.",
        "https://api.example.com",
    )
    forwarded: Literal["x-forwarded", "forwarded", "both", "off"] = key(
        default_of(Upstream, "forwarded"),
        "Headers that identify the client: x-forwarded (X-Forwarded-For, -Proto, -Host), forwarded (RFC"
        " 7239), both, or off.",
    )
    timeouts: UpstreamTimeoutsSection = section(
        UpstreamTimeoutsSection,
        "Time limits; 0 means no limit.",
    )
    pool: PoolSection = section(PoolSection, "Connections to it, per worker.")
    retries: RetriesSection = section(RetriesSection, "When requests are repeated.")
    circuit_breaker: CircuitBreakerSection | None = optional_section(
        "When it gets no requests because it fails; default never.",
    )
    tls: UpstreamTlsSection | None = optional_section("TLS to an https upstream.")
