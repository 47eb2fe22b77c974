"""Splits the `host:port` of an option. Imports nothing, as `corsproxy health` is started every few seconds."""


def split_host_port(text: str, lowest: int) -> tuple[str, int] | None:
    """Return the host and the port, `lowest` to 65535, of `text`; None if it does not end in one.

    Unlike in a configuration, an IPv6 host needs no brackets, and the host may be anything or empty:
    the caller connects to it or binds it at once, which reports a host that is not valid.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or not lowest <= int(port) <= 65535:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)
