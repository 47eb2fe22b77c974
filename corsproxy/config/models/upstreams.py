"""What a user may write about one upstream."""

from corsproxy.config.models.types import Count, Positive, Seconds, Section, Text, key, section


class UpstreamTimeoutsSection(Section):
    """How long an upstream may take for each part of an answer (forwarding.md O1)."""

    connect: Seconds = key(2.0, "To accept a connection; then 504.", "2s")
    response_header: Seconds = key(30.0, "To send the head of its answer; then 504.", "30s")
    idle: Seconds = key(60.0, "Between two pieces of an answer's body.", "60s")
    total: Seconds = key(0.0, "For a whole exchange; 0 means no limit.", "0s")
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


class UpstreamSection(Section):
    """One server that requests are forwarded to."""

    url: Text = key(
        ...,
        "Where it is: http://host:port or unix:/run/app.sock; without a path.",
        "http://127.0.0.1:9000",
    )
    host_header: Text = key(
        "upstream",
        "The Host it gets: upstream (its own), preserve (the client's), or a literal name.",
    )
    timeouts: UpstreamTimeoutsSection = section(
        UpstreamTimeoutsSection,
        "How long it may take; 0 means no limit.",
    )
    pool: PoolSection = section(PoolSection, "Connections to it, per worker.")
