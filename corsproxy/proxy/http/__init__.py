"""Parsing and validation of message heads and bodies. Pure: no sockets, no event loop."""
