"""`corsproxy explain` as a command: its output, its exit codes, and live requests."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from corsproxy.cli import cli
from corsproxy.demo.legacy import make_legacy_app
from tests.support.proxy import one_route, running_proxy
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send

APP = "https://app.example.com"
URL = "https://api.example.com/orders/7"
FILE = """\
version: 1
routes:
  - name: api
    upstream: http://localhost:9000
    cors:
      allow_origins: [https://app.example.com]
      allow_methods: [GET, POST]
      allow_headers: [content-type]
"""
REFUSED = ("explain", "PUT", URL, "--origin", APP, "-H", "content-type")
ALLOWED = ("explain", "POST", URL, "--origin", APP, "-H", "content-type")


def run(*arguments: str, **environ: str | None) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, arguments, env={"CORSPROXY_CONFIG": None, **environ})


async def run_beside(*arguments: str) -> Result:
    """Run one command while this loop serves its requests."""
    return await asyncio.to_thread(run, *arguments)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a configuration that is found by its name."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(FILE)
    return path


TRANSCRIPT = """\
✗ PUT https://api.example.com/orders/7 is blocked under the policy routes.api

  ✓ route    api matches PUT api.example.com/orders/7  (config.yaml:3:5)
  ✓ origin   https://app.example.com is allowed  (config.yaml:6:23)
  ✗ method   the method PUT is not in allow_methods  (config.yaml:7:22)
  ✓ headers  content-type is allowed  (config.yaml:8:22)
  ✗ browser  it blocks the response to the preflight: allow origin missing

refused: the method PUT is not in allow_methods (method_not_allowed), decided at config.yaml:7:22
   --> config.yaml:7:22
    |
  7 |       allow_methods: [GET, POST]
    |                      ^
To do: add it to allow_methods; methods are case-sensitive

The response to the preflight has status 403 and these headers:
  Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
"""
CHANGE = """\
The smallest change that would allow it, in the policy routes.api (config.yaml:7:22):
  allow_methods:  # add to the list
    - PUT
"""


@pytest.mark.usefixtures("file")
def test_a_refused_put_is_explained_step_by_step() -> None:
    """cors.md 67: steps, the line with an excerpt, headers, browsers, the smallest change."""
    done = run(*REFUSED)
    assert done.exit_code == 0
    assert done.stdout.startswith(TRANSCRIPT)
    assert done.stdout.endswith(CHANGE)
    assert done.stderr == ""
    for browser in ("Chromium", "Firefox", "Safari"):
        assert f"\n{browser} prints:\n" in done.stdout


@pytest.mark.usefixtures("file")
def test_an_allowed_request_shows_its_origin_s_line() -> None:
    """The caret underlines the origin that matched."""
    done = run(*ALLOWED)
    assert "POST https://api.example.com/orders/7 works under the policy routes.api" in done.stdout
    excerpt = "  6 |       allow_origins: [https://app.example.com]\n    |" + " " * 23 + "^" * 23
    assert excerpt in done.stdout
    assert "Access-Control-Allow-Origin: https://app.example.com\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(REFUSED, 0), (ALLOWED, 0), ((*REFUSED, "--exit-code"), 1), ((*ALLOWED, "--exit-code"), 0)],
)
@pytest.mark.usefixtures("file")
def test_exit_codes(arguments: tuple[str, ...], code: int) -> None:
    """Exit code 1 only with --exit-code (R1)."""
    assert run(*arguments).exit_code == code
    assert run(*arguments, "--json").exit_code == code


@pytest.mark.usefixtures("file")
def test_json_has_the_whole_explanation() -> None:
    """The same as the text, for programs."""
    told = json.loads(run(*REFUSED, "--json").stdout)
    assert (told["route"], told["policy"], told["works"]) == ("api", "routes.api", False)
    assert (told["verdict"], told["reason"]) == ("refused", "method_not_allowed")
    assert told["place"] == {"file": "config.yaml", "line": 7, "column": 22}
    assert [step["name"] for step in told["steps"]] == [
        "route",
        "origin",
        "method",
        "headers",
        "browser",
    ]
    assert told["answers"][0]["status"] == 403
    assert set(told["consoles"]) == {"chromium", "firefox", "safari"}
    assert told["change"]["yaml"] == "allow_methods:  # add to the list\n  - PUT\n"
    assert "by_file" not in told


def test_credentials_count(file: Path) -> None:
    """A browser may block a request with cookies that the policy allows (cors.md 32)."""
    file.write_text(FILE.replace("https://app.example.com]", '"*"]'))
    done = run(*ALLOWED, "--credentials")
    assert "it blocks the response to the preflight: wildcard with credentials" in done.stdout
    assert "allow_credentials: true" in done.stdout


@pytest.mark.usefixtures("file")
def test_options_have_variables_of_the_environment() -> None:
    """Every flag has one (R3)."""
    done = run("explain", "PUT", URL, CORSPROXY_EXPLAIN_ORIGIN=APP, CORSPROXY_EXPLAIN_EXIT_CODE="1")
    assert done.exit_code == 1


USAGE: list[tuple[tuple[str, ...], str]] = [
    (("PUT", URL), "Missing option '--origin'"),
    (("P T", URL, "--origin", APP), "METHOD 'P T' is not a valid method"),
    (("PUT", "/orders", "--origin", APP), "write it as https://host/path"),
    (("PUT", URL, "--origin", " "), "--origin ' ' is not a valid origin"),
    (("PUT", URL, "--origin", "https://a\r\nX: y"), "is not a valid origin"),
    (("PUT", URL, "--origin", APP, "-H", "a b"), "--header 'a b' is not a valid header"),
    (("PUT", URL, "--origin", APP, "-H", "a: b\r\nc: d"), "is not a valid header"),
    (("POST", URL, "--origin", APP, "--live"), "--live does not send this POST"),
    (("GET", "ws://a/", "--origin", APP, "--live"), "--live supports only http and https"),
]


@pytest.mark.parametrize(("arguments", "words"), USAGE)
@pytest.mark.usefixtures("file")
def test_wrong_usage_is_reported(arguments: tuple[str, ...], words: str) -> None:
    """Exit code 2, nothing is sent and no line can be injected (R1)."""
    done = run("explain", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_a_missing_file_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the alternatives."""
    monkeypatch.chdir(tmp_path)
    done = run(*REFUSED)
    assert done.exit_code == 2
    assert "pass one with -c FILE" in done.stderr
    assert "use --live to send the request to the URL" in done.stderr


def test_an_invalid_file_is_reported_with_its_problems(file: Path) -> None:
    """Exit code 3; that of a refused request is 1 (R1)."""
    file.write_text(FILE.replace("version: 1", "version: 2"))
    done = run(*REFUSED, "--exit-code")
    assert done.exit_code == 3
    assert " --> config.yaml:1:10\n" in done.stderr
    assert done.stdout == ""
    assert run(*REFUSED, "-c", "missing.yaml").exit_code == 3


def test_help_has_examples_line_by_line() -> None:
    """Every command has --help with an example (R3)."""
    assert "\n    corsproxy explain PUT https://" in run("explain", "--help").stdout


def on_a_terminal(folder: Path, **environ: str) -> bytes:
    """Return what the command prints on a terminal."""
    main, terminal = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "corsproxy", *ALLOWED],
        cwd=folder,
        stdout=terminal,
        env={**kept, "PYTHONPATH": root, **environ},
        check=False,
        timeout=30,
    )
    os.close(terminal)
    assert done.returncode == 0
    printed = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # how Linux reports that the other side was closed
            break
        if not piece:
            break
        printed += piece
    os.close(main)
    return printed


