"""Upstreams that send CORS headers of their own are counted and reported: cors.md 50."""

from corsproxy.policy.compiled import Route
from tests.support.proxy import one_route, running_proxy
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send

POLICY = 'cors: {allow_origins: ["https://app.example.com"]}'
OTHER = f"""
  - upstream: legacy
    name: other
    match: {{path: /other}}
    {POLICY}
"""
THEIRS = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nhi"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def get(path: str) -> bytes:
    """Return a GET of this path."""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


async def test_it_is_counted_each_time_and_told_once_a_route() -> None:
    """cors.md 50: three responses over two routes are two lines in the log; plain ones count not."""
    script: Script = [request(), send(PLAIN), repeat(request(), send(THEIRS))]
    async with ScriptedUpstream(script) as upstream:
        config = one_route(upstream.url, route=f"name: api\n{POLICY}", more=OTHER)
        async with running_proxy(config) as proxy, await proxy.client() as client:
            told: list[str] = []

            def tell(route: Route) -> None:
                told.append(route.name)

            proxy.server.state.reports.on_upstream_cors = tell
            for path in ("/", "/", "/", "/other"):
                assert (await client.exchange(get(path))).status == 200
            assert told == ["api", "other"]
            assert proxy.server.state.metrics.of("api").sent_cors == 2
            assert proxy.server.state.metrics.of("other").sent_cors == 1
