"""URLs as browsers send them: `explain` matches what would be on the wire."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.urls import read_url


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://API.Example.com", "https://api.example.com/"),
        ("HTTPS://api.example.com:443/a", "https://api.example.com/a"),
        ("http://api.example.com:8080/a?b=c#d", "http://api.example.com:8080/a?b=c"),
        ("http://[::1]:80/", "http://[::1]/"),
        ("ws://localhost:80/socket", "ws://localhost/socket"),
        ("http://h/a/../b/./c", "http://h/b/c"),
        ("http://h/a/%2e%2E/b/%2e", "http://h/b/"),
        ("http://h/a/b/..", "http://h/a/"),
        ("http://h/../..", "http://h/"),
        ("http://h//a//b/", "http://h//a//b/"),
        ("http://h/%2F%00;x/..;/", "http://h/%2F%00;x/..;/"),
        ("http://h\\a\\b", "http://h/a/b"),
        ("http://h/a b/é?q=ü 'x'", "http://h/a%20b/%C3%A9?q=%C3%BC%20%27x%27"),
        ("http://h?q", "http://h/?q"),
    ],
)
def test_a_url_is_serialized_as_by_a_browser(text: str, sent: str) -> None:
    """URL parser: case, default port, dot segments, percent-encoding, no fragment (cors.md 71)."""
    assert str(read_url(text)) == sent
    assert str(read_url(sent)) == sent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/orders", "write it as"),
        ("api.example.com/orders", "write it as"),
        ("ftp://api.example.com/", "write it as"),
        ("https:///orders", "write it as"),
        ("https://user:secret@api.example.com/", "remove it"),
        ("https://bücher.example/", "write the name in ASCII"),
        ("https://a..example/", "no valid host"),
        ("https://a:99999/", "is not a valid URL"),
        ("https://a:0/", "no valid host"),
        ("https://[::1/", "is not a valid URL"),
    ],
)
def test_a_url_that_no_page_can_request_is_an_error(text: str, words: str) -> None:
    """The error contains the value, the fault and the fix."""
    with pytest.raises(ValueError, match=words) as raised:
        read_url(text)
    assert repr(text) in str(raised.value)


def test_where_to_connect() -> None:
    """The default port of the scheme; IPv6 without brackets."""
    assert (read_url("https://a/").host, read_url("https://a/").port) == ("a", 443)
    assert (read_url("http://[::1]:81/").host, read_url("http://[::1]:81/").port) == ("::1", 81)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abé/.%2eE?#;:@[]\\ \t\n\x00", max_size=24))
def test_any_input_is_a_printable_request_target_or_an_error(rest: str) -> None:
    """No part of a URL can end the request line early (forwarding.md S3)."""
    try:
        url = read_url(f"http://h/{rest}")
    except ValueError:
        return
    assert url.target.isascii()
    assert not any(char.isspace() or not char.isprintable() for char in str(url))
    assert read_url(str(url)) == url
