"""What the hot path reads: compiled policies, routes and rules. Pure: no I/O, no clock, no log."""
