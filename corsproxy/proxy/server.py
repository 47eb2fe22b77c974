"""Accepts client connections, enforces deadlines, and drains the worker when it stops.

A subclass of aiohttp's `web.Server` whose connections are `ClientConnection`; they share a
`ServerState`.
"""

from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from corsproxy.observe.snapshot import Snapshot
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.proxy.accounting import snapshot
from corsproxy.proxy.client import ClientConnection
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.handshakes import Handshakes
from corsproxy.proxy.state import Observer, ServerState


class MissingParser(RuntimeError):  # noqa: N818 - the name is the message
    """aiohttp was installed without its C parsers; its pure-Python ones are too lenient."""


class ProxyServer(web.Server):
    """Serves one configuration. Must be created and used in one running loop.

    `observers` are called once with the record of each request that ended. Raises MissingParser.
    """

    def __init__(self, config: CompiledConfig, observers: tuple[Observer, ...] = ()) -> None:
        _require_c_parsers()
        super().__init__(_never_called)
        self.state = ServerState(config, Clock(self._sweep), observers)
        self.handshakes = Handshakes(self.state)
        self.state.connections.handshakes = self.handshakes
        # aiohttp's `pre_shutdown` and `shutdown` close the connections in this dictionary.
        self._connections = self.state.connections.open  # type: ignore[assignment] # the seam
        self.state.clock.start()

    def __call__(self) -> RequestHandler:
        """Return the protocol for a new connection."""
        return ClientConnection(self.state)  # type: ignore[return-value] # the seam

    @property
    def connection_count(self) -> int:
        """The number of client connections, TLS handshakes included (O2)."""
        return self.state.connections.count

    def snapshot(self) -> Snapshot:
        """Return the counters and the current values of the gauges."""
        return snapshot(self.state)

    def _sweep(self, now: float) -> None:
        self.handshakes.sweep(now)
        self.state.sweep(now)

    # --- the end ---------------------------------------------------------------------------

    async def drain(self, seconds: float) -> bool:
        """Close idle connections and wait until all have ended; return False after `seconds`.

        It waits for connections, not requests: a complete response may still be on its way to a slow
        client (P1).
        """
        self.state.draining = self.state.closing = True
        self.handshakes.close()
        self.pre_shutdown()
        return await self.state.connections.wait_closed(seconds)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's signature
        """Abort all connections to clients and upstreams."""
        self.handshakes.close()
        await super().shutdown(timeout)
        self.state.clock.stop()
        self.state.pools.close()


def _require_c_parsers() -> None:
    """Raise MissingParser unless aiohttp was built with its C parsers."""
    if http_parser.HttpRequestParser.__name__ != "HttpRequestParser" or not hasattr(
        http_parser,
        "HttpRequestParserC",
    ):
        raise MissingParser(
            "aiohttp's C extensions are missing: install aiohttp from a wheel, or build it with a C "
            "compiler and without AIOHTTP_NO_EXTENSIONS",
        )


async def _never_called(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError(request)  # ClientConnection creates no aiohttp request
