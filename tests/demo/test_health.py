"""`corsproxy health` reports by its exit code whether a proxy runs, and starts without a server."""

import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Self

import pytest
from click.testing import CliRunner, Result

from corsproxy.cli.health import health
from corsproxy.demo.ports import LOOPBACK, bind, port_of


class OneResponse:
    """A server that reads one request, records it, responds with fixed bytes and closes."""

    def __init__(self, response: bytes) -> None:
        self.listener = bind(LOOPBACK, 0)
        self.listener.listen()
        self.address = f"{LOOPBACK}:{port_of(self.listener)}"
        self.request = b""
        self._response = response
        self._thread = Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            self.request = connection.recv(65536)
            connection.sendall(self._response)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self.listener.close()


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Call the command as a shell would, with `env` added to the environment."""
    return CliRunner().invoke(health, arguments, env=env)


def test_a_living_proxy_is_exit_0() -> None:
    """200 on /livez is healthy."""
    with OneResponse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n") as server:
        result = run("--address", server.address)
    assert result.exit_code == 0
    assert server.request.startswith(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")


def test_ready_requests_readyz() -> None:
    """--ready requests /readyz."""
    with OneResponse(b"HTTP/1.1 200 OK\r\n\r\n") as server:
        assert run("--ready", "--address", server.address).exit_code == 0
    assert server.request.startswith(b"GET /readyz ")


def test_a_draining_proxy_is_exit_1_with_its_words() -> None:
    """Any status except 200 is unhealthy, and the first line of the body is shown."""
    with OneResponse(b"HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\nmore") as server:
        result = run("--ready", "--address", server.address)
    assert result.exit_code == 1
    assert result.stderr == f"unhealthy: {server.address}/readyz responded with 503: 'draining'\n"


@pytest.mark.parametrize("response", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_response_that_is_not_http_is_exit_1(response: bytes) -> None:
    """Another program on the port does not count as a healthy proxy."""
    with OneResponse(response) as server:
        result = run("--address", server.address)
    assert result.exit_code == 1
    assert "responded with bytes that are not HTTP" in result.stderr


def test_a_refused_connection_is_exit_1_and_one_line() -> None:
    """The message names the address and what to check, without a traceback."""
    with bind(LOOPBACK, 0) as bound:
        address = f"{LOOPBACK}:{port_of(bound)}"
        result = run("--address", address)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"unhealthy: no response from {address}/livez within 2 s:")
    assert result.stderr.count("\n") == 1


def test_a_proxy_that_never_responds_is_exit_1() -> None:
    """A hanging process is unhealthy after the timeout."""
    with bind(LOOPBACK, 0) as bound:
        bound.listen()
        result = run("--timeout", "0.05", "--address", f"{LOOPBACK}:{port_of(bound)}")
    assert result.exit_code == 1
    assert "within 0.05 s" in result.stderr


def test_a_wildcard_address_means_loopback() -> None:
    """CORSPROXY_HEALTH_LISTEN may equal health.listen: 0.0.0.0 is connected to as 127.0.0.1."""
    with OneResponse(b"HTTP/1.1 200 OK\r\n\r\n") as server:
        port = server.address.rpartition(":")[2]
        result = run(env={"CORSPROXY_HEALTH_LISTEN": f"0.0.0.0:{port}"})
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("address", ["localhost", "localhost:", "localhost:http", "[::1]:65536"])
def test_an_invalid_address_is_a_usage_error(address: str) -> None:
    """Exit 2, the value, and how an address is written."""
    result = run("--address", address)
    assert result.exit_code == 2
    assert repr(address) in result.stderr
    assert "[ipv6]:port" in result.stderr


def test_a_unix_socket_is_supported(tmp_path: Path) -> None:
    """health.listen may be unix:/path; a missing socket is exit 1."""
    result = run("--address", f"unix:{tmp_path}/none.sock")
    assert result.exit_code == 1
    assert f"unix:{tmp_path}/none.sock" in result.stderr


def test_it_imports_no_server() -> None:
    """It starts every few seconds beside the proxy: neither aiohttp nor pydantic may be loaded."""
    script = (
        "import sys\n"
        "sys.argv = ['corsproxy', 'health', '--help']\n"
        "from corsproxy.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'aiohttp', 'pydantic', 'yaml', 'asyncio', 'uvloop', 'http.client'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\n    corsproxy health --ready --address 127.0.0.1:9902\n" in done.stdout
