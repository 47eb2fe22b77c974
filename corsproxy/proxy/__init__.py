"""The data path: connections, one request's way, and what may go wrong on it. Knows no YAML."""
