"""Compiled policies, routes and rules for serving requests. Pure: no I/O, no clock, no logging."""
