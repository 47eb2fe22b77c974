"""The listeners for operators, probes and Prometheus. Knows nothing of forwarded requests."""
