"""Which protocols a route may be upgraded to (forwarding.md H17)."""

import pytest

from corsproxy.config.load import load_text


@pytest.mark.parametrize(
    ("name", "slugs"),
    [
        ("websocket", []),
        ("TLS-ish/1.3", []),
        ("a b", ["upgrade_invalid"]),
        ("/1", ["upgrade_invalid"]),
        ("x/", ["upgrade_invalid"]),
        ("x/1/2", ["upgrade_invalid"]),
        ("H2C", ["upgrade_carries_requests"]),
        ("http/2", ["upgrade_carries_requests"]),
    ],
)
def test_a_protocol_is_a_token_with_or_without_a_version(name: str, slugs: list[str]) -> None:
    """RFC 9110 7.8; a protocol that carries requests would bypass every route."""
    text = f"version: 1\nroutes: [{{upstream: 'http://h', cors: false, upgrades: ['{name}']}}]\n"
    assert [problem.slug for problem in load_text(text, "f.yaml", {}).problems] == slugs
