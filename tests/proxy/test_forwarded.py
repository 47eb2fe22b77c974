"""Who is said to have asked, and whose word is taken for it (forwarding.md K3, H9; RFC 7239)."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.compiled import ForwardedStyle, Server, TrustedHeaders, TrustedPeer
from corsproxy.proxy.forwarded import (
    Caller,
    Peer,
    address_of_peer,
    caller_of,
    forwarded_lines,
    own_origin,
)
from corsproxy.proxy.http.request_head import RequestHead
from tests.support.messages import Head, parse_head

TRUSTED: tuple[TrustedPeer, ...] = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def server(family: TrustedHeaders = "x-forwarded", *more: TrustedPeer) -> Server:
    """Return a listening side that trusts some proxies, which write this family of headers."""
    return Server(listen=(), trusted_proxies=(*TRUSTED, *more), trusted_headers=family)


PROXY = Peer(b"10.0.0.1", b"http")
STRANGER = Peer(b"192.0.2.1", b"http")
STYLES: list[ForwardedStyle] = ["x-forwarded", "forwarded", "both", "off"]
FAMILIES: list[TrustedHeaders] = ["x-forwarded", "forwarded"]

Fields = tuple[tuple[bytes, bytes], ...]


def head_with(*fields: tuple[bytes, bytes], host: bytes = b"api.example.com") -> RequestHead:
    """Return a request's head with these X-Forwarded-* and Forwarded fields."""
    head = RequestHead(b"GET", b"/", 1)
    head.host = host
    head.forwarded = fields
    return head


def ask(peer: Peer, *fields: tuple[bytes, bytes], family: TrustedHeaders = "x-forwarded") -> Caller:
    """Return who is taken for the caller."""
    return caller_of(head_with(*fields), peer, server(family))


def tell(
    peer: Peer,
    *fields: tuple[bytes, bytes],
    style: ForwardedStyle = "x-forwarded",
    prefix: bytes = b"",
    host: bytes = b"api.example.com",
    family: TrustedHeaders = "x-forwarded",
) -> Head:
    """Return the lines that the upstream gets."""
    head = head_with(*fields, host=host)
    lines = forwarded_lines(head, caller_of(head, peer, server(family)), style, prefix)
    return parse_head(b"told\r\n" + lines + b"\r\n")


