"""The state that all connections of one worker share: configuration, clock, counters and pools.

Connections, handshakes and exchanges get this object, not the server that accepts them.
"""

import asyncio
import secrets
from collections.abc import Callable

from corsproxy.observe.metrics import Metrics
from corsproxy.observe.record import Record
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.proxy.connections import Connections
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.fd_limits import raise_fd_limit
from corsproxy.proxy.pools import Pools
from corsproxy.proxy.reports import Reports
from corsproxy.proxy.upload import UploadBuffers

Observer = Callable[[Record], None]


class ServerState:
    """The state of one worker, bound to the running loop. `observers` get the record of each request."""

    def __init__(
        self, config: CompiledConfig, clock: Clock, observers: tuple[Observer, ...] = ()
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.config = config
        self.observers = observers
        self.metrics = Metrics()
        self.reports = Reports(self.metrics)
        self.connections = Connections(raise_fd_limit(config.server.limits.max_connections))
        self.pools = Pools(clock, self.reports.excess)
        self.uploads = UploadBuffers()
        self.open_exchanges = 0
        # The requests that count for `max_requests_in_flight`: neither those whose body is still being
        # buffered nor tunnels (O3, O4).
        self.in_flight = 0
        # Whether each response closes its connection (P1) ...
        self.draining = False
        # ... and idle connections are closed, because no new ones are accepted.
        self.closing = False
        self._id_prefix = secrets.token_hex(6).encode()
        self._id_number = 0

    def new_request_id(self) -> bytes:
        """Return a unique request ID."""
        self._id_number += 1
        return b"%b-%x" % (self._id_prefix, self._id_number)

    def is_full(self) -> bool:
        """Return whether `max_requests_in_flight` is reached (O3); log it if so."""
        limit = self.config.server.limits.max_requests_in_flight
        if not limit or self.in_flight < limit:
            return False
        self.reports.overloaded("the number of requests in flight", limit)
        return True

    def replace_config(self, config: CompiledConfig) -> None:
        """Serve later requests with `config`; those in flight keep theirs (P2)."""
        self.config = config
        self.connections.limits = raise_fd_limit(config.server.limits.max_connections)
        self.pools.keep(config.upstreams)

    def sweep(self, now: float) -> None:
        """Handle expired deadlines. Called at each tick of the clock."""
        self.connections.sweep(now)
        self.pools.sweep(now, self.config.server.limits.max_requests_in_flight)
