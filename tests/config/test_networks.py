"""Networks of `trusted_proxies`: as written, except that IPv4-mapped ones are IPv4."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corsproxy.config.addresses import read_network
from corsproxy.policy.authority import AddressError


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("fd00::/8", "fd00::/8"),
        ("::1", "::1/128"),
        ("::/0", "::/0"),
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::FFFF:127.0.0.0/104", "127.0.0.0/8"),
        ("::ffff:a00:0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::127.0.0.1", "::7f00:1/128"),
        ("::fffe:0:0/95", "::fffe:0:0/95"),
    ],
)
def test_p7_a_mapped_network_is_an_ipv4_network(text: str, network: str) -> None:
    """P7, K3: peers of IPv4-mapped addresses are IPv4 peers, and so is their network."""
    assert read_network(text) == ip_network(network)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_p7_an_ipv4_mapped_network_contains_its_peers(address: object, length: int) -> None:
    """P7: for any prefix it equals the network in IPv4 notation."""
    plain = ip_network(f"{address}/{length}", strict=False)
    mapped = read_network(f"::ffff:{plain.network_address}/{96 + length}")
    assert mapped == plain
    assert ip_address(str(address)) in mapped


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("::ffff:10.0.0.1/104", "did you mean 10.0.0.0/8?"),
        ("::ffff:0:0/95", "did you mean ::fffe:0:0/95?"),
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("::ffff:10.0.0.0/129", "it is not an IP address"),
    ],
)
def test_an_invalid_network_is_reported_with_advice(text: str, says: str) -> None:
    """L19: the network that was meant, spelled as it is compared."""
    with pytest.raises(AddressError, match="it ") as raised:
        read_network(text)
    assert str(raised.value).endswith(says)
