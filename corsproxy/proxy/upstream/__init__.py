"""Connections to upstreams: addresses, connecting, responses, the pool, the circuit breaker."""
