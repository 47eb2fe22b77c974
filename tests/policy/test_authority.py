"""split_authority(): parsing `host:port` from a configuration."""

import pytest

from corsproxy.policy.authority import HostError, PortError, split_authority


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a", None)),
        ("API.example.com.:080", ("API.example.com.", 80)),
        ("my_app:0", ("my_app", 0)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("[::1]", ("::1", None)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_a_valid_authority_is_split(text: str, parts: tuple[str, int | None]) -> None:
    """L22: names, IPv4, and IPv6 in brackets, with or without a port."""
    assert split_authority(text) == parts


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the host is missing"),
        (":80", "the host is missing"),
        ("a b", "the host is not a valid name or address"),
        ("a..b", "the host is not a valid name or address"),
        ("bücher.example", "the host is not a valid name or address"),
        ("a" * 64, "the host is not a valid name or address"),
        ("::1:80", "an IPv6 address must be in brackets"),
        ("[::1", "the text in brackets is not a valid IPv6 address"),
        ("[127.0.0.1]", "the text in brackets is not a valid IPv6 address"),
        ("[fe80::1%eth0]:80", "the text in brackets is not a valid IPv6 address"),
    ],
)
def test_a_host_that_is_not_valid_is_refused_with_the_reason(text: str, reason: str) -> None:
    """L6: the problem contains the reason."""
    with pytest.raises(HostError, match=reason):
        split_authority(text)


@pytest.mark.parametrize(
    "text", ["a:", "a:x", "a:65536", "a:000080", "a:\uff18", "[::1]80", "[::1]:-1"]
)
def test_a_port_that_is_not_valid_is_refused(text: str) -> None:
    """L22: a port is a number from 0 to 65535."""
    with pytest.raises(PortError, match="the port is not a number from 0 to 65535"):
        split_authority(text)
