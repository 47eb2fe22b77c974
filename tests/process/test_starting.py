"""`run` reports on one line why it cannot start; without a file it prints the equivalent one."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from aiohttp import http_parser
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.cli.from_flags import as_yaml
from corsproxy.cli.run import run
from corsproxy.config.load import load_text
from corsproxy.proxy.fd_limits import ConnectionLimits
from corsproxy.runtime.service import Service
from corsproxy.runtime.sockets import CannotStart
from tests.support.origin import ORIGIN, get, origin
from tests.support.proxy import config_of
from tests.support.served import served
from tests.support.service import config, corsproxy

# Hostile values, with characters that are special in YAML, in variables, or on a terminal.
VALUES = (
    st.text(st.sampled_from("\"'\\${}#:,[]&*!|>%@`-? \t\n\r\0\x7f\x85 \ufeff\U0001f600aé/"))
    | st.text()
)


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a loopback port that a program listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield int(other.getsockname()[1])


def test_a_port_in_use_is_one_line_and_exit_3(taken: int, tmp_path: Path) -> None:
    """It names the address and what to do, without a traceback (R1)."""
    path = tmp_path / "config.yaml"
    path.write_text(config(1).replace("127.0.0.1:0", f"127.0.0.1:{taken}", 1))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert process.errors == (
        f"corsproxy: cannot listen on 127.0.0.1:{taken}: address already in use; "
        "another program listens there; stop it, or choose another address"
    )


async def test_too_few_descriptors_are_reported_for_any_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """O2: the message is right for one client and for several."""
    async with served(config_of(config(1))) as service:
        service.server.state.connections.limits = ConnectionLimits(1, 1, 1)
        with caplog.at_level(logging.WARNING, "corsproxy"):
            service._warn_of_connection_limit()
    (message,) = caplog.messages
    assert "max_connections is 10000, but the limit of open files suffices for 1: " in message


def test_a_health_port_in_use_is_one_line_and_exit_3(taken: int, tmp_path: Path) -> None:
    """The same for the second listener; the first one is closed again."""
    path = tmp_path / "config.yaml"
    path.write_text(
        config(1).replace("health: {listen: '127.0.0.1:0", f"health: {{listen: '127.0.0.1:{taken}")
    )
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert len(process.errors.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1:{taken}: address already in use" in process.errors


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("192.0.2.1:80", "this machine has no such address"),
        ("unix:/nowhere/at/all/s", "no such file or directory"),
        ("name.invalid:80", "choose another address"),
    ],
)
def test_an_address_that_cannot_be_bound_is_exit_3(
    listen: str, reason: str, tmp_path: Path
) -> None:
    """The message states the reason on one line."""
    path = tmp_path / "config.yaml"
    path.write_text(config(1).replace("127.0.0.1:0", listen, 1))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert len(process.errors.splitlines()) == 1
    assert process.errors.startswith(f"corsproxy: cannot listen on {listen}: ")
    assert reason in process.errors


async def test_an_aiohttp_without_its_parsers_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pure-Python parsers accept what can smuggle requests, so it does not start (forwarding.md)."""
    monkeypatch.delattr(http_parser, "HttpRequestParserC")
    with pytest.raises(CannotStart, match="C extensions are missing: install aiohttp from a wheel"):
        Service(config_of(config(1)))


def test_a_file_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    """The message names the file, not a line of our code."""
    with corsproxy("run", "-c", str(tmp_path / "none.yaml")) as process:
        assert process.code() == 3
    assert "none.yaml" in process.errors
    assert "Traceback" not in process.errors


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_exit_3(tmp_path: Path) -> None:
    """The message gives the reason: permission denied."""
    path = tmp_path / "config.yaml"
    path.touch(mode=0)
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert "permission denied" in process.errors.lower()


