"""Header rules of a route over sockets, to the byte: configuration.md L13, L15; forwarding.md H7, H9, H13."""

import pytest

from tests.support.proxy import through
from tests.support.rules import APP, CORS, ID, OFF, SPA, answering, asking, head_of
from tests.support.upstream import request, send

LEGACY = (
    b"Server: Apache/2.2\r\n"
    b"x-powered-by: PHP/5.3\r\n"
    b"Set-Cookie: a=1; Path=/\r\n"
    b"X-Legacy-Total: 42\r\n"
    b"Content-Type: text/html; charset=latin1\r\n"
    b"Set-Cookie: b=2; path=/app; Domain=legacy.internal\r\n"
    b"Content-Security-Policy: img-src legacy.internal; script-src legacy.internal\r\n"
    b"X-Bytes: \x80\xff\r\n"
)

RESPONSES = [
    ("nothing is said", "", LEGACY, LEGACY + ID),
    (
        "remove takes all lines in any case, the rest stays in order",
        "response_headers: [{remove: [SERVER, X-Powered-By, Set-Cookie, X-Absent]}]",
        LEGACY,
        b"X-Legacy-Total: 42\r\nContent-Type: text/html; charset=latin1\r\n"
        b"Content-Security-Policy: img-src legacy.internal; script-src legacy.internal\r\n"
        b"X-Bytes: \x80\xff\r\n" + ID,
    ),
    (
        "set leaves one line at the first one's place, or adds it",
        "response_headers: [{set: {X-A: new, X-C: c}}]",
        b"x-a: 1\r\nX-B: 2\r\nX-A: 3\r\n",
        b"X-A: new\r\nX-B: 2\r\n" + ID + b"X-C: c\r\n",
    ),
    (
        "add keeps what is there, default only where nothing is",
        "response_headers: [{add: {X-A: '2'}}, {default: {X-A: '3', X-D: '4'}}]",
        b"X-A: 1\r\n",
        b"X-A: 1\r\n" + ID + b"X-A: 2\r\nX-D: 4\r\n",
    ),
    (
        "rename keeps values and places",
        "response_headers: [{rename: {X-Legacy-Total: X-Total-Count}}]",
        b"x-legacy-total: 42\r\nX-B: 2\r\nX-LEGACY-TOTAL: 43\r\n",
        b"X-Total-Count: 42\r\nX-B: 2\r\nX-Total-Count: 43\r\n" + ID,
    ),
    (
        "replace is literal and in every line",
        "response_headers: [{replace: {header: X-A, find: a.c, with: 'z'}}]",
        b"X-A: a.c abc a.c\r\nX-A: a.c\r\n",
        b"X-A: z abc z\r\nX-A: z\r\n" + ID,
    ),
    (
        "rules apply in order, each to what the one before left",
        "response_headers: [{set: {X-A: one}}, {rename: {X-A: X-B}}, {add: {X-A: two}}]",
        b"",
        ID + b"X-B: one\r\nX-A: two\r\n",
    ),
    (
        "when: all that is asked must hold",
        (
            "response_headers:\n"
            "  - {when: {status: 200-299, content_type: text/*, methods: GET}, set: {X-1: yes}}\n"
            "  - {when: {status: [404, 500-599]}, set: {X-2: no}}\n"
            "  - {when: {origin: none}, set: {X-3: yes}}\n"
            "  - {when: {origin: allowed}, set: {X-4: no}}\n"
            "  - {when: {header: {X-A: 'v*e'}}, set: {X-5: yes}}\n"
            "  - {when: {header: {X-A: v}}, set: {X-6: no}}"
        ),
        b"Content-Type: TEXT/html;a=b\r\nX-A: value\r\n",
        b"Content-Type: TEXT/html;a=b\r\nX-A: value\r\n"
        + ID
        + b"X-1: yes\r\nX-3: yes\r\nX-5: yes\r\n",
    ),
    (
        "variables hold what the request said",
        (
            "response_headers: [{set: {X-V: '${request.id} ${request.host} ${client.address} "
            "${route.name} [${request.origin}] $${x}'}}]"
        ),
        b"",
        ID + b"X-V: r1 api.example.com 127.0.0.1 route-1 [] ${x}\r\n",
    ),
    (
        "the id of the request can be left out of the answer",
        "response_headers: [{remove: X-Request-Id}]",
        b"X-A: 1\r\n",
        b"X-A: 1\r\n",
    ),
]


