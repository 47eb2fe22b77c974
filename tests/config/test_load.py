"""Loading a whole file: every key is compiled, and an unreadable file is reported."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from corsproxy.config.load import fingerprint, load, load_text
from corsproxy.config.yaml.document import LARGEST_FILE
from corsproxy.policy.compiled import (
    CompiledConfig,
    Limits,
    LogSettings,
    PoolLimits,
    Server,
    ServerTimeouts,
    TcpAddress,
    UnixAddress,
    UpstreamTimeouts,
)

WHOLE = """
version: 1
server:
  listen: ["[::1]:8080", unix:/run/corsproxy.sock]
  trusted_proxies: [10.0.0.0/8, "::1"]
  trusted_headers: forwarded
  limits: {max_connections: 1, max_requests_in_flight: 2, max_request_line: 3KiB,
           max_header_bytes: 4KB, max_headers: 5, max_body: 6MiB}
  timeouts: {request_header: 1s, request_body_idle: 2s, keepalive: 3m, write_idle: 4}
  drain_delay: 0
  drain: 250ms
health: {listen: 127.0.0.1:9902}
log: {format: json, level: warning, access: errors}
upstreams:
  legacy:
    url: http://LEGACY.internal:9000
    host_header: api.example.com:8443
    timeouts: {connect: 1s, response_header: 2s, idle: 3s, total: 4s, tunnel_idle: 5h}
    pool: {max_connections: 9, max_idle: 8, idle: 7s, queue: 6s, reuse: never, tunnels: 5}