CALLERS: dict[str, tuple[Peer, Fields, tuple[bytes, bytes, bytes]]] = {
    "nobody says anything": (PROXY, (), (b"10.0.0.1", b"http", b"api.example.com")),
    "a stranger is not believed": (
        STRANGER,
        (
            (b"X-Forwarded-For", b"1.1.1.1"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"evil.example"),
            (b"Forwarded", b"for=1.1.1.1"),
        ),
        (b"192.0.2.1", b"http", b"api.example.com"),
    ),
    "a proxy is": (
        PROXY,
        (
            (b"X-Forwarded-For", b"1.1.1.1"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"www.example.com"),
        ),
        (b"1.1.1.1", b"https", b"www.example.com"),
    ),
    "the rightmost that is not trusted": (
        PROXY,
        ((b"X-Forwarded-For", b"6.6.6.6, 1.1.1.1, 10.0.0.3, 10.0.0.2"),),
        (b"1.1.1.1", b"http", b"api.example.com"),
    ),
    "several lines are one list": (
        PROXY,
        ((b"X-Forwarded-For", b"6.6.6.6, 1.1.1.1"), (b"x-forwarded-for", b"10.0.0.3")),
        (b"1.1.1.1", b"http", b"api.example.com"),
    ),
    "all trusted: the first": (
        PROXY,
        ((b"X-Forwarded-For", b"10.0.0.3, 10.0.0.2"),),
        (b"10.0.0.3", b"http", b"api.example.com"),
    ),
    "a port is none of the address": (
        PROXY,
        ((b"X-Forwarded-For", b"1.1.1.1:4711"),),
        (b"1.1.1.1", b"http", b"api.example.com"),
    ),
    "IPv6 with a port": (
        PROXY,
        ((b"X-Forwarded-For", b"[2001:DB8::1]:4711"),),
        (b"2001:db8::1", b"http", b"api.example.com"),
    ),
    "IPv4 inside of IPv6 is trusted as what it is": (
        PROXY,
        ((b"X-Forwarded-For", b"1.1.1.1, ::ffff:10.0.0.3"),),
        (b"1.1.1.1", b"http", b"api.example.com"),
    ),
    "what is no address hides what is left of it": (
        PROXY,
        ((b"X-Forwarded-For", b"1.1.1.1, <script>, 10.0.0.3"),),
        (b"10.0.0.3", b"http", b"api.example.com"),
    ),
    "a scheme for each hop": (
        PROXY,
        (
            (b"X-Forwarded-For", b"6.6.6.6, 1.1.1.1, 10.0.0.3"),
            (b"X-Forwarded-Proto", b"ftp, https, http"),
        ),
        (b"1.1.1.1", b"https", b"api.example.com"),
    ),
    "one scheme for all": (
        PROXY,
        ((b"X-Forwarded-For", b"1.1.1.1, 10.0.0.3"), (b"X-Forwarded-Proto", b"HTTPS")),
        (b"1.1.1.1", b"https", b"api.example.com"),
    ),
    "a list of schemes for other hops: the first": (
        PROXY,
        (
            (b"X-Forwarded-For", b"1.1.1.1"),
            (b"X-Forwarded-Proto", b"https, http"),
            (b"X-Forwarded-Host", b"www.example.com, inner.example"),
        ),
        (b"1.1.1.1", b"https", b"www.example.com"),
    ),
    "a list of schemes for nobody": (
        PROXY,
        ((b"X-Forwarded-Proto", b"https,http"),),
        (b"10.0.0.1", b"https", b"api.example.com"),
    ),
    "the scheme of a WebSocket": (
        PROXY,
        ((b"X-Forwarded-For", b"1.1.1.1"), (b"X-Forwarded-Proto", b"wss")),
        (b"1.1.1.1", b"https", b"api.example.com"),
    ),
    "the scheme of a WebSocket without TLS": (
        Peer(b"10.0.0.1", b"https"),
        ((b"X-Forwarded-Proto", b"WS"),),
        (b"10.0.0.1", b"http", b"api.example.com"),
    ),
    "a host with an empty port": (
        PROXY,
        ((b"X-Forwarded-Host", b"www.example.com:"),),
        (b"10.0.0.1", b"http", b"www.example.com"),
    ),
    "a host that is spelled": (
        PROXY,
        ((b"X-Forwarded-Host", b"www%2eexample.com"),),
        (b"10.0.0.1", b"http", b"api.example.com"),
    ),
    "a scheme alone": (
        PROXY,
        ((b"X-Forwarded-Proto", b"https"),),
        (b"10.0.0.1", b"https", b"api.example.com"),
    ),
    "a scheme that is none": (
        PROXY,
        ((b"X-Forwarded-Proto", b"javascript"),),
        (b"10.0.0.1", b"http", b"api.example.com"),
    ),
    "a host that is none": (
        PROXY,
        ((b"X-Forwarded-Host", b"a b/../c"),),
        (b"10.0.0.1", b"http", b"api.example.com"),
    ),
    "Forwarded": (
        PROXY,
        ((b"Forwarded", b'for=1.1.1.1;proto=https;host="www.example.com:8443", for=10.0.0.3'),),
        (b"1.1.1.1", b"https", b"www.example.com:8443"),
    ),
    "Forwarded in any case and with quoted pairs": (
        PROXY,
        ((b"Forwarded", rb'FOR="[2001:db8:\:1]:80" ; Proto=HTTPS'),),
        (b"2001:db8::1", b"https", b"api.example.com"),
    ),
    "a comma in quotes parts nothing": (
        PROXY,
        ((b"Forwarded", b'for=6.6.6.6, for=1.1.1.1;by="a, for=9.9.9.9"'),),
        (b"1.1.1.1", b"http", b"api.example.com"),
    ),
    "a malformed Forwarded says nothing": (
        PROXY,
        ((b"Forwarded", b'for=1.1.1.1;proto="https'),),
        (b"10.0.0.1", b"http", b"api.example.com"),
    ),
    "hidden hops": (
        PROXY,
        ((b"Forwarded", b"for=1.1.1.1, for=_hidden, for=10.0.0.3"),),
        (b"10.0.0.3", b"http", b"api.example.com"),
    ),
}
BOTH = (
    (b"Forwarded", b"for=6.6.6.6;proto=https;host=six.example"),
    (b"X-Forwarded-For", b"1.1.1.1"),
    (b"X-Forwarded-Host", b"one.example"),
    (b"X-Real-IP", b"1.1.1.1"),
)


