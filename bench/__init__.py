"""The benchmark: what a request costs in corsproxy and in its peers, measured in one run."""
