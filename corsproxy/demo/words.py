"""The texts of the demo: its configuration and its greeting. Knows ports, not sockets."""

from dataclasses import dataclass
from typing import Final

from corsproxy.demo.legacy import SESSION

_CONFIG: Final = """\
version: 1

server:
  listen: {listen}
  drain_delay: 0s        # no load balancer looks at a demo
  drain: 2s

health:
  listen: {health}

log:
  format: text

upstreams:
  legacy:
    url: {upstream}

policies:
  page:
    allow_origins: [{page}]
    allow_methods: [GET, PUT]
    allow_headers: [content-type]
    expose_headers: [x-total-count]
    allow_credentials: true
    max_age: 10m

routes:
  - name: legacy
    upstream: legacy
    cors: page
    response_headers:
      - remove: [Server, X-Powered-By]
"""

_GREETING: Final = """\
corsproxy demo: three servers on this machine. Ctrl-C ends them all.

  page        {page}   <- open this one
  legacy API  {api}
  corsproxy   {proxy}
  health      {health}/livez

Try it by hand:

  # A preflight the policy allows: 204 with the permission
  curl -i -X OPTIONS {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: PUT' \\
    -H 'Access-Control-Request-Headers: content-type'

  # A preflight it refuses: 403, and the API never hears of it
  curl -i -X OPTIONS {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: DELETE'

  # A GET of the allowed origin, and one of a stranger: only the first answer has CORS headers
  curl -i {proxy}/orders -H 'Origin: {page}'
  curl -i {proxy}/orders -H 'Origin: https://stranger.example'

  # The PUT that the preflight asked for
  curl -i -X PUT {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Content-Type: application/json' \\
    -b {session} -d '{{"item": "teapot", "quantity": 3}}'

  # The same preflight straight to the legacy API: 405, so a browser gives up
  curl -i -X OPTIONS {api}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: PUT'

The configuration the proxy runs with: corsproxy demo --print-config
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The four ports of a demo on loopback."""

    page: int
    api: int
    proxy: int
    health: int


def origin(port: int) -> str:
    """Return the origin of a port of the demo as a browser writes it.

    All are on localhost: other ports are other origins but the same site, so cookies are sent.
    """
    return f"http://localhost:{port}"


def config_text(ports: Ports) -> str:
    """Return the proxy's whole configuration, in YAML."""
    return _CONFIG.format(
        listen=f"127.0.0.1:{ports.proxy}",
        health=f"127.0.0.1:{ports.health}",
        upstream=f"http://127.0.0.1:{ports.api}",
        page=origin(ports.page),
    )


def greeting(ports: Ports) -> str:
    """Return what the terminal shows once everything runs."""
    return _GREETING.format(
        page=origin(ports.page),
        api=origin(ports.api),
        proxy=origin(ports.proxy),
        health=f"http://127.0.0.1:{ports.health}",
        session=SESSION,
    )
