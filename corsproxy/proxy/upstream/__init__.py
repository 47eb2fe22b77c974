"""Connections to upstreams: resolved, opened, pooled, guarded by a breaker."""