def test_a_broken_file_is_exit_3_with_every_problem(tmp_path: Path) -> None:
    """All problems of the file are shown at once, each at its place."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: 1\nroutes:\n  - upstream: ftp://x\n    cors: nobody\n    nonsense: 1\n"
    )
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert len(re.findall(r"^error\[E\d+\]", process.errors, re.MULTILINE)) == 3
    assert "Traceback" not in process.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--upstream", "http://localhost:9000"], "needs at least one --allow-origin"),
        (["--allow-origin", "http://localhost:3000"], "need --upstream"),
        (["--allow-credentials"], "need --upstream"),
        (["--nonsense"], "--nonsense"),
        (["-c"], "requires an argument"),
    ],
)
def test_a_wrong_use_is_exit_2(arguments: list[str], message: str) -> None:
    """The message states which options belong together (R1)."""
    result = CliRunner().invoke(run, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_without_any_configuration_it_lists_where_it_looked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither a file nor flags is wrong usage, not a failure."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(run, [])
    assert result.exit_code == 2
    assert "./config.yaml" in result.output


@given(VALUES, st.lists(VALUES, max_size=3), VALUES, st.booleans())
def test_values_of_flags_stay_values(
    upstream: str,
    origins: list[str],
    listen: str,
    credentials: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    """Read as YAML, the printed file has the values of the flags, and no other keys than usual."""
    text = as_yaml(upstream, origins, listen, credentials=credentials)
    read = yaml.safe_load(text.replace("$${", "${"))
    assert [line.strip(" -").split(":")[0] for line in text.splitlines()] == [
        *("version", "server", "health", "routes", "upstream", "cors", "allow_origins"),
        *("allow_methods", "allow_headers"),
        *(["allow_credentials"] if credentials else []),
    ]
    assert read["server"] == {"listen": listen}
    (route,) = read["routes"]
    assert route["upstream"] == upstream
    assert route["cors"]["allow_origins"] == origins


@settings(deadline=None)  # it compiles a configuration, which takes long on a busy machine
@given(VALUES)
def test_flags_expand_no_variables(value: str) -> None:
    """`${NAME}` in a flag is text, never the environment's value (R4)."""
    secret = {"HOME": "secret", "a": "secret"}
    text = as_yaml(
        "http://127.0.0.1:9000", [f"https://{value}${{HOME}}${{a}}"], ":0", credentials=False
    )
    problems = load_text(text, "<flags>", secret).problems
    assert problems
    assert not any("secret" in str(problem) for problem in problems)


def test_the_printed_file_serves_the_same(tmp_path: Path) -> None:
    """Saved and passed with -c, it has the same addresses, policy and route (R4)."""
    with origin() as upstream:
        flags = ["--upstream", f"http://127.0.0.1:{upstream.port}", "--allow-origin", ORIGIN]
        with corsproxy("run", *flags, "--allow-credentials", "--listen", "127.0.0.1:0") as process:
            first = get(process.port)
            assert get(process.health_port, "/readyz").status == 200
            printed = process.output
        path = tmp_path / "config.yaml"
        path.write_text(
            printed.partition("# The same as a configuration file:\n")[2].partition("\n{")[0]
        )
        with corsproxy("run", "-c", str(path)) as process:
            second = get(process.port)
    changing = {"x-request-id", "date"}
    assert first.status == second.status == 200
    assert first.headers["access-control-allow-origin"] == ORIGIN
    assert first.headers["access-control-allow-credentials"] == "true"
    assert {n: v for n, v in first.headers.items() if n not in changing} == {
        n: v for n, v in second.headers.items() if n not in changing
    }


@pytest.mark.parametrize("value", [b"http://\xff", b"http://a\nb", "http://é\U0001f600".encode()])
def test_flags_that_are_not_text_are_reported(value: bytes) -> None:
    """Bytes that are not UTF-8, and text that is not a URL, end in exit 3 and no traceback."""
    with corsproxy("run", b"--upstream", value, b"--allow-origin", value) as process:
        assert process.code() == 3
    assert "Traceback" not in process.errors
    assert "error[" in process.errors