@pytest.mark.parametrize("case", CALLERS)
def test_k3_who_is_taken_for_the_caller(case: str) -> None:
    """K3: see the table: address, scheme, host."""
    peer, fields, expected = CALLERS[case]
    only_rfc_7239 = all(name == b"Forwarded" for name, _ in fields)
    family: TrustedHeaders = "forwarded" if only_rfc_7239 else "x-forwarded"
    assert ask(peer, *fields, family=family)[:3] == expected


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("x-forwarded", (b"1.1.1.1", b"http", b"one.example")),
        ("forwarded", (b"6.6.6.6", b"https", b"six.example")),
    ],
)
def test_k3_only_the_family_that_proxies_write_is_believed(
    family: TrustedHeaders, expected: tuple[bytes, bytes, bytes]
) -> None:
    """K3: a proxy that writes one family lets a client's other one through."""
    assert ask(PROXY, *BOTH, family=family)[:3] == expected
    theirs = [one for one in BOTH if (one[0] == b"Forwarded") is not (family == "forwarded")]
    assert ask(PROXY, *theirs, family=family)[:3] == (b"10.0.0.1", b"http", b"api.example.com")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("peer", [PROXY, STRANGER])
def test_k3_the_other_family_goes_no_further(style: ForwardedStyle, peer: Peer) -> None:
    """K3: from trusted peers too it is a stranger's, and removed."""
    told = tell(peer, *BOTH, style=style)
    assert b"6.6.6.6" not in told.raw
    assert b"six" not in told.raw
    told = tell(peer, *BOTH, style=style, family="forwarded")
    assert b"1.1.1.1" not in told.raw
    assert b"one" not in told.raw


@pytest.mark.parametrize("style", STYLES)
def test_k3_x_real_ip_passes_from_trusted_peers_alone(style: ForwardedStyle) -> None:
    """K3: removed like the rest of its family, but never written."""
    assert tell(PROXY, *BOTH, style=style).value("x-real-ip") == b"1.1.1.1"
    assert tell(STRANGER, *BOTH, style=style).value("x-real-ip") is None


def test_own_origin_is_what_the_client_asked_for() -> None:
    """cors.md 55, K3: by the name and scheme that it used at the trusted proxy."""
    head = head_with((b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"WWW.example.com"))
    assert own_origin(head, PROXY, server()) == b"https://www.example.com"
    assert own_origin(head, STRANGER, server()) == b"http://api.example.com"


def test_who_comes_by_a_unix_socket_is_believed_where_that_is_said() -> None:
    """L19 `trusted_proxies: [unix]`: such a peer has no address to be known by."""
    head = head_with((b"X-Forwarded-For", b"1.1.1.1"))
    by_socket = Peer(b"unknown", b"http")
    by_unix = server("x-forwarded", "unix")
    assert caller_of(head, by_socket, server()).client == b"unknown"
    assert caller_of(head, by_socket, by_unix).client == b"1.1.1.1"
    assert caller_of(head, STRANGER, by_unix).client == b"192.0.2.1"


SAID = (
    (b"X-Forwarded-For", b"6.6.6.6"),
    (b"X-Forwarded-Port", b"8443"),
    (b"Forwarded", b"for=6.6.6.6"),
    (b"X-Forwarded-Prefix", b"/outer"),
)


@pytest.mark.parametrize("style", STYLES)
def test_k3_nothing_of_a_stranger_reaches_the_upstream(style: ForwardedStyle) -> None:
    """K3: removed, whatever is written in its place."""
    told = tell(STRANGER, *SAID, style=style)
    assert b"6.6.6.6" not in told.raw
    assert b"8443" not in told.raw
    assert b"outer" not in told.raw


@pytest.mark.parametrize(
    ("style", "names"),
    [
        ("x-forwarded", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]),
        ("forwarded", ["forwarded"]),
        ("both", ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"]),
        ("off", []),
    ],
)
def test_h9_only_what_the_style_says_is_added(style: ForwardedStyle, names: list[str]) -> None:
    """H9, L19."""
    assert tell(STRANGER, style=style).names() == names


def test_the_chain_of_a_trusted_proxy_is_continued() -> None:
    """K3, L18: appended, with what else it says."""
    told = tell(PROXY, *SAID)
    assert told.value("x-forwarded-for") == b"6.6.6.6, 10.0.0.1"
    assert told.value("x-forwarded-port") == b"8443"
    assert told.value("x-forwarded-prefix") == b"/outer"
    assert told.value("forwarded") is None