@pytest.mark.parametrize(
    ("route", "sent", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in RESPONSES],
)
async def test_rules_for_responses_to_the_byte(route: str, sent: bytes, expected: bytes) -> None:
    """L13, response_headers: what no rule names keeps its bytes and its place (H7)."""
    async with through(answering(sent), route=OFF + route) as way:
        answer = await way.client.exchange(asking())
        assert answer.head.raw == head_of(expected)


async def test_rules_come_before_the_cors_headers() -> None:
    """L15: after the upstream's response, before ours; Vary is merged with what rules say."""
    route = SPA + "response_headers: [{when: {origin: allowed}, set: {Vary: Accept}}]"
    async with through(answering(b"X-A: 1\r\n"), route=route) as way:
        answer = await way.client.exchange(asking(b"Origin: %b\r\n" % APP))
        lines = b"X-A: 1\r\n" + ID + b"Vary: Accept, Origin\r\n" + CORS
        assert answer.head.raw == head_of(lines)


@pytest.mark.parametrize(
    ("method", "status", "framing"),
    [
        (b"HEAD", b"200 OK", "none"),
        (b"GET", b"304 Not Modified", "none"),
        (b"GET", b"302 Found", "length"),
        (b"GET", b"500 Oops", "length"),
    ],
)
async def test_rules_hold_for_every_final_response(
    method: bytes,
    status: bytes,
    framing: str,
) -> None:
    """HEAD, 304, redirects and errors are reshaped like a 200."""
    route = OFF + "response_headers: [{remove: Server}, {set: {X-A: b}}]"
    body = b"hi" if framing == "length" else b""
    script = answering(b"Server: x\r\n", status, body=body)
    async with through(script, route=route) as way:
        answer = await way.client.exchange(asking(line=method + b" /"), method.decode())
        assert answer.head.raw == head_of(ID + b"X-A: b\r\n", status, len(body))
        assert answer.framing == framing


