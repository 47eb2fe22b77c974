"""Commands escape what other machines sent, so that no terminal interprets it: cors.md 69."""

import ast
import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from corsproxy.cli import cli
from corsproxy.observe.logs import JsonFormatter, TextFormatter
from tests.support.hostile import AS_UTF8, DANGEROUS, RAW, READABLE, dangerous_in
from tests.support.service import config, corsproxy
from tests.support.upstream import Script, ScriptedUpstream, repeat, request, send
from tests.support.wire import connect

COMMANDS = Path(__file__).parents[2] / "corsproxy" / "cli"
APP = "https://app.example"
HOSTILE = b"\r\n".join(
    [
        b"HTTP/1.1 200 " + RAW,
        b"Content-Length: 0",
        b"Access-Control-Allow-Origin: https://app.example",
        b"Access-Control-Expose-Headers: *",
        b"X-Raw: " + RAW,
        b"X-Utf8: " + AS_UTF8,
        b"X-\x9b\xe2\x80\xae\x1b[2J: name",
        b"",
        b"",
    ]
)
REFUSING = HOSTILE.replace(b"Allow-Origin: https://app.example", b"Allow-Origin: " + RAW)
NO_HTTP = b"SSH-2.0 " + AS_UTF8 + RAW + b"\r\n\r\n"


def run(*arguments: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, arguments, env={"CORSPROXY_CONFIG": None})


async def explained(response: bytes, *more: str) -> Result:
    """Return what `explain --live` prints for a server with this response."""
    script: Script = [repeat(request(), send(response))]
    async with ScriptedUpstream(script) as upstream:
        url = f"{upstream.url}/a"
        return await asyncio.to_thread(run, "explain", "GET", url, "--origin", APP, "--live", *more)


@pytest.mark.parametrize("response", [HOSTILE, REFUSING], ids=["allowed", "refused"])
async def test_explain_live_shows_a_hostile_server_escaped(response: bytes) -> None:
    """cors.md 69: status line, names, values, and what browsers would print of them."""
    done = await explained(response)
    assert done.exit_code == 0, done.output
    assert dangerous_in(done.stdout) == []
    assert r"X-Raw: \x00\x01" in done.stdout
    assert (r"can read these headers: " in done.stdout) is (response is HOSTILE)


@pytest.mark.parametrize("response", [HOSTILE, REFUSING], ids=["allowed", "refused"])
async def test_explain_live_as_json_shows_a_hostile_server(response: bytes) -> None:
    """cors.md 69: the JSON preserves every byte, and contains no control character."""
    done = await explained(response, "--json")
    assert done.exit_code == 0, done.output
    assert dangerous_in(done.stdout) == []
    (answer,) = json.loads(done.stdout)["answers"]
    fields = dict(answer["headers"])
    assert fields["X-Raw"].encode("latin-1") == RAW.strip(b" \t")
    assert fields["X-Utf8"].encode("latin-1") == AS_UTF8.strip(b" \t")


async def test_explain_live_shows_what_is_not_http_escaped() -> None:
    """cors.md 69: what a server sends instead of HTTP is part of the message."""
    done = await explained(NO_HTTP)
    assert done.exit_code == 3
    assert "did not respond in HTTP/1.1" in done.stderr
    assert dangerous_in(done.output) == []


async def test_health_shows_a_hostile_server_escaped() -> None:
    """cors.md 69: `health` prints the first line that a server sends."""
    body = AS_UTF8 + RAW
    for response in (NO_HTTP, b"HTTP/1.1 503 No\r\n\r\n" + body):
        async with ScriptedUpstream([request(), send(response)]) as upstream:
            address = upstream.authority
            done = await asyncio.to_thread(run, "health", "--address", address, "--timeout", "0.5")
        assert done.exit_code == 1
        assert dangerous_in(done.output) == []


