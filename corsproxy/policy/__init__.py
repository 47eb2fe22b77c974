"""Compiled policies, routes and rules, which serving a request reads. Pure: no I/O, no clock, no log."""
