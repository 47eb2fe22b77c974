"""Parses `host:port` from the configuration and reports why it is not valid.

Origins have their own parser (`cors.origins`), since they are bytes in the one spelling that browsers
send. So do the URLs of pages (`urls`), which are parsed as browsers parse them.
"""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

# A host name or IPv4 address; a name may end in its root dot, and containers use `_`.
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class AddressError(ValueError):
    """An address is not valid; the message is the reason."""


class HostError(AddressError):
    """The host is not valid."""


class PortError(AddressError):
    """The port is not valid."""


def split_authority(text: str) -> tuple[str, int | None]:
    """Split `host[:port]` into host (IPv6 without brackets) and port (None if absent).

    Raises `HostError` or `PortError`.
    """
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or not _is_ipv6(host):
            raise HostError("the text in brackets is not a valid IPv6 address")
    elif text.count(":") > 1:
        raise HostError("an IPv6 address must be in brackets")
    else:
        host, colon, digits = text.partition(":")
        port = colon + digits
        if not host:
            raise HostError("the host is missing")
        if not _NAME.fullmatch(host):
            raise HostError("the host is not a valid name or address")
    if not port:
        return host, None
    if port[0] != ":" or not _PORT.fullmatch(port[1:]) or int(port[1:]) > 65535:
        raise PortError("the port is not a number from 0 to 65535")
    return host, int(port[1:])


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False
