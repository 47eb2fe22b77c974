"""Message heads and bodies, parsed and validated. Pure: no sockets, no event loop."""