policies:
  spa:
    allow_origins: [https://app.example.com]
    allow_methods: [PUT]
    allow_headers: [X-A]
    expose_headers: [X-B]
    allow_credentials: true
    max_age: 10m
    on_refused: block
    preflight: {status: 200, refused_status: 204, style: minimal, vary: false}
    upstream_cors_headers: merge
    timing_allow_origins: [https://t.example.com]
    resource_policy: same-site
    websocket: {check_origin: false}
    debug: true
    dangerously_allow_insecure_origins: true
    dangerously_allow_public_suffix_wildcards: true
    dangerously_allow_null_origin: true
defaults: {cors: spa}
routes:
  - name: api
    match: {host: API.example.com, path: [/api/, /x], methods: [GET]}
    upstream: legacy
    cors: false
    ambiguous_paths: forward
    response_headers: [{remove: Server}, {when: {status: 404}, set: {A: b, C: d}}]
  - upstream: unix:/run/app.sock
"""


def config_of(text: str) -> CompiledConfig:
    """Return the compiled configuration of a text without errors."""
    loaded = load_text(text, "config.yaml", {})
    assert loaded.config is not None, loaded.problems
    return loaded.config


def test_the_listening_side_is_compiled() -> None:
    """Every key of server, health and log."""
    config = config_of(WHOLE)
    assert config.server == Server(
        listen=(TcpAddress("::1", 8080), UnixAddress("/run/corsproxy.sock")),
        limits=Limits(
            max_connections=1,
            max_requests_in_flight=2,
            max_request_line=3072,
            max_header_bytes=4000,
            max_headers=5,
            max_body=6 * 1024 * 1024,
        ),
        timeouts=ServerTimeouts(request_header=1, request_body_idle=2, keepalive=180, write_idle=4),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("::1")),
        trusted_headers="forwarded",
        drain_delay=0,
        drain=0.25,
    )
    assert config.health == TcpAddress("127.0.0.1", 9902)
    assert config.log == LogSettings(format="json", level="warning", access="errors")


def test_upstreams_are_compiled() -> None:
    """Every key of an upstream; a URL in a route has the defaults."""
    named, by_url = config_of(WHOLE).upstreams
    assert (named.name, named.scheme, named.authority) == (
        "legacy",
        "http",
        b"LEGACY.internal:9000",
    )
    assert named.address == TcpAddress("LEGACY.internal", 9000)
    assert named.host_header == b"api.example.com:8443"
    assert named.timeouts == UpstreamTimeouts(
        connect=1, response_header=2, idle=3, total=4, tunnel_idle=18000
    )
    assert named.pool == PoolLimits(
        max_connections=9, max_idle=8, idle=7, queue=6, reuse="never", tunnels=5
    )
    assert by_url.address == UnixAddress("/run/app.sock")
    assert by_url.pool == PoolLimits()
    assert by_url.host_header == "upstream"


def test_policies_are_compiled() -> None:
    """Every key of a policy, each item with its position."""
    policy = config_of(WHOLE).default_policy
    assert policy is not None
    terms = policy.spec
    assert [(term.text, term.pos and term.pos.line) for term in terms.allow_origins] == [
        ("https://app.example.com", 22),
    ]
    assert [term.text for term in terms.allow_methods] == ["PUT"]
    assert [term.text for term in terms.allow_headers] == ["X-A"]
    assert [term.text for term in terms.expose_headers] == ["X-B"]
    assert terms.allow_credentials
    assert terms.max_age == 600
    assert terms.on_refused == "block"
    preflight = terms.preflight
    assert (preflight.status, preflight.refused_status) == (200, 204)
    assert (preflight.style, preflight.vary) == ("minimal", False)
    assert terms.upstream_cors_headers == "merge"
    assert isinstance(terms.timing_allow_origins, tuple)
    assert terms.resource_policy == "same-site"
    assert not terms.check_websocket_origin
    assert terms.debug
    assert terms.dangerously_allow_insecure_origins
    assert terms.dangerously_allow_public_suffix_wildcards
    assert terms.dangerously_allow_null_origin
    assert str(terms.place_of("max_age")) == "config.yaml:27:14"
    assert str(terms.pos) == "config.yaml:21:3"


def test_routes_are_compiled() -> None:
    """Every key of a route; without keys it has the default policy and a numbered name."""
    config = config_of(WHOLE)
    api, other = config.routes
    assert (api.name, other.name) == ("api", "route-2")
    assert api.policy is None
    assert other.policy is config.default_policy
    assert not api.reject_ambiguous_paths
    assert [(rule.op, rule.name) for rule in api.response_rules] == [
        ("remove", b"Server"),
        ("set", b"A"),
        ("set", b"C"),
    ]
    assert config.routes.match(b"api.example.com:80", b"/api/v1", b"GET") is api
    assert config.routes.match(b"api.example.com", b"/api/v1", b"PUT") is other


def test_the_smallest_file_is_a_whole_configuration() -> None:
    """L9: every absent key has a default, which is written once, in `policy`."""
    config = config_of("version: 1\nroutes: [{upstream: 'http://h', cors: false}]\n")
    assert config.server == Server(listen=(TcpAddress("0.0.0.0", 8080),))
    assert config.health == TcpAddress("0.0.0.0", 9902)
    assert config.upstreams[0].authority == b"h"


@pytest.mark.parametrize(
    ("listen", "health"),
    [
        ("127.0.0.1:80", "127.0.0.1:9902"),
        ("'[::1]:80'", "[::1]:9902"),
        ("['[::1]:80', '127.1.2.3:80', 'localhost:81']", "127.0.0.1:9902"),
        ("10.0.0.1:80", "0.0.0.0:9902"),
        ("'[::]:80'", "[::]:9902"),
        ("['0.0.0.0:80', '[::]:80']", "[::]:9902"),
        ("['127.0.0.1:80', '[2001:db8::1]:80']", "[::]:9902"),
        ("['127.0.0.1:80', unix:/run/s]", "0.0.0.0:9902"),
        ("unix:/run/s", "0.0.0.0:9902"),
        ("host.example:80", "0.0.0.0:9902"),
    ],
)
def test_health_takes_the_family_of_the_listeners(listen: str, health: str) -> None:
    """P7, L22: loopback if all listeners are on loopback, IPv6 if a listener has it."""
    routes = "routes: [{upstream: 'http://h', cors: false}]"
    config = config_of(f"version: 1\nserver: {{listen: {listen}}}\n{routes}\n")
    assert str(config.health) == health


def test_health_can_be_off() -> None:
    """`off` means no health listener."""
    text = "version: 1\nhealth: {listen: off}\nroutes: [{upstream: 'http://h', cors: false}]\n"
    assert config_of(text).health is None


def test_port_0_may_be_used_twice() -> None:
    """Port 0 is a different port each time, so there is no conflict."""
    text = (
        "version: 1\nserver: {listen: ['127.0.0.1:0', '127.0.0.1:0']}\n"
        "health: {listen: '127.0.0.1:0'}\nroutes: [{upstream: 'http://h', cors: false}]\n"
    )
    assert len(config_of(text).server.listen) == 2


def test_routes_with_the_same_url_share_an_upstream() -> None:
    """One pool of connections for one server."""
    config = config_of(
        "version: 1\nroutes:\n"
        "  - {upstream: 'http://h', cors: false, match: {path: /a/}}\n"
        "  - {upstream: 'http://h', cors: false}\n",
    )
    assert len(config.upstreams) == 1
    assert len({id(route.upstream) for route in config.routes}) == 1


def test_an_inline_policy_is_named_after_its_route() -> None:
    """Metrics and the inspector distinguish policies by name."""
    config = config_of(
        "version: 1\nroutes:\n"
        "  - {name: api, upstream: 'http://h', cors: {allow_origins: ['https://a.example']}}\n",
    )
    policy = next(iter(config.routes)).policy
    assert policy is not None
    assert policy.name == "routes.api"


def test_a_file_that_is_not_there_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreadable file is reported as a problem, with the reason."""
    monkeypatch.chdir(tmp_path)
    file = Path("none.yaml")
    (found,) = load(file, {}).problems
    assert (found.id, found.pos) == ("E001", (str(file), 1, 1))
    assert found.message == f"{file} cannot be read: No such file or directory"


def test_a_folder_is_a_problem(tmp_path: Path) -> None:
    """A ConfigMap is mounted as a folder, and easily named instead of its file."""
    (found,) = load(tmp_path, {}).problems
    assert found.message.endswith("cannot be read: Is a directory")


def test_a_file_above_the_limit_is_not_read_whole(tmp_path: Path) -> None:
    """forwarding.md K1: at most 1 MiB."""
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * LARGEST_FILE + b"\n")
    assert [found.id for found in load(file, {}).problems] == ["E002"]
    file.write_bytes(b"#" * LARGEST_FILE)
    assert [found.id for found in load(file, {}).problems] == ["E004"]


def test_the_fingerprint_follows_a_swapped_link(tmp_path: Path) -> None:
    """R7: a ConfigMap swap replaces a symlink, so the real path counts."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("version: 1\n")
    data, file = tmp_path / "data", tmp_path / "config.yaml"
    data.symlink_to("one")
    file.symlink_to("data/config.yaml")
    before = fingerprint(file)
    assert before == fingerprint(file)
    swap = tmp_path / "swap"
    swap.symlink_to("two")
    swap.rename(data)
    after = fingerprint(file)
    assert before != after
    assert after is not None
    assert after.real_path == str(tmp_path.resolve() / "two" / "config.yaml")


def test_the_fingerprint_follows_a_write_and_a_loss(tmp_path: Path) -> None:
    """R7: inode, mtime and size; None while there is no file."""
    file = tmp_path / "config.yaml"
    assert fingerprint(file) is None
    file.write_text("a")
    before = fingerprint(file)
    file.write_text("ab")
    assert fingerprint(file) not in {before, None}


@pytest.mark.parametrize("text", [WHOLE, "a: [", "version: 2\n"], ids=["whole", "broken", "wrong"])
def test_loading_twice_gives_the_same_result(text: str) -> None:
    """No state is kept between calls."""
    one, two = (load_text(text, "f.yaml", {}) for _ in range(2))
    assert one.problems == two.problems
    assert one.settings == two.settings
