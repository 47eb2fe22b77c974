"""Benchmarks: the cost of a request in corsproxy and in its peers, measured in one run."""
