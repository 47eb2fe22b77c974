"""Finds mistakes in the spelling of an origin pattern (cors.md 14-17, 22).

`diagnose` returns each mistake as a slug of `messages.KINDS`; `correct` guesses the pattern that was
meant.
"""

import unicodedata
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from corsproxy.policy.cors.origins import (
    DEFAULT_PORTS,
    LONGEST_HOST,
    LONGEST_LABEL,
    is_port,
    is_scheme,
)

_HOST_CHARS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.*")
_NUMBER_CHARS: Final = frozenset("0123456789")


class Spelling(NamedTuple):
    """A pattern split into parts, valid or not; `port` is None without a colon."""

    scheme: str
    userinfo: str
    host: str
    port: str | None
    tail: str


def take_apart(text: str) -> Spelling | None:
    """Split `text` into its parts; return None if it has no scheme.

    Lenient, unlike `origins.parse_origin`, since each invalid part gets its own message.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        return None
    end = min((rest.index(char) for char in "/?#\\" if char in rest), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    userinfo, at, address = authority.rpartition("@")
    if address.startswith("["):
        # Without a colon, what follows the bracket stays part of the address and makes it invalid.
        name, bracket, after = address.partition("]:")
        host, port = (f"{name}]", after) if bracket else (address, None)
    else:
        host, colon, after = address.partition(":")
        port = after if colon else None
    return Spelling(scheme, userinfo + at, host, port, tail)


def diagnose(text: str) -> Iterator[str]:
    """Yield the slug of each mistake in one pattern; nothing if it is valid.

    `*` and `null` are valid patterns; whether a policy may contain them is checked elsewhere.
    """
    if text in {"*", "null"}:
        return
    whole = _whole_fault(text)
    if whole:
        yield whole
        return
    if means_any(text):
        yield "origin_means_any"
        return
    parts = take_apart(text)
    if parts is None:
        yield "origin_scheme_missing"
        return
    yield from _scheme_faults(parts.scheme)
    if parts.userinfo:
        yield "origin_userinfo"
    if parts.tail:
        yield _tail_fault(parts.tail)
    if (parts.scheme + parts.host) != (parts.scheme + parts.host).lower():
        yield "origin_uppercase"
    yield from _host_faults(parts.host.lower())
    yield from _port_faults(parts)


def means_any(text: str) -> bool:
    """Whether `text` is a wildcard for any host, such as `https://*`."""
    parts = take_apart(text)
    host = parts.host if parts else text
    return "*" in host and not host.strip("*.:/")


def _whole_fault(text: str) -> str | None:
    if not text:
        return "origin_empty"
    if any(char.isspace() or not char.isprintable() for char in text):
        return "origin_whitespace"
    if "," in text:
        return "origin_list"
    return "origin_uppercase" if text.lower() == "null" else None


def _scheme_faults(scheme: str) -> Iterator[str]:
    lower = scheme.lower()
    if lower == "file":
        yield "origin_file_scheme"
    elif "*" in lower:
        yield "origin_wildcard_misplaced"
    elif not lower.isascii() or not is_scheme(lower.encode("ascii")):
        yield "origin_scheme_invalid"


def _tail_fault(tail: str) -> str:
    if tail == "/":
        return "origin_trailing_slash"
    return {"?": "origin_query", "#": "origin_fragment"}.get(tail[0], "origin_path")


def _port_faults(parts: Spelling) -> Iterator[str]:
    port = parts.port
    if port is None or port == "*":
        return
    if not port.isascii() or not is_port(port.encode("ascii")):
        yield "origin_port_invalid"
    elif DEFAULT_PORTS.get(parts.scheme.lower().encode("utf-8")) == port.encode("ascii"):
        yield "origin_default_port"


def _host_faults(host: str) -> Iterator[str]:
    if not host:
        yield "origin_host_missing"
    elif host.startswith("["):
        yield from _ipv6_faults(host)
    elif not host.isascii():
        yield "origin_unicode"
    elif set(host) - _HOST_CHARS:
        yield "origin_host_invalid"
    elif is_numeric(host):
        yield from _ipv4_faults(host)
    else:
        yield from _name_faults(host)


def _ipv6_faults(host: str) -> Iterator[str]:
    text = host[1:].removesuffix("]")
    if "*" in text:
        yield "origin_wildcard_on_ip"
    elif "%" in text:
        yield "origin_ipv6_zone"
    else:
        try:
            address = IPv6Address(text)
        except AddressValueError:
            yield "origin_ipv6_invalid"
            return
        if not host.endswith("]"):
            yield "origin_ipv6_invalid"
        elif address.ipv4_mapped:
            yield "origin_ipv6_mapped"
        elif address.compressed != text:
            yield "origin_ipv6_not_canonical"


def is_numeric(host: str) -> bool:
    """Whether browsers parse `host` as an IPv4 address: its last label is a number.

    https://url.spec.whatwg.org/#ends-in-a-number-checker
    """
    labels = host.removesuffix(".").split(".")
    if all(label == "*" or (label and not set(label) - _NUMBER_CHARS) for label in labels):
        return True
    last = labels[-1]
    return bool(last) and (not set(last) - _NUMBER_CHARS or _is_hexadecimal(last))


def _is_hexadecimal(label: str) -> bool:
    return label.startswith("0x") and not set(label[2:]) - set("0123456789abcdef")


def _ipv4_faults(host: str) -> Iterator[str]:
    if "*" in host:
        yield "origin_wildcard_on_ip"
        return
    try:
        IPv4Address(host)
    except AddressValueError:
        yield "origin_ipv4_invalid"


def _name_faults(host: str) -> Iterator[str]:
    labels = host.removesuffix(".").split(".")
    if not all(labels):
        yield "origin_empty_label"
    if len(host) > LONGEST_HOST:
        yield "origin_host_too_long"
    if any(len(label) > LONGEST_LABEL for label in labels):
        yield "origin_label_too_long"
    first, *parents = labels
    if "*" in "".join(parents) or first.count("*") > 1 or ("*" in first and not parents):
        yield "origin_wildcard_misplaced"
    if any(label.startswith("xn--") and not _decodes(label) for label in labels):
        yield "origin_punycode_invalid"


def _decodes(label: str) -> bool:
    """Whether an `xn--` label decodes to a printable name that encodes back to the same label."""
    encoded = label[4:]
    try:
        name = encoded.encode("ascii").decode("punycode")
        is_only = name.encode("punycode").decode("ascii") == encoded
    except (UnicodeError, OverflowError):
        return False
    return is_only and not name.isascii() and name.isprintable() and name == name.lower()


def to_ascii(host: str) -> str:
    """Return `host` as browsers send it: NFKC, lower case, `xn--` labels.

    A subset of UTS 46: the result is only suggested to the user, never matched.
    """
    name = unicodedata.normalize("NFKC", host).replace("\u3002", ".").lower()
    return ".".join(
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
        for label in name.split(".")
    )


def correct(text: str) -> str | None:
    """Return the pattern that `text` most likely means; None if it is valid or there is no guess."""
    meant = text.strip()
    if means_any(meant):
        return "*"
    if meant.lower() == "null":
        meant = "null"
    elif "://" not in meant:
        name = meant.partition(":")[0].lower()
        local = name == "localhost" or name.startswith("127.")
        meant = f"{'http' if local else 'https'}://{meant}"
    parts = take_apart(meant)
    if parts is not None:
        meant = _written(parts)
    return meant if meant != text and not any(diagnose(meant)) else None


def _written(parts: Spelling) -> str:
    scheme, host, port = parts.scheme.lower(), to_ascii(parts.host), parts.port
    if host.startswith("["):
        try:
            address = IPv6Address(host.strip("[]").partition("%")[0])
        except AddressValueError:
            return f"{scheme}://{host}"
        host = str(address.ipv4_mapped or f"[{address.compressed}]")
    if port is not None and DEFAULT_PORTS.get(scheme.encode("utf-8")) == port.encode("utf-8"):
        port = None
    return f"{scheme}://{host}" + (f":{port}" if port else "")
