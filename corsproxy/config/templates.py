"""The configuration files that `corsproxy init` prints; a test loads each of them."""

from typing import Final

from corsproxy.config.example import SCHEMA_LINE

MINIMAL: Final = f"""{SCHEMA_LINE}
# The smallest useful configuration. Check it with: corsproxy check config.yaml
version: 1

routes:
  - upstream: http://127.0.0.1:9000                 # your API
    cors:
      allow_origins: [https://app.example.com]      # the origin of your page
"""

COMPOSE: Final = f"""{SCHEMA_LINE}
# For docker compose: the proxy is a service next to the API, on the same network.
#
#   services:
#     api: {{...}}
#     corsproxy:
#       image: corsproxy
#       command: [corsproxy, run, -c, /etc/corsproxy/config.yaml]
#       ports: ["8080:8080"]
#       volumes: ["./config.yaml:/etc/corsproxy/config.yaml:ro"]
#       environment: {{CORS_ORIGINS: "http://localhost:3000"}}
version: 1

server:
  listen: 0.0.0.0:8080

upstreams:
  api:
    url: http://api:9000                            # the service's name and container port

policies:
  page:
    allow_origins: ["${{CORS_ORIGINS}}"]              # comma-separated if several
    allow_methods: [GET, POST, PUT, PATCH, DELETE]
    allow_headers: [authorization, content-type]
    allow_credentials: true
    max_age: 10m

defaults:
  cors: page                                        # also for the proxy's own errors

routes:
  - name: api
    upstream: api
"""

KUBERNETES: Final = f"""{SCHEMA_LINE}
# For a sidecar: the proxy shares the pod with the API and reaches it on loopback. Mount this as a
# ConfigMap directory, never as subPath: a subPath mount is not updated.
version: 1

server:
  listen: 0.0.0.0:8080                              # the targetPort of the Service
  trusted_proxies: [10.0.0.0/8]                     # the addresses of the ingress
  drain_delay: 0s                                   # the preStop sleep of the app is the delay
  drain: 20s                                        # less than terminationGracePeriodSeconds

health:
  listen: 0.0.0.0:9902                              # probes connect to the pod's address

log:
  format: json

upstreams:
  app:
    url: http://127.0.0.1:9000                      # the app's container
    host_header: preserve

policies:
  page:
    allow_origins: ["${{CORS_ORIGINS}}"]              # comma-separated if several
    allow_methods: [GET, POST, PUT, PATCH, DELETE]
    allow_headers: [authorization, content-type]
    allow_credentials: true
    max_age: 10m

defaults:
  cors: page                                        # also for the proxy's own errors

routes:
  - name: app
    upstream: app
"""