@pytest.mark.parametrize("style", ["full", "concise", "json", "github"])
def test_check_shows_a_hostile_file_escaped(style: str, tmp_path: Path) -> None:
    """cors.md 69: a file may come from others, too, and so may its name."""
    path = tmp_path / "\x9b2J\u202eé漢.yaml"
    text = json.dumps("".join(DANGEROUS)[:-6] + READABLE)  # no half of a pair: not YAML
    path.write_text(f"version: 1\nroutes: [{text}]\n{text}: 1\n", encoding="utf-8")
    done = run("check", "--format", style, str(path))
    assert done.exit_code == 1
    assert dangerous_in(done.output) == []
    assert "é漢.yaml" in done.output
    if style == "json":
        assert json.loads(done.stdout)[0]["file"] == str(path)


def test_a_name_that_is_not_utf8_is_shown(tmp_path: Path) -> None:
    """cors.md 69: half a surrogate pair, as which Python reads such bytes, breaks no output."""
    path = tmp_path / "\udc9b.yaml"
    done = run("explain", "GET", "https://a.example/", "--origin", APP, "-c", str(path))
    assert done.exit_code == 3
    assert r"\udc9b.yaml" in done.stderr


@pytest.mark.parametrize("style", ["text", "json"])
async def test_run_shows_hostile_clients_and_servers_escaped(style: str, tmp_path: Path) -> None:
    """cors.md 69: access log, refusals, malformed requests and faults of an upstream."""
    bad = b"Origin: https://\x9b\xe2\x80\xae\xc2\x9b.example\r\n"
    file = tmp_path / "config.yaml"
    async with ScriptedUpstream([request(), send(REFUSING)]) as upstream:
        port = int(upstream.authority.rpartition(":")[2])
        file.write_text(f"{config(port)}\nlog: {{format: {style}, access: all}}\n")
        with corsproxy("run", "-c", str(file)) as process:
            for line in (b"GET /\xe2\x80\xae\xc2\x9b\x80", b"GET /%9b", b"G\x9bT /", b"OPTIONS /a"):
                client = await connect(("127.0.0.1", await asyncio.to_thread(lambda: process.port)))
                asked = b"Access-Control-Request-Method: \xc2\x9b\r\n" if b"OPT" in line else b""
                await asyncio.get_running_loop().sock_sendall(
                    client, line + b" HTTP/1.1\r\nHost: a\r\n" + bad + asked + b"\r\n"
                )
                await asyncio.get_running_loop().sock_recv(client, 65536)
                client.close()
            await asyncio.to_thread(process.wait_for_output, "OPTIONS")
            await asyncio.to_thread(process.wait_for, "refused|malformed")
            assert await asyncio.to_thread(process.end) == 0
            assert dangerous_in(process.output) == []
            assert dangerous_in(process.errors) == []


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()], ids=["text", "json"])
def test_a_logged_message_is_shown_whatever_is_in_it(formatter: logging.Formatter) -> None:
    """cors.md 69: in the message, and in the exception that goes with it."""
    text = "".join(DANGEROUS) + READABLE
    error = ValueError(text)
    failure = (ValueError, error, None)
    record = logging.LogRecord("a", logging.ERROR, "", 0, "%s", (text,), failure)
    shown = formatter.format(record)
    assert dangerous_in(shown.replace("\t", "")) == []
    if isinstance(formatter, TextFormatter):
        assert READABLE in shown.splitlines()[0]
        assert shown.count("\nV") == 0, "what follows is indented"
    else:
        assert ascii(json.loads(shown)["message"]) == ascii(text)


def test_what_the_demo_logs_is_shown_whatever_is_in_it() -> None:
    """cors.md 69: no configuration sets its log format, and its log mostly goes to a terminal."""
    script = (
        "import logging\n"
        "from corsproxy.cli.demo import _run\n"
        "async def play():\n"
        "    logging.warning('\\x9b2J\\x1b[2J\\u202e\\x7f é漢')\n"
        "_run(play())\n"
    )
    done = subprocess.run(  # noqa: S603 - our own text
        [sys.executable, "-c", script], capture_output=True, timeout=30, check=True
    )
    assert done.stderr.decode() == "WARNING \\x9b2J\\x1b[2J\\u202e\\x7f é漢\n"


def test_only_one_module_prints() -> None:
    """cors.md 69: every print goes through it and is either escaped or marked as verbatim."""
    found = []
    for path in sorted(COMMANDS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if name in {"print", "click.echo", "click.secho", "sys.stdout.write"}:
                found.append(path.name)
    assert set(found) == {"terminal.py"}
