"""Connections to upstreams: name resolution, connecting, pooling, responses and circuit breaking."""