def test_colours_are_only_for_terminals(file: Path) -> None:
    """None in a pipe, none with NO_COLOR."""
    assert b"\x1b[1;32m" in on_a_terminal(file.parent)
    assert b"\x1b" not in on_a_terminal(file.parent, NO_COLOR="1")
    assert "\x1b" not in run(*ALLOWED).stdout


def test_explaining_needs_no_server(file: Path) -> None:
    """Commands import the server lazily; without --live no network module is loaded."""
    code = (
        "import sys; from corsproxy.cli import cli\n"
        f"try: cli({list(ALLOWED)!r})\n"
        "except SystemExit: pass\n"
        "print(sorted({'aiohttp', 'uvloop'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.endswith("[]\n")


def page_blocks(language: str) -> list[str]:
    """Return the code blocks of one language in the guide."""
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_guide_shows_what_is_printed(file: Path) -> None:
    """Its configuration gives its transcript, to the letter."""
    file.write_text(page_blocks("yaml")[0])
    assert run(*REFUSED).stdout == page_blocks("text")[0]


async def test_the_guide_shows_what_a_server_without_cors_gives() -> None:
    """The demo's legacy API; only its clock and its port differ."""
    async with TestServer(make_legacy_app()) as legacy:
        url = f"http://localhost:{legacy.port}/orders"
        done = await run_beside(
            "explain", "GET", url, "--origin", "http://localhost:3000", "--live"
        )
    told = done.stdout.replace(url, "http://localhost:9000/orders")
    assert clockless(told) == clockless(page_blocks("text")[1])


def clockless(text: str) -> str:
    """Return `text` without the values of Date."""
    return re.sub("Date: .*", "Date:", text)


# --- live requests -------------------------------------------------------------------------

ALLOW = f"Access-Control-Allow-Origin: {APP}\r\n"
NO_CORS = ""
LIVE: list[tuple[str, tuple[str, ...], str, str]] = [
    ("GET", (), NO_CORS, "allow_origin_missing"),
    ("PUT", (), NO_CORS, "allow_origin_missing"),
    ("GET", (), ALLOW + ALLOW, "allow_origin_multiple"),
    ("GET", (), "Access-Control-Allow-Origin: https://b.example\r\n", "allow_origin_mismatch"),
    ("GET", ("--credentials",), "Access-Control-Allow-Origin: *\r\n", "wildcard_with_credentials"),
    ("GET", ("--credentials",), ALLOW, "credentials_not_true"),
    ("GET", ("-H", "x-a: 1"), ALLOW, "header_not_allowed"),
    ("PUT", (), ALLOW + "Access-Control-Allow-Headers: x-a\r\n", "method_not_allowed"),
    ("GET", (), ALLOW, "allowed"),
    ("GET", (), "Access-Control-Allow-Origin: *\r\n", "allowed"),
    ("PUT", (), ALLOW + "Access-Control-Allow-Methods: PUT\r\n", "allowed"),
]


def server(fields: str, status: str = "200 OK") -> Script:
    """Return a server that sends the same response to every request."""
    response = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n{fields}\r\n".encode()
    return [repeat(request(), send(response))]


@pytest.mark.parametrize(("method", "more", "fields", "reason"), LIVE)
async def test_live_checks_any_server(
    method: str, more: tuple[str, ...], fields: str, reason: str
) -> None:
    """Without a file, by Fetch's own algorithms: no CORS at all, and each way to get it wrong."""
    async with ScriptedUpstream(server(fields)) as upstream:
        done = await run_beside(
            "explain", method, f"{upstream.url}/a", "--origin", APP, "--live", "--json", *more
        )
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["reason"] == reason
        assert told["works"] is (reason == "allowed")
        # PUT only causes a preflight and is never sent; after a failed preflight nothing is sent.
        sent = [one.request_line.split(b" ")[0] for one in upstream.requests]
        assert sent == ([b"OPTIONS"] if method == "PUT" or "-H" in more else [b"GET"])


async def test_live_sends_a_safe_request_after_its_preflight_passed() -> None:
    """Both responses are printed; the page's headers are sent with their values, without forbidden ones."""
    fields = ALLOW + "Access-Control-Allow-Headers: x-a\r\nAccess-Control-Max-Age: 9000\r\n"
    headers = ("-H", "x-a: 1", "-H", "cookie: c")
    async with ScriptedUpstream(server(fields)) as upstream:
        url = f"{upstream.url}/a?b"
        done = await run_beside("explain", "GET", url, "--origin", APP, "--live", *headers)
        before, sent = upstream.requests
    assert before.head.value("access-control-request-headers") == b"x-a"
    assert before.head.value("x-a") is None
    assert sent.request_line == b"GET /a?b HTTP/1.1"
    assert (sent.head.value("x-a"), sent.head.value("cookie")) == (b"1", None)
    kept = "browsers cache the response to the preflight: Chromium 7200 s, Firefox 9000 s, Safari 600 s"
    assert kept in done.stdout
    assert "The response to the preflight has status 200" in done.stdout
    assert "The response to the request has status 200" in done.stdout


async def test_live_follows_no_redirect_of_a_preflight() -> None:
    """No browser does; the advice is to request the final address."""
    moved = server(ALLOW + "Location: /b\r\n", "301 Moved Permanently")
    async with ScriptedUpstream(moved) as upstream:
        done = await run_beside(
            "explain", "PUT", f"{upstream.url}/a", "--origin", APP, "--live", "--exit-code"
        )
        assert done.exit_code == 1
        assert (
            "To do: respond to the preflight without a redirect, or request the final address"
            in (done.stdout)
        )
        assert [one.target for one in upstream.requests] == [b"/a"]


async def test_live_without_a_response_is_one_line() -> None:
    """Exit code 3, no traceback (R1)."""
    async with ScriptedUpstream() as upstream:
        upstream.stop_listening()
        done = await run_beside("explain", "GET", f"{upstream.url}/", "--origin", APP, "--live")
    assert done.exit_code == 3
    assert done.stderr.startswith("corsproxy: http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


async def test_live_and_the_file_are_compared(tmp_path: Path) -> None:
    """Against corsproxy itself both agree; a file that it does not run with differs."""
    async with ScriptedUpstream(server("")) as upstream:
        config = one_route(upstream.url, route=f"name: api\ncors: {{allow_origins: [{APP}]}}")
        path = tmp_path / "config.yaml"
        async with running_proxy(config) as proxy:
            assert isinstance(proxy.address, tuple)
            url = "http://{}:{}/a".format(*proxy.address)
            asked = ("explain", "GET", url, "--origin", APP, "--live", "-c", str(path))
            path.write_text(config)
            same = await run_beside(*asked)
            path.write_text(config.replace(APP, "https://b.example"))
            other = await run_beside(*asked)
            told = json.loads((await run_beside(*asked, "--json")).stdout)
    assert f"\n{path} leads to the same result:\n" in same.stdout
    assert "the route api" not in same.stderr
    assert f"\n{path} leads to another result:\n" in other.stdout
    assert "does it run with this file?" in other.stdout
    assert told["works"] is True
    assert told["by_file"]["works"] is False
    assert told["by_file"]["place"]["file"] == str(path)
