"""The files of TLS as a matter of configuration: read when it is, told at their place (configuration.md L21)."""

from pathlib import Path

import pytest

from corsproxy.config.load import Loaded, load_text
from corsproxy.policy.compiled import ServerTls
from corsproxy.tls.contexts import BadTlsFile, server_context
from tests.support.certificates import Authority, Pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of this module's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Return a certificate that it signed."""
    return authority.sign("api.test")


def read(server: str = "", upstream: str = "", url: str = "https://api.test") -> Loaded:
    """Read a file with these keys in its sections."""
    text = (
        f"version: 1\nserver: {{{server}}}\nupstreams: {{api: {{url: '{url}', {upstream}}}}}\n"
        "routes: [{upstream: api, cors: false}]\n"
    )
    return load_text(text, "f.yaml", {"CERT": "/secret/place.crt"})


def problems_of(loaded: Loaded) -> list[tuple[str, str]]:
    """Return id and message of each problem."""
    return [(problem.id, problem.message) for problem in loaded.problems]


def test_files_that_fit_are_no_problem(authority: Authority, pair: Pair) -> None:
    """And what the plan holds of them is where they are."""
    loaded = read(
        f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}, client_ca_file: {authority.file}}}",
        f"tls: {{ca_file: {authority.file}, cert_file: {pair.cert}, key_file: {pair.key}}}",
    )
    assert problems_of(loaded) == []
    assert loaded.config is not None
    assert loaded.config.server.tls is not None
    assert loaded.config.server.tls.cert_file == str(pair.cert)
    (upstream,) = loaded.config.upstreams
    assert upstream.tls.ca_file == str(authority.file)
    assert (upstream.scheme, str(upstream.address), upstream.authority) == (
        "https",
        "api.test:443",
        b"api.test",
    )


def test_a_key_of_another_certificate_is_reported(authority: Authority, pair: Pair) -> None:
    """The commonest mistake of a renewal."""
    other = authority.sign("other")
    loaded = read(f"tls: {{cert_file: {pair.cert}, key_file: {other.key}}}")
    detail = "it does not match the certificate"
    assert problems_of(loaded) == [("E066", f"key_file cannot be {other.key}: {detail}")]


def test_a_key_that_is_encrypted_is_reported(pair: Pair, tmp_path: Path) -> None:
    """OpenSSL would prompt on a terminal that a server does not have."""
    key = tmp_path / "encrypted.key"
    key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n")
    ((id_, message),) = problems_of(read(f"tls: {{cert_file: {pair.cert}, key_file: {key}}}"))
    assert id_ == "E066"
    assert message.endswith("it is encrypted; write it without a passphrase")


def test_a_certificate_in_place_of_a_key_is_reported(pair: Pair) -> None:
    """Two files that were mistaken for each other."""
    ((_, message),) = problems_of(read(f"tls: {{cert_file: {pair.cert}, key_file: {pair.cert}}}"))
    assert message == f"key_file cannot be {pair.cert}: it is not a private key in PEM"
    ((_, message),) = problems_of(read(f"tls: {{cert_file: {pair.key}, key_file: {pair.key}}}"))
    assert message == f"cert_file cannot be {pair.key}: it contains no certificate in PEM"


def test_a_folder_in_place_of_a_file_is_reported(pair: Pair, tmp_path: Path) -> None:
    """No traceback, whatever the operating system says."""
    ((id_, _),) = problems_of(read(f"tls: {{cert_file: {pair.cert}, key_file: {tmp_path}}}"))
    assert id_ == "E066"


def test_authorities_are_reported_at_the_key_that_names_them(pair: Pair) -> None:
    """`client_ca_file` of the listener, `ca_file` of an upstream: one kind of file, two keys."""
    listener = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}, client_ca_file: {pair.key}}}"
    detail = f"cannot be {pair.key}: it contains no certificate in PEM"
    assert problems_of(read(listener)) == [("E066", f"client_ca_file {detail}")]
    assert problems_of(read(upstream=f"tls: {{ca_file: {pair.key}}}")) == [
        ("E066", f"ca_file {detail}")
    ]


def test_an_unusable_file_is_named_by_its_purpose(pair: Pair, tmp_path: Path) -> None:
    """What makes contexts reports purpose, path and reason, and no key of the configuration."""
    missing = str(tmp_path / "none")
    for cert, key, purpose in (
        (missing, str(pair.key), "certificate"),
        (str(pair.cert), missing, "private key"),
    ):
        with pytest.raises(BadTlsFile) as raised:
            server_context(ServerTls(cert_file=cert, key_file=key))
        assert raised.value.purpose == purpose
        assert str(raised.value) == f"{purpose} {missing}: no such file or directory"


def test_a_path_of_the_environment_is_not_shown(pair: Pair) -> None:
    """forwarding.md K2."""
    ((_, message),) = problems_of(read(f"tls: {{cert_file: '${{CERT}}', key_file: {pair.key}}}"))
    assert "secret" not in message
    assert "${CERT}" in message


def test_tls_for_an_upstream_without_it_has_no_effect() -> None:
    """W004: the user may take it for encrypted."""
    loaded = read(upstream="tls: {server_name: a}", url="http://api.test")
    assert problems_of(loaded) == [("W004", "tls has no effect: the URL is not https")]


def test_authorities_that_are_not_used_have_no_effect(authority: Authority) -> None:
    """W004: `insecure_skip_verify` wins."""
    tls = f"tls: {{ca_file: {authority.file}, insecure_skip_verify: true}}"
    ((id_, message),) = problems_of(read(upstream=tls))
    assert (id_, message) == (
        "W004",
        "ca_file has no effect: insecure_skip_verify accepts any certificate",
    )


def test_half_close_over_tls_has_no_effect(pair: Pair) -> None:
    """forwarding.md H20."""
    tls = f"tls: {{cert_file: {pair.cert}, key_file: {pair.key}}}, half_close: answer"
    assert [id_ for id_, _ in problems_of(read(tls))] == ["W004"]


def test_a_route_keeps_what_it_does_not_say_of_its_upstream() -> None:
    """L20 `routes.*.timeouts`: durations, as numbers of seconds."""
    text = (
        "version: 1\nserver: {limits: {max_body: 1KiB}}\n"
        "upstreams: {api: {url: 'http://a', timeouts: {idle: 7s, response_header: 9s}}}\n"
        "routes:\n"
        "  - {upstream: api, cors: false, match: {path: /a}, timeouts: {response_header: 250ms}}\n"
        "  - {upstream: api, cors: false, match: {path: /b}, max_body: 0, upgrades: []}\n"
    )
    config = load_text(text, "f.yaml", {}).config
    assert config is not None
    first, second = config.routes
    assert (first.timeouts.response_header, first.timeouts.idle, first.max_body) == (
        0.25,
        7.0,
        1024,
    )
    assert (second.timeouts.response_header, second.max_body) == (9.0, 0)
    assert (first.upgrades, second.upgrades) == (frozenset({b"websocket"}), frozenset())
