"""Defines the compiled configuration, which the proxy uses to serve requests.

A `CompiledConfig` is immutable; a reload replaces it as a whole, and a request keeps the one it
started with. Durations are in seconds, sizes in bytes; a duration of 0 means no limit.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from corsproxy.policy.cookies.rewrite import CookieRule
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.fields import LOCATION, REQUEST_ID, SET_COOKIE
from corsproxy.policy.routing.links import BaseUrl
from corsproxy.policy.routing.paths import UNCHANGED, PathMapping
from corsproxy.policy.routing.table import RouteTable
from corsproxy.policy.rules.apply import Rule
from corsproxy.policy.rules.spoofing import SpoofableNames, find_spoofable_names
from corsproxy.policy.source import SourcePos


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where to listen or connect: a host name or IP address (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket and its path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTimeouts:
    """Time limits for each part of an upstream's response (forwarding.md O1)."""

    connect: float = 2.0
    response_header: float = 30.0
    idle: float = 60.0
    total: float = 0.0
    tunnel_idle: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Limits on the connections to one upstream and on waiting for one (forwarding.md S12, F4, O4).

    `tunnels` None means half of `max_connections`.
    """

    max_connections: int = 1024
    max_idle: int = 64
    idle: float = 1.0
    queue: float = 1.0
    reuse: Literal["always", "never"] = "always"
    tunnels: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """The number of consecutive failures that opens the circuit, and for how long (forwarding.md O7)."""

    failures: int = 5
    open: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """How an upstream's certificate is verified, and the client certificate.

    Files are paths; "" means none. Without `ca_file` the system's CAs are trusted. `server_name` is
    sent as SNI and must match the certificate; "" means the host of the URL.
    """

    ca_file: str = ""
    server_name: str = ""
    cert_file: str = ""
    key_file: str = ""
    insecure_skip_verify: bool = False


ForwardedStyle = Literal["x-forwarded", "forwarded", "both", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One origin server. `authority` is the Host header for it, e.g. b"127.0.0.1:9000".

    `retries` is how often a request may be repeated if that is safe (forwarding.md F3).
    """

    name: str
    scheme: Literal["http", "https"]
    address: Address
    authority: bytes
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    pool: PoolLimits = PoolLimits()
    host_header: Literal["upstream", "preserve"] | bytes = "upstream"
    origin_header: Literal["keep", "strip", "rewrite"] = "keep"
    public: BaseUrl | None = None
    forwarded: ForwardedStyle = "x-forwarded"
    retries: int = 1
    circuit_breaker: CircuitBreaker | None = None
    tls: UpstreamTls = UpstreamTls()
    # Not compared: an upstream that only moved in the file keeps its pool on reload (P2).
    pos: SourcePos | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How to handle the requests of one route; what it matches is in the `RouteTable`.

    `upgrades` are the protocols that may become tunnels, in lower case (forwarding.md H17). `timeouts`
    are the upstream's with the route's overrides; `max_body` is the route's, else the server's.
    """

    name: str
    upstream: Upstream
    policy: Policy | None
    # The path mapping to the upstream; links and cookie paths are mapped back (cors.md 58).
    mapping: PathMapping = UNCHANGED
    maps_links: bool
    request_rules: tuple[Rule, ...] = ()
    response_rules: tuple[Rule, ...] = ()
    cookies: tuple[CookieRule, ...] = ()
    reject_ambiguous_paths: bool
    upgrades: frozenset[bytes]
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    max_body: int
    pos: SourcePos | None = None
    # Derived, so that a route that changes nothing costs one test per message: whether requests are
    # changed, the names whose lookalikes are dropped (forwarding.md S6), and the kinds of fields that
    # make a transformation of a response necessary. Every response has an X-Request-Id, so its kind
    # means "always".
    transforms_requests: bool = field(init=False)
    spoofable_names: SpoofableNames | None = field(init=False)
    transformed_kinds: int = field(init=False)

    def __post_init__(self) -> None:
        """Compute the derived attributes."""
        transforms = (
            bool(self.request_rules)
            or self.mapping != UNCHANGED
            or self.upstream.origin_header != "keep"
        )
        kinds = (
            (LOCATION if self.maps_links else 0)
            | (SET_COOKIE if self.cookies else 0)
            | (REQUEST_ID if self.response_rules else 0)
        )
        object.__setattr__(self, "transforms_requests", transforms)
        object.__setattr__(self, "spoofable_names", find_spoofable_names(self.request_rules))
        object.__setattr__(self, "transformed_kinds", kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on what clients may send (forwarding.md S7, O2, O3). Sizes in bytes; 0 means no limit."""

    max_connections: int = 10_000
    max_requests_in_flight: int = 1000
    max_request_line: int = 8 * 1024
    max_header_bytes: int = 32 * 1024
    max_headers: int = 128
    max_body: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimeouts:
    """Time limits for each part of a client's request (forwarding.md O1)."""

    request_header: float = 10.0
    request_body_idle: float = 30.0
    keepalive: float = 75.0
    write_idle: float = 30.0


# Which family of headers trusted peers send: X-Forwarded-* and X-Real-IP, or RFC 7239 (K3).
TrustedHeaders = Literal["x-forwarded", "forwarded"]

# "unix" means every process that can connect to the unix listener (forwarding.md K3).
TrustedPeer = IPv4Network | IPv6Network | Literal["unix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """The files of a TLS listener; with `client_ca_file`, client certificates are required."""

    cert_file: str
    key_file: str
    client_ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The listening side. `half_close` is the reaction to a client's FIN (forwarding.md H20)."""

    listen: tuple[Address, ...]
    tls: ServerTls | None = None
    workers: int | Literal["auto"] = 1
    limits: Limits = Limits()
    timeouts: ServerTimeouts = ServerTimeouts()
    trusted_proxies: tuple[TrustedPeer, ...] = ()
    trusted_headers: TrustedHeaders = "x-forwarded"
    drain_delay: float = 5.0
    drain: float = 20.0
    half_close: Literal["close", "answer"] = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged, and in which format."""

    format: Literal["auto", "text", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    access: Literal["all", "errors", "off"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledConfig:
    """A whole configuration, compiled."""

    server: Server
    routes: RouteTable[Route]
    default_policy: Policy | None = None
    health: Address | None = None
    log: LogSettings = LogSettings()
    upstreams: tuple[Upstream, ...] = field(default=())
