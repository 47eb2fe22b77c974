"""What a line of Forwarded says, and what others make of it on purpose (forwarding.md K3; RFC 7239 4)."""

import re
import time
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.policy.compiled import Server
from corsproxy.proxy.forwarded import Caller, Peer, caller_of, forwarded_lines
from corsproxy.proxy.http.request_head import RequestHead
from corsproxy.proxy.http.rfc7239 import Hop, Line, read_line
from tests.support.messages import parse_head

SERVER = Server(listen=(), trusted_proxies=(ip_network("10.0.0.0/8"),), trusted_headers="forwarded")
PROXY = Peer(b"10.0.0.1", b"http")
OWN = b"for=198.51.100.7;proto=https;host=www.example.com"
OURS = b"for=10.0.0.1;host=api.example.com;proto=http"
KNOWN = (b"198.51.100.7", b"https", b"www.example.com")
NOBODY = (b"10.0.0.1", b"http", b"api.example.com")
UNKNOWN = b"for=unknown"


def asked(*lines: bytes) -> tuple[RequestHead, Caller]:
    """Return a request that a trusted proxy sent with these lines, and who is taken for the caller."""
    head = RequestHead(b"GET", b"/", 1)
    head.host = b"api.example.com"
    head.forwarded = tuple((b"Forwarded", line) for line in lines)
    return head, caller_of(head, PROXY, SERVER)


def passed_on(*lines: bytes) -> bytes:
    """Return what the upstream gets to read of these lines, our own element included."""
    sent = forwarded_lines(*asked(*lines), "forwarded")
    return parse_head(b"sent\r\n" + sent + b"\r\n").value("forwarded") or b""


MALFORMED = [
    b'x="',
    b'"',
    b'for=6.6.6.6;x="\\',
    b'for=6.6.6.6;x="a\\"',
    b"junk",
    b"for",
    b"for=",
    b"=6.6.6.6",
    b"for=6.6.6.6 proto=https",
    b"for=6.6.6.6:proto=https",
    b"for=6.6.6.6;for=10.0.0.2",
    b"for=10.0.0.2;FOR=6.6.6.6",
    b"for=6.6.6.6;proto=http;Proto=https",
    b'for="6.6.6.6"x',
    b"for=[::1]",
    b"for =6.6.6.6",
    b"for= 6.6.6.6",
    b"for=6.6.6.6\xff",
    b"for=6.6.6.6,junk",
    b'for=6.6.6.6, for=6.6.6.7;by="',
]


@pytest.mark.parametrize("line", MALFORMED)
def test_k3_a_malformed_line_hides_no_line_behind_it(line: bytes) -> None:
    """K3: a client's line is not the trusted proxy's; it is one hop that nobody knows."""
    assert asked(line, OWN)[1][:3] == KNOWN
    assert asked(OWN, line, b"for=10.0.0.3;proto=https")[1][:3] == (
        b"10.0.0.3",
        b"https",
        b"api.example.com",
    )
    assert asked(OWN, line)[1][:3] == NOBODY


@pytest.mark.parametrize("line", MALFORMED)
def test_k3_a_malformed_line_goes_no_further(line: bytes) -> None:
    """K3, S13: what the upstream gets is well-formed, and our element is one of it."""
    assert passed_on(line, OWN) == b", ".join([UNKNOWN, OWN, OURS])
    head, caller = asked(line, OWN)
    both = parse_head(b"sent\r\n" + forwarded_lines(head, caller, "both") + b"\r\n")
    assert both.value("x-forwarded-for") == b"unknown, 198.51.100.7, 10.0.0.1"
    off = parse_head(b"sent\r\n" + forwarded_lines(head, caller, "off") + b"\r\n")
    assert off.fields == ((b"Forwarded", UNKNOWN), (b"Forwarded", OWN))


PAIRED = [line for line in MALFORMED if line.replace(rb"\"", b"").count(b'"') % 2 == 0]


@pytest.mark.parametrize("line", PAIRED)
def test_k3_what_a_proxy_appends_to_a_malformed_list_counts(line: bytes) -> None:
    """K3: in one line too; what is before the malformed element is not read."""
    assert asked(line + b", " + OWN)[1][:3] == KNOWN
    assert asked(b"for=6.6.6.6, " + line + b"," + OWN)[1][:3] == KNOWN
    assert passed_on(b"for=6.6.6.6, " + line + b"," + OWN) == b", ".join([UNKNOWN, OWN, OURS])


@pytest.mark.parametrize("appended", [OWN, b'for="[2001:db8::7]:80";proto=https'])
@pytest.mark.parametrize("line", [b'x="', b'for=6.6.6.6;x="', b'for=6.6.6.6, y=z;x="a\\"'])
def test_k3_behind_an_open_quote_of_the_same_line_the_peer_counts(
    line: bytes, appended: bytes
) -> None:
    """K3: nothing can be read there; neither a client's address nor the rest of it is taken."""
    assert asked(line + b", " + appended)[1][:3] == NOBODY
    assert passed_on(line + b", " + appended) == b", ".join([UNKNOWN, OURS])


