"""split_host_port(): the `host:port` of an option."""

import pytest

from corsproxy.cli.host_port import split_host_port


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:9902", ("127.0.0.1", 9902)),
        ("[::1]:9902", ("::1", 9902)),
        ("::1:9902", ("::1", 9902)),
        (":9902", ("", 9902)),
        ("9902", None),
        ("a:", None),
        ("a:0", None),
        ("a:65536", None),
        ("a:\uff19", None),
    ],
)
def test_it_is_split_at_the_last_colon(text: str, parts: tuple[str, int] | None) -> None:
    """IPv6 with or without brackets, a host or none; a port has to be there."""
    assert split_host_port(text, lowest=1) == parts


def test_zero_is_a_port_to_bind() -> None:
    """Port 0 is any free one; it cannot be connected to."""
    assert split_host_port("127.0.0.1:0", lowest=0) == ("127.0.0.1", 0)
