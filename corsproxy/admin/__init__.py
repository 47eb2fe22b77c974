"""The health listener: /livez, /readyz and /metrics, for probes and Prometheus."""
