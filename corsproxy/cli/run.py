"""`corsproxy run`: serve a configuration until told to stop. Knows how to ask, not how to serve."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from corsproxy.cli.files import config_option, default_file
from corsproxy.cli.quick import as_yaml

# The rest is imported where it is used: it takes long, and the first thing is to take signals.
if TYPE_CHECKING:
    from corsproxy.config import Fingerprint, Loaded
    from corsproxy.policy.plan import Plan, TcpAddress, UnixAddress
    from corsproxy.service import Service

EXIT_CANNOT_START: Final = 3


@click.command()
@config_option
@click.option(
    "--upstream",
    show_envvar=True,
    metavar="URL",
    help="Without a file: the server to stand in front of, e.g. http://localhost:9000.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    multiple=True,
    show_envvar=True,
    metavar="ORIGIN",
    help="Without a file: an origin whose pages may read answers. May be given several times.",
)
@click.option(
    "--allow-credentials",
    is_flag=True,
    show_envvar=True,
    help="Without a file: let pages send cookies and read the answers to them.",
)
@click.option(
    "--listen",
    default="127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    metavar="HOST:PORT",
    help="Without a file: where to listen. Port 0 takes any free one.",
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

    SIGTERM and SIGINT finish the requests in flight and end with exit code 0. Exit code 3 means
    that the proxy could not start: the address is in use, or the file is missing or wrong.
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
        raise click.UsageError("--allow-origin and --allow-credentials go with --upstream")
    path = config_file or default_file()
    if path is None:
        raise click.UsageError(
            "no configuration: give one with -c FILE, or a server with --upstream URL "
            "--allow-origin ORIGIN (looked for ./config.yaml and /etc/corsproxy/config.yaml)",
        )
    raise SystemExit(_run_file(path))


def _run_flags(text: str) -> int:
    from corsproxy.config import load_text  # noqa: PLC0415

    click.echo("# The same as a file:\n" + text)
    plan = _plan_or_exit(load_text(text, "<flags>", {}))
    return serve(plan, None, None, colour=sys.stdout.isatty())


def _run_file(path: Path) -> int:
    # Until the file is watched, a wish to read it again needs no answer: it is read just now, and
    # what changes afterwards is seen.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from corsproxy.config import fingerprint, load  # noqa: PLC0415

    seen = fingerprint(path)
    return serve(_plan_or_exit(load(path, os.environ)), path, seen, colour=False)


def _plan_or_exit(loaded: "Loaded") -> "Plan":
    from corsproxy.config import format_problems  # noqa: PLC0415

    if loaded.problems:
        click.echo(format_problems(loaded.problems, "full"), err=True, nl=False)
    if loaded.plan is None:
        raise SystemExit(EXIT_CANNOT_START)
    return loaded.plan


def serve(plan: "Plan", path: Path | None, seen: "Fingerprint | None", *, colour: bool) -> int:
    """Serve `plan` until told to stop; return the exit code.

    `path` is the file that it came from and `seen` what it was like then: changes are followed.
    """
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.observe import logs  # noqa: PLC0415
    from corsproxy.service import CannotStart  # noqa: PLC0415
    from corsproxy.signals import ignore_signals  # noqa: PLC0415

    logs.configure(plan.log, sys.stderr.fileno(), is_terminal=sys.stderr.isatty())
    try:
        uvloop.run(_serve(plan, path, seen, colour=colour))
    except CannotStart as error:
        click.echo(f"corsproxy: {error}", err=True)
        return EXIT_CANNOT_START
    finally:
        ignore_signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return 0


async def _serve(
    plan: "Plan",
    path: Path | None,
    seen: "Fingerprint | None",
    *,
    colour: bool,
) -> None:
    from corsproxy.reload import Reloader  # noqa: PLC0415
    from corsproxy.service import Options, Service  # noqa: PLC0415
    from corsproxy.signals import StopSignals  # noqa: PLC0415

    async with Service(plan, Options(access_log=sys.stdout.fileno(), colour=colour)) as service:
        stop = StopSignals()
        _announce(service)
        async with asyncio.TaskGroup() as tasks:
            watch = None
            if path is not None:
                reloader = Reloader(
                    path,
                    os.environ,
                    adopt=service.adopt,
                    tell=service.reloaded,
                    seen=seen,
                )
                watch = tasks.create_task(reloader.run())
            await service.wait(stop)
            if watch is not None:
                watch.cancel()


def _announce(service: "Service") -> None:
    """Say where it listens, and what each route does."""
    for address in service.addresses:
        tls = service.plan.server.tls is not None
        click.echo(f"listening on {_url(address, 'https' if tls else 'http')}", err=True)
    for route in service.plan.routes:
        policy = route.policy.name if route.policy is not None else "no policy"
        click.echo(f"  route {route.name}: -> {route.upstream.name} ({policy})", err=True)
    if service.health_address is not None:
        click.echo(f"health on {_url(service.health_address)}/readyz", err=True)


def _url(address: "TcpAddress | UnixAddress", scheme: str = "http") -> str:
    text = str(address)
    return text if text.startswith("unix:") else f"{scheme}://{text}"