def test_off_passes_a_trusted_proxys_word_as_it_came() -> None:
    """L19 `forwarded: off`: the proxy adds nothing; what may be believed stays."""
    passed = tuple(field for field in SAID if field[0] != b"Forwarded")
    assert tell(PROXY, *SAID, style="off").fields == passed


def test_prefixes_add_up() -> None:
    """L18: `X-Forwarded-Prefix` where a prefix was stripped; the outer one comes first."""
    assert tell(STRANGER, prefix=b"/api").value("x-forwarded-prefix") == b"/api"
    assert tell(PROXY, *SAID, prefix=b"/api").value("x-forwarded-prefix") == b"/outer/api"
    assert tell(PROXY, style="forwarded", prefix=b"/api").names() == ["forwarded"]


ELEMENTS: dict[str, tuple[Peer, Fields, bytes]] = {
    "a peer": (STRANGER, (), b"for=192.0.2.1;host=api.example.com;proto=http"),
    "IPv6 is quoted and in brackets": (
        Peer(b"2001:db8::1", b"https"),
        (),
        b'for="[2001:db8::1]";host=api.example.com;proto=https',
    ),
    "a peer without an address": (
        Peer(b"unknown", b"http"),
        (),
        b"for=unknown;host=api.example.com;proto=http",
    ),
    "Forwarded is continued": (
        PROXY,
        ((b"Forwarded", b"for=1.1.1.1;proto=https"),),
        b"for=1.1.1.1;proto=https, for=10.0.0.1;host=api.example.com;proto=http",
    ),
    "X-Forwarded-* is translated": (
        PROXY,
        (
            (b"X-Forwarded-For", b"2001:db8::7, 10.0.0.3"),
            (b"X-Forwarded-Proto", b"https"),
            (b"X-Forwarded-Host", b"www.example.com:8443"),
        ),
        (
            b'for="[2001:db8::7]";host="www.example.com:8443";proto=https, for=10.0.0.3,'
            b" for=10.0.0.1;host=api.example.com;proto=http"
        ),
    ),
}


@pytest.mark.parametrize("case", ELEMENTS)
def test_forwarded_is_written_as_rfc_7239_says(case: str) -> None:
    """RFC 7239 4 to 6: tokens as such, all else quoted."""
    peer, fields, expected = ELEMENTS[case]
    family: TrustedHeaders = "forwarded" if case == "Forwarded is continued" else "x-forwarded"
    assert tell(peer, *fields, style="forwarded", family=family).value("forwarded") == expected


def test_a_host_with_a_port_is_quoted() -> None:
    """RFC 7239 4: `:` is in no token."""
    told = tell(STRANGER, style="forwarded", host=b"a:8080").value("forwarded")
    assert told == b'for=192.0.2.1;host="a:8080";proto=http'


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("192.0.2.1", b"192.0.2.1"),
        ("::ffff:192.0.2.1", b"192.0.2.1"),
        ("2001:db8::1", b"2001:db8::1"),
        ("fe80::1%eth0", b"fe80::1"),
    ],
)
def test_a_peers_address_is_told_without_what_is_local(written: str, known: bytes) -> None:
    """K3: an IPv4 client of an IPv6 socket is trusted and forwarded by its IPv4 address; no zones."""
    assert address_of_peer(written) == known


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"Forwarded"]
            ),
            st.binary(max_size=40).map(
                lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F)
            )
            | st.sampled_from([b"for=1.1.1.1", b"1.1.1.1, 10.0.0.2", b'for="', b";,=", b"[::1"]),
        ),
        max_size=4,
    ),
    st.sampled_from(STYLES),
    st.sampled_from(FAMILIES),
)
@settings(max_examples=300, deadline=None)
def test_no_word_of_a_proxy_breaks_the_head(
    fields: list[tuple[bytes, bytes]], style: ForwardedStyle, family: TrustedHeaders
) -> None:
    """S13: whatever a trusted peer says, lines are lines, and the client's address is one."""
    stripped = [(name, value.strip()) for name, value in fields]
    tell(PROXY, *stripped, style=style, family=family)
    caller = ask(PROXY, *stripped, family=family)
    assert caller.scheme in {b"http", b"https"}
    assert caller.client.translate(None, b"0123456789abcdef.:") == b""
