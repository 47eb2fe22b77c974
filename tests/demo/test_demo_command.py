"""`corsproxy demo` starts on any machine, prints what to try, which works, and ends cleanly."""

import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from corsproxy.cli.demo import demo as demo_command
from corsproxy.config.load import load_text
from corsproxy.demo.ports import LOOPBACK, bind, port_of
from corsproxy.demo.stage import PREFERRED
from corsproxy.demo.words import config_text
from tests.support.demo import FREE_PORTS, DemoProcess, demo

COMPOSE_CONFIG = Path(__file__).parents[2] / "deploy" / "compose" / "config.yaml"


@pytest.fixture(scope="module")
def running() -> Iterator[DemoProcess]:
    """Return one demo on free ports for all tests that only send requests."""
    with demo(*FREE_PORTS) as process:
        process.wait_for("The proxy's configuration")
        yield process


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], str]:
    """Return status, headers with lower-case names, and body of a GET."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)) as connection:
        connection.request("GET", parts.path or "/", headers=headers or {})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return response.status, fields, response.read().decode()


def test_all_four_links_respond(running: DemoProcess) -> None:
    """Page, legacy API, proxy and health listener are at the addresses in the greeting."""
    page, api = running.link("page"), running.link("legacy API")
    proxy, health = running.link("corsproxy"), running.link("health")
    assert get(page)[0] == 200
    assert get(f"{api}/orders")[2] == get(f"{proxy}/orders")[2]
    assert get(health)[0] == 200
    assert len({page, api, proxy}) == 3


def test_the_proxy_repairs_what_the_api_gets_wrong(running: DemoProcess) -> None:
    """The API's `*` becomes the page's origin and its headers no longer leak (cors.md 32, 49)."""
    page, api, proxy = (running.link(name) for name in ("page", "legacy API", "corsproxy"))
    origin = {"Origin": page}
    _, direct, _ = get(f"{api}/catalogue", origin)
    _, proxied, _ = get(f"{proxy}/catalogue", origin)
    assert direct["access-control-allow-origin"] == "*"
    assert "x-powered-by" in direct
    assert proxied["access-control-allow-origin"] == page
    assert proxied["access-control-expose-headers"] == "x-total-count"
    assert "x-powered-by" not in proxied


def test_the_printed_curl_lines_do_what_their_comments_say(running: DemoProcess) -> None:
    """Each line is run as printed; status and CORS headers are as its comment states."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    text = running.output.partition("Try it by hand:")[2].replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("curl ")]
    page = running.link("page")
    responses = [_curl(line) for line in lines]
    permission = f"access-control-allow-origin: {page}\n"
    assert [int(response.split()[1]) for response in responses] == [204, 403, 200, 200, 200, 405]
    assert [permission in response.lower() for response in responses] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]


