"""`corsproxy run`: serves a configuration until it is stopped."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from corsproxy.cli.files import config_option, default_file
from corsproxy.cli.from_flags import as_yaml
from corsproxy.cli.terminal import say

# The rest is imported in the functions that use it: that takes long, and signal handlers come first.
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from corsproxy.config.load import Fingerprint, Loaded
    from corsproxy.policy.compiled import CompiledConfig, TcpAddress, UnixAddress
    from corsproxy.runtime.frontend import Frontend

EXIT_CANNOT_START: Final = 3


class Watched(NamedTuple):
    """The file that a configuration was read from, and its fingerprint at that time."""

    path: Path
    seen: "Fingerprint | None"


@click.command()
@config_option
@click.option(
    "--upstream",
    show_envvar=True,
    metavar="URL",
    help="Without a file: the server to forward requests to, e.g. http://localhost:9000.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    multiple=True,
    show_envvar=True,
    metavar="ORIGIN",
    help="Without a file: an origin whose pages may read responses, e.g. http://localhost:3000. Can be"
    " repeated.",
)
@click.option(
    "--allow-credentials",
    is_flag=True,
    show_envvar=True,
    help="Without a file: allow pages to send cookies and to read the responses.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    metavar="HOST:PORT",
    help="Without a file: the address to listen on, e.g. 0.0.0.0:8080. Port 0 means any free port.",
)
def run(
    config_file: Path | None,
    upstream: str | None,
    allow_origins: tuple[str, ...],
    allow_credentials: bool,  # noqa: FBT001 - click calls by keyword
    listen: str,
) -> None:
    """Serve a configuration file, or one upstream without a file.

    \b
    Examples:
      corsproxy run -c config.yaml
      corsproxy run --upstream http://localhost:9000 --allow-origin http://localhost:3000

    On SIGTERM or SIGINT it finishes the requests in flight and exits with 0. Exit code 3 means that
    the proxy could not start: the address is in use, or the file is missing or has errors.
    """  # noqa: D301 - \b is click's, not a typo
    if upstream is not None:
        if not allow_origins:
            raise click.UsageError(
                "--upstream needs at least one --allow-origin: the origin of your page, "
                "e.g. --allow-origin http://localhost:3000",
            )
        text = as_yaml(upstream, allow_origins, listen, credentials=allow_credentials)
        raise SystemExit(_run_flags(text))
    if allow_origins or allow_credentials:
        raise click.UsageError(
            "--allow-origin and --allow-credentials need --upstream; in a file, set them in `cors` of a "
            "route"
        )
    path = config_file or default_file()
    if path is None:
        raise click.UsageError(
            "no configuration file: pass one with -c FILE, or a server with --upstream URL "
            "--allow-origin ORIGIN (looked for ./config.yaml and /etc/corsproxy/config.yaml)",
        )
    raise SystemExit(_run_file(path))


def _run_flags(text: str) -> int:
    from corsproxy.config.load import load_text  # noqa: PLC0415

    say("# The same as a configuration file:\n" + text)
    loaded = load_text(text, "<flags>", {})
    return _exit_code(_run(_service(_config_or_exit(loaded), colour=sys.stdout.isatty()), None))


def _run_file(path: Path) -> int:
    # SIGHUP can be ignored until the file is watched: it is read now, and a later change is found by
    # its fingerprint.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from corsproxy.config.load import fingerprint, load  # noqa: PLC0415

    seen = fingerprint(path)
    loaded = load(path, os.environ)
    config = _config_or_exit(loaded)
    count = _worker_count(config)
    watched = Watched(path, seen)
    if count == 1:
        return _exit_code(_run(_service(config, colour=False), watched))
    supervisor = _supervisor(config, loaded.text, path, count)
    return _exit_code(_run(supervisor, watched), supervises=True)


def _worker_count(config: "CompiledConfig") -> int:
    from corsproxy.runtime.cpus import usable_cpus  # noqa: PLC0415

    workers = config.server.workers
    return usable_cpus() if workers == "auto" else workers


def _config_or_exit(loaded: "Loaded") -> "CompiledConfig":
    from corsproxy.config.problems.format import format_problems  # noqa: PLC0415

    if loaded.problems:
        say(format_problems(loaded.problems, "full"), err=True, nl=False)
    if loaded.config is None:
        raise SystemExit(EXIT_CANNOT_START)
    return loaded.config


def _service(config: "CompiledConfig", *, colour: bool) -> "Callable[[], Frontend]":
    from corsproxy.runtime.frontend import Frontend  # noqa: PLC0415
    from corsproxy.runtime.service import Options, Service  # noqa: PLC0415

    _configure_logs(config)
    options = Options(access_log=sys.stdout.fileno(), colour=colour)
    return lambda: Frontend(Service(config, options))


def _supervisor(
    config: "CompiledConfig", text: str, path: Path, count: int
) -> "Callable[[], Frontend]":
    from corsproxy.runtime.frontend import Frontend, ValidConfig  # noqa: PLC0415
    from corsproxy.runtime.supervisor import Supervisor  # noqa: PLC0415

    _configure_logs(config)
    return lambda: Frontend(Supervisor(ValidConfig(config, text), str(path), count))


def _configure_logs(config: "CompiledConfig") -> None:
    from corsproxy.observe import logs  # noqa: PLC0415

    logs.configure(config.log, sys.stderr.fileno(), is_terminal=sys.stderr.isatty())


def _exit_code(main: "Coroutine[None, None, None]", *, supervises: bool = False) -> int:
    """Run until stopped; return the exit code."""
    import uvloop  # noqa: PLC0415

    from corsproxy.runtime.signals import ignore_signals  # noqa: PLC0415
    from corsproxy.runtime.sockets import CannotStart  # noqa: PLC0415

    try:
        # A supervisor mostly waits for its workers: a faster loop would gain nothing.
        (asyncio.run if supervises else uvloop.run)(main)
    except CannotStart as error:
        say(f"corsproxy: {error}", err=True)
        return EXIT_CANNOT_START
    finally:
        ignore_signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return 0


async def _run(make: "Callable[[], Frontend]", watched: Watched | None) -> None:
    """Serve until stopped, and reload the file when it changes."""
    from corsproxy.runtime.reload import Reloader  # noqa: PLC0415
    from corsproxy.runtime.signals import StopSignals  # noqa: PLC0415

    async with make() as frontend:
        # A program that reads the announcement may send any signal, so all handlers are set first.
        stop = StopSignals()
        reloader = watched and Reloader(watched.path, os.environ, frontend, watched.seen)
        _announce(frontend)
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(reloader.run()) if reloader else None
            await frontend.wait(stop)
            if watch is not None:
                watch.cancel()


def _announce(frontend: "Frontend") -> None:
    """Print the addresses, and the upstream and policy of each route."""
    for address in frontend.addresses:
        tls = frontend.config.server.tls is not None
        say(f"listening on {_url(address, 'https' if tls else 'http')}", err=True)
    for route in frontend.config.routes:
        policy = route.policy.name if route.policy is not None else "no policy"
        say(f"  route {route.name}: -> {route.upstream.name} ({policy})", err=True)
    if frontend.health_address is not None:
        say(f"health on {_url(frontend.health_address)}/readyz", err=True)


def _url(address: "TcpAddress | UnixAddress", scheme: str = "http") -> str:
    text = str(address)
    return text if text.startswith("unix:") else f"{scheme}://{text}"