@pytest.mark.parametrize(
    ("value", "hops", "passed"),
    [
        (b"", (), b""),
        (b" , ,", (), b""),
        (b"for=a,for=b", (Hop(b"a"), Hop(b"b")), b"for=a,for=b"),
        (b"for=a,, for=b,", (Hop(b"a"), Hop(b"b")), b"for=a,, for=b,"),
        (b";for=a;;proto=b;", (Hop(b"a", b"b"),), b";for=a;;proto=b;"),
        (b";", (Hop(),), b";"),
        (b"for=a ;\thost=b", (Hop(b"a", b"", b"b"),), b"for=a ;\thost=b"),
        (b'for="a, \\"b;"', (Hop(b'a, "b;'),), b'for="a, \\"b;"'),
        (b"for=a, junk ,for=b,,for=c", (Hop(), Hop(b"b"), Hop(b"c")), b"for=unknown, for=b, for=c"),
        (b'for=a, a"b, c"d, for=b', (Hop(), Hop(b"b")), b"for=unknown, for=b"),
    ],
)
def test_a_line_is_read_by_the_grammar(value: bytes, hops: tuple[Hop, ...], passed: bytes) -> None:
    """RFC 7239 4, RFC 9110 5.6.1.2: `,` parts elements, `;` parameters; either may appear alone."""
    assert read_line(value) == Line(hops, passed)


def naive_elements(value: bytes) -> list[bytes] | None:
    """Split a line at its commas, byte by byte; None if a quote is left open."""
    elements, element, at, is_quoted = [], b"", 0, False
    while at < len(value):
        one = value[at : at + 1]
        if is_quoted and one == b"\\":
            one = value[at : at + 2]
            if len(one) == 1:
                return None
        elif one == b'"':
            is_quoted = not is_quoted
        if one == b"," and not is_quoted:
            elements.append(element)
            element = b""
        else:
            element += one
        at += len(one)
    return None if is_quoted else [*elements, element]


def naive_hop(element: bytes) -> Hop | None:
    """Read one element by taking the first parameter off, again and again; None if malformed."""
    said: dict[bytes, bytes] = {}
    token = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    rest = b";" + element
    while rest:
        match = re.match(
            rb'(?s);[ \t]*(?:(%b)=(%b|"(?:[^"\\]|\\.)*")[ \t]*)?(?=;|\Z)' % (token, token), rest
        )
        if match is None or (match[1] and match[1].lower() in said):
            return None
        if match[1]:
            value = match[2]
            if value[:1] == b'"':
                value = re.sub(rb"(?s)\\(.)", rb"\1", value[1:-1])
            said[match[1].lower()] = value
        rest = rest[match.end() :]
    return Hop(*(said.get(name, b"") for name in (b"for", b"proto", b"host")))


def naive_hops(value: bytes) -> list[Hop]:
    """Return what a line says: from the right, up to the first that is malformed."""
    elements = naive_elements(value)
    if elements is None:
        return [Hop()]
    hops: list[Hop] = []
    for element in reversed([one for text in elements if (one := text.strip(b" \t"))]):
        hop = naive_hop(element)
        hops.insert(0, hop or Hop())
        if hop is None:
            break
    return hops


PIECES = st.sampled_from(
    [
        *(b"for=1.1.1.1", b"for=10.0.0.2", b'for="[2001:db8::1]:80"', b"proto=https", b"host=a"),
        *(b'"', b"\\", b",", b";", b" ", b"\t", b"=", b"a", b"[", b"\xff", b", ", b'x="', b"junk"),
    ]
)
LINES = st.lists(PIECES, max_size=12).map(b"".join).map(lambda line: line.strip(b" \t"))


@given(LINES)
@settings(max_examples=1000, deadline=None)
def test_k3_a_line_is_read_as_a_naive_reader_has_it(line: bytes) -> None:
    """K3, RFC 7239 4: hop by hop; and what is passed on says the same, all of it well-formed."""
    read = read_line(line)
    assert list(read.hops) == naive_hops(line)
    elements = naive_elements(read.value)
    assert elements is not None
    again = [naive_hop(one) for text in elements if (one := text.strip(b" \t"))]
    expected = [Hop(b"unknown") if hop == Hop() else hop for hop in read.hops]
    assert [Hop(b"unknown") if hop == Hop() else hop for hop in again] == expected


@given(st.lists(LINES, max_size=3))
@settings(max_examples=500, deadline=None)
def test_k3_no_line_of_a_client_hides_what_the_trusted_proxy_says(lines: list[bytes]) -> None:
    """K3: the rightmost address that is not trusted counts, whatever is to its left."""
    assert asked(*lines, OWN)[1][:3] == KNOWN
    passed = passed_on(*lines, OWN)
    assert passed.endswith(OWN + b", " + OURS)
    elements = naive_elements(passed)
    assert elements is not None
    assert all(naive_hop(element.strip(b" \t")) for element in elements if element.strip(b" \t"))


@pytest.mark.parametrize(
    "piece",
    [b'"', b'\\"', b'"a', b" ", b"\t;", b",", b";", b'x="', b"a", b'x="a\\', b" ,", b'a="b";'],
)
@pytest.mark.parametrize("start", [b"", b'x="', b"for=a", b" "])
def test_k3_a_hostile_line_is_read_in_linear_time(start: bytes, piece: bytes) -> None:
    """K3: half a megabyte in far less than what a search that goes back would need (hours)."""
    value = start + piece * (500_000 // len(piece))
    began = time.perf_counter()
    read_line(value)
    assert time.perf_counter() - began < 10
