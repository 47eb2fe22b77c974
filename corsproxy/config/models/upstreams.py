"""What a user may write about one upstream."""

from typing import Literal

from corsproxy.config.models.types import (
    Count,
    Flag,
    NoneOrOne,
    Positive,
    Seconds,
    Section,
    Text,
    key,
    optional_section,
    section,
)


class UpstreamTimeoutsSection(Section):
    """How long an upstream may take for each part of an answer (forwarding.md O1)."""

    connect: Seconds = key(2.0, "To accept a connection; then 504.", "2s")
    response_header: Seconds = key(30.0, "To send the head of its answer; then 504.", "30s")
    idle: Seconds = key(60.0, "Between two pieces of an answer's body.", "60s")
    total: Seconds = key(
        0.0,
        "From asking for a connection to the end of the answer, tunnels excepted; 0 means no limit.",
        "0s",
    )
    tunnel_idle: Seconds = key(
        3600.0,
        "How long a tunnel (WebSocket) may stay silent.",
        "1h",
    )


class PoolSection(Section):
    """How many connections to one upstream there are, per worker (forwarding.md F4, S12)."""

    max_connections: Positive = key(1024, "Connections at most; a request above waits.")
    max_idle: Count = key(64, "Idle connections kept at most.")
    idle: Seconds = key(
        1.0,
        "How long an idle connection is kept: less than the upstream itself keeps it.",
        "1s",
    )
    queue: Seconds = key(
        1.0,
        "How long a request waits for a connection when all are taken; then 503.",
        "1s",
    )
    reuse: Literal["always", "never"] = key(
        "always",
        "Whether a connection carries one request after the other: always, or never, for a server"
        " that is not trusted to send exactly one response for each request.",
    )
    tunnels: Count | None = key(
        None,
        "Tunnels (WebSocket) at most, counted beside max_connections; above: 503. Default: half of"
        " max_connections.",
        "512",
    )


class RetriesSection(Section):
    """When a request is sent again (forwarding.md F3)."""

    attempts: NoneOrOne = key(
        1,
        "How often a GET, HEAD or OPTIONS is sent again when a kept connection turns out dead; 0 never.",
    )


class CircuitBreakerSection(Section):
    """When an upstream that fails is left alone (forwarding.md O7)."""

    failures: Positive = key(
        5,
        "Failures to connect, or answers that did not begin in time, in a row; then 503 at once.",
    )
    open: Seconds = key(1.0, "How long, until one request is let through as a trial.", "1s")


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
        False,  # noqa: FBT003 - the default of a key
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
        "upstream",
        "The Host it gets: upstream (its own), preserve (the client's), or a literal name.",
    )
    origin_header: Literal["keep", "strip", "rewrite"] = key(
        "keep",
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
        "x-forwarded",
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
