"""Message heads and bodies, parsed and checked. Pure: no sockets, no event loop."""
