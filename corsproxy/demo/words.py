"""The texts of the demo: its configuration and its greeting."""

from dataclasses import dataclass
from typing import Final

from corsproxy.demo.legacy import SESSION

_CONFIG: Final = """\
version: 1

server:
  listen: {listen}
  drain_delay: 0s        # there is no load balancer
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
corsproxy demo: three servers on this machine. Ctrl-C stops them all.

  page        {page}   <- open this one
  legacy API  {api}
  corsproxy   {proxy}
  health      {health}/livez

Try it by hand:

  # A preflight that the policy allows: 204 with CORS headers
  curl -i -X OPTIONS {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: PUT' \\
    -H 'Access-Control-Request-Headers: content-type'

  # A preflight that it refuses: 403, and nothing is sent to the API
  curl -i -X OPTIONS {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: DELETE'

  # A GET from the allowed origin, and one from another: only the first response has CORS headers
  curl -i {proxy}/orders -H 'Origin: {page}'
  curl -i {proxy}/orders -H 'Origin: https://other.example'

  # The PUT that the first preflight was for
  curl -i -X PUT {proxy}/orders/7 \\
    -H 'Origin: {page}' -H 'Content-Type: application/json' \\
    -b {session} -d '{{"item": "teapot", "quantity": 3}}'

  # The first preflight, directly to the legacy API: 405, so a browser does not send the PUT
  curl -i -X OPTIONS {api}/orders/7 \\
    -H 'Origin: {page}' -H 'Access-Control-Request-Method: PUT'

The proxy's configuration: corsproxy demo --print-config
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The four ports of a demo on loopback."""

    page: int
    api: int
    proxy: int
    health: int


def origin(port: int) -> str:
    """Return the origin of a port of the demo as a browser serializes it.

    All are on localhost: different ports are different origins of the same site, so cookies are sent.
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
    """Return the text that the terminal shows once all servers run."""
    return _GREETING.format(
        page=origin(ports.page),
        api=origin(ports.api),
        proxy=origin(ports.proxy),
        health=f"http://127.0.0.1:{ports.health}",
        session=SESSION,
    )