async def test_rules_leave_interim_responses_and_tunnels_alone() -> None:
    """Interim responses pass as they came, the 101 too."""
    early = b"HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: </a>\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n"
    switch = (
        b"HTTP/1.1 101 Switching Protocols\r\nServer: x\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    route = OFF + "response_headers: [{remove: Server}, {set: {X-A: b}}]"
    script = [request(), send(early + final), request(), send(switch)]
    async with through(script, script[2:], route=route) as way:
        answer = await way.client.exchange(asking())
        assert answer.interim[0].fields == ((b"Server", b"x"), (b"Link", b"</a>"))
        assert answer.head.names() == ["x-request-id", "x-a", "via", "content-length"]
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        tunnel = await way.client.exchange(asking(upgrade))
        assert (tunnel.status, tunnel.head.value("server")) == (101, b"x")
        assert tunnel.head.value("x-a") is None


async def test_rules_do_not_touch_the_proxys_own_responses() -> None:
    """Rules are for what the upstream says; a fault of ours keeps its words (cors.md 64)."""
    route = OFF + "response_headers: [{remove: Content-Type}, {set: {X-A: b}}]"
    async with through([request(), send(b"junk\r\n\r\n")], route=route) as way:
        answer = await way.client.exchange(asking())
        assert answer.status == 502
        assert answer.problem()["error"] == "upstream_invalid"
        assert answer.head.value("x-a") is None


REQUESTS = [
    (
        "client's lines, then ours, are what rules see",
        (
            "request_headers: [{remove: [Cookie, X-Forwarded-Host]}, {set: {X-Api-Key: k}}, "
            "{set: {X-Forwarded-Proto: https}}, {default: {Accept: '*/*'}}]"
        ),
        b"cookie: a=1\r\nX-One: 1\r\nCookie: b=2\r\n",
        [
            b"X-One: 1",
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: https",
            b"X-Request-Id: r1",
            b"Via: 1.1 corsproxy",
            b"X-Api-Key: k",
            b"Accept: */*",
        ],
    ),
    (
        "conditions and variables of the request",
        (
            "request_headers:\n"
            "  - {when: {methods: GET, header: {X-One: '*'}}, set: {X-Who: '${client.address}'}}\n"
            "  - {when: {methods: POST}, set: {X-No: no}}\n"
            "  - {rename: {X-One: X-Two}}\n"
            "  - {replace: {header: X-Two, find: '1', with: 'one'}}\n"
            "  - {remove: [X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Via, X-Request-Id]}"
        ),
        b"X-One: 1\r\n",
        [b"X-Two: one", b"X-Who: 127.0.0.1"],
    ),
    (
        "no rule, no change",
        "",
        b"X-One: 1\r\nx-one: 2\r\nx_one: 3\r\n",
        [
            b"X-One: 1",
            b"x-one: 2",
            b"x_one: 3",
            b"X-Forwarded-For: 127.0.0.1",
            b"X-Forwarded-Proto: http",
            b"X-Forwarded-Host: api.example.com",
            b"X-Request-Id: r1",
            b"Via: 1.1 corsproxy",
        ],
    ),
]


@pytest.mark.parametrize(
    ("route", "sent", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in REQUESTS],
)
async def test_rules_for_requests_to_the_byte(
    route: str,
    sent: bytes,
    expected: list[bytes],
) -> None:
    """L15, request_headers: applied last, to all that would be sent but Host and framing."""
    async with through(answering(b""), route=OFF + route) as way:
        await way.client.exchange(asking(sent))
        host = b"Host: %b" % way.upstream.authority.encode()
        lines = [b"GET / HTTP/1.1", host, *expected, b"", b""]
        assert way.upstream.received == [b"\r\n".join(lines)]


LOOKALIKES = [
    ("set: {X-Api-Key: secret}", b"X_Api_Key", b"X-Api-Key: secret"),
    ("set: {X-Api-Key: secret}", b"x-API_key", b"X-Api-Key: secret"),
    ("default: {X-Api-Key: secret}", b"X_Api_Key", b"X-Api-Key: secret"),
    ("remove: [X-Role]", b"X_Role", b""),
    ("remove: [X-Role]", b"X_ROLE", b""),
    ("rename: {X-Old: X-New}", b"X_Old", b""),
    ("rename: {X-Old: X-New}", b"X_New", b""),
    ("replace: {header: X-Role, find: admin, with: user}", b"X_Role", b""),
    ("set: {X_Api_Key: secret}", b"X-Api-Key", b"X_Api_Key: secret"),
    ("set: {X_Api_Key: secret}", b"X-Api_Key", b"X_Api_Key: secret"),
    ("when: {methods: POST}\n    set: {X-Api-Key: secret}", b"X_Api_Key", b""),
]


@pytest.mark.parametrize(("rule", "name", "left"), LOOKALIKES)
async def test_s6_what_only_looks_like_a_name_of_the_rules_is_dropped(
    rule: str, name: bytes, left: bytes
) -> None:
    """S6: a server behind CGI, WSGI or PHP would merge the two, and may take the client's."""
    async with through(answering(b""), route=OFF + f"request_headers:\n  - {rule}") as way:
        other = b"X_Other" if b"_" in name else b"X-Other"
        await way.client.exchange(asking(name + b": admin\r\n" + other + b": 1\r\n"))
        (seen,) = way.upstream.requests
        assert b"admin" not in seen.head.raw
        assert [b": ".join(one) for one in seen.head.fields if one[1] == b"secret"] == [
            left
        ] * bool(left)
        assert seen.head.value(other.decode()) == b"1"


KEPT = [
    ("add: {X-Tag: a}", b"X_Tag", b"X_Tag"),
    ("rename: {X_Old: X-New}", b"X_Old", b"X-New"),
    ("rename: {X_Tenant: X-Tenant}", b"X_Tenant", b"X-Tenant"),
    ("rename: {X_Tenant: X-Tenant}", b"X-Tenant", b"X-Tenant"),
    ("default: {X_Old: other}", b"X_Old", b"X_Old"),
    ("set: {X-Api-Key: secret}", b"X_Api_Keys", b"X_Api_Keys"),
]


@pytest.mark.parametrize(("rule", "name", "kept"), KEPT)
async def test_s6_names_that_the_rules_see_themselves_are_theirs(
    rule: str, name: bytes, kept: bytes
) -> None:
    """S6: a rule with an underscore in its name means just that header; `add` decides about none."""
    async with through(answering(b""), route=OFF + f"request_headers: [{{{rule}}}]") as way:
        await way.client.exchange(asking(name + b": mine\r\n"))
        (seen,) = way.upstream.requests
        assert [one for one in seen.head.fields if one[1] == b"mine"] == [(kept, b"mine")]


async def test_s6_proxy_is_dropped_in_any_case() -> None:
    """S6: httpoxy: CGI makes HTTP_PROXY of it, which programs take for a setting."""
    async with through(answering(b""), route=OFF) as way:
        await way.client.exchange(asking(b"pRoXy: evil.example\r\n"))
        assert b"evil" not in way.upstream.requests[0].head.raw