def _curl(line: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own text
        [*shlex.split(line), "--silent", "--max-time", "10"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\r\n", "\n")


def test_the_page_shows_the_configuration_in_force(running: DemoProcess) -> None:
    """What /settings.json offers as configuration names the ports that were really taken."""
    page, proxy = running.link("page"), running.link("corsproxy")
    settings = get(f"{page}/settings.json")[2]
    assert f"listen: 127.0.0.1:{urlsplit(proxy).port}" in settings
    assert f"allow_origins: [{page}]" in settings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: exit code 0, no traceback, and every port is free again."""
    with demo(*FREE_PORTS) as process:
        links = [process.link(name) for name in ("page", "legacy API", "corsproxy")]
        process.wait_for("The proxy's configuration")
        assert process.end(number) == 0, process.output
    assert "Traceback" not in process.output
    for link in links:
        bind(LOOPBACK, urlsplit(link).port or 0).close()


def test_a_signal_during_a_stream_ends_everything_too() -> None:
    """An event stream in progress delays the end by at most the drain time."""
    with demo(*FREE_PORTS) as process:
        proxy = urlsplit(process.link("corsproxy"))
        process.wait_for("The proxy's configuration")
        with closing(HTTPConnection("127.0.0.1", proxy.port or 0, timeout=10)) as connection:
            connection.request("GET", "/events")
            assert connection.getresponse().readline() == b"id: 1\n"
            assert process.end() == 0, process.output
    assert "Traceback" not in process.output


def test_other_ports_are_used_if_the_usual_ones_are_busy() -> None:
    """Without options the demo uses free ports instead of busy ones."""
    with _taken(PREFERRED.proxy), _taken(PREFERRED.api), _taken(PREFERRED.page), demo() as process:
        assert get(f"{process.link('corsproxy')}/orders")[0] == 200
        assert urlsplit(process.link("corsproxy")).port != PREFERRED.proxy
        assert urlsplit(process.link("page")).port != PREFERRED.page


def test_a_busy_port_that_was_asked_for_is_exit_3_and_one_line() -> None:
    """It names the port and what to do, without a traceback."""
    with closing(socket.create_server((LOOPBACK, 0))) as other:
        port = port_of(other)
        with demo("--api-port", str(port)) as process:
            assert process.process.wait(20) == 3
            process.end()
    assert process.output.startswith(f"corsproxy: cannot start the demo: port {port} on 127.0.0.1")
    assert "\n" not in process.output


def test_one_server_alone_listens_on_the_given_address() -> None:
    """The container of the compose file runs `--only api --listen`."""
    with demo("--only", "api", "--listen", "127.0.0.1:0") as process:
        url = process.wait_for(r"the demo's api listens on (http://\S+)")[1]
        assert get(f"{url}/livez")[0] == 200
        assert process.end(signal.SIGTERM) == 0


def test_the_page_alone_passes_its_addresses_on() -> None:
    """`--only page` gives the page the addresses that a browser sees, in its policy too."""
    arguments = ("--only", "page", "--listen", "127.0.0.1:0")
    with demo(*arguments, "--api", "http://api.test:1", "--proxy", "https://[::1]:2") as process:
        url = process.wait_for(r"the demo's page listens on (http://\S+)")[1]
        _, headers, settings = get(f"{url}/settings.json")
    assert '"api": "http://api.test:1"' in settings
    assert (
        "connect-src 'self' http://api.test:1 https://[::1]:2;"
        in (headers["content-security-policy"])
    )


@pytest.mark.parametrize(
    "value",
    [
        "localhost:9000",
        "http://localhost:9000/",
        "http://localhost:9000; script-src *",
        "http://a b",
        "http://LOCALHOST",
        "http://user@localhost",
        "http://localhost:99999",
        "foo://localhost",
        "http://",
        "*",
    ],
)
def test_an_invalid_origin_is_a_usage_error(value: str) -> None:
    """Addresses go into a Content-Security-Policy, so only plain origins are accepted."""
    result = CliRunner().invoke(demo_command, ["--only", "page", "--proxy", value])
    assert result.exit_code == 2
    assert repr(value) in result.output


@pytest.mark.parametrize("arguments", [["--listen", "127.0.0.1:0"], ["--listen", "9000"]])
def test_listen_alone_or_without_a_host_is_a_usage_error(arguments: list[str]) -> None:
    """--listen belongs to --only and needs both host and port."""
    assert CliRunner().invoke(demo_command, arguments).exit_code == 2


def test_help_shows_examples_as_they_are_typed() -> None:
    """Each example has a line of its own, to be copied."""
    lines = CliRunner().invoke(demo_command, ["--help"]).output.splitlines()
    assert "    corsproxy demo --only api --listen 0.0.0.0:9000" in lines


def test_an_address_of_another_machine_is_exit_3() -> None:
    """An address that cannot be bound is one line that names it (192.0.2.0/24 is unassigned)."""
    result = CliRunner().invoke(demo_command, ["--only", "api", "--listen", "192.0.2.1:9000"])
    assert result.exit_code == 3
    assert "cannot listen on 192.0.2.1 port 9000" in result.output


def test_the_printed_configuration_is_valid_and_has_the_wanted_ports() -> None:
    """--print-config prints a file that `corsproxy run` accepts."""
    result = CliRunner().invoke(demo_command, ["--print-config", "--proxy-port", "8181"])
    assert result.exit_code == 0
    assert "listen: 127.0.0.1:8181" in result.output
    assert not load_text(result.output, "demo.yaml", {}).problems


def test_the_compose_file_runs_the_same_policy() -> None:
    """The compose demo's policy and routes are the demo's, letter for letter."""
    composed = COMPOSE_CONFIG.read_text()
    assert not load_text(composed, "config.yaml", {}).problems
    assert _policies(composed) == _policies(config_text(PREFERRED))


def _policies(text: str) -> str:
    return re.sub(r"\A.*?(?=^policies:)", "", text, flags=re.DOTALL | re.MULTILINE)


def _taken(port: int) -> "closing[socket.socket]":
    """Listen on a port, unless another program of this machine does already."""
    try:
        return closing(socket.create_server((LOOPBACK, port)))
    except OSError:
        return closing(socket.socket())
