"""`corsproxy demo`: runs the demo, or one of its servers; `--help` imports none of them."""

import logging
import sys
from typing import TYPE_CHECKING, Literal

import click

from corsproxy.cli.host_port import split_host_port
from corsproxy.cli.terminal import say, say_verbatim
from corsproxy.policy.cors.origins import parse_origin

if TYPE_CHECKING:
    from collections.abc import Coroutine

_CANNOT_START = 3
_PORT = click.IntRange(0, 65535)


class _OriginType(click.ParamType[str]):
    """An http(s) origin as a browser serializes it; it goes into a Content-Security-Policy."""

    name = "origin"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        origin = parse_origin(value.encode("utf-8", "replace"))
        if origin is None or origin.scheme not in {b"http", b"https"}:
            self.fail(
                f"{value!r} is not a valid origin; write http://host:port in lower case, without a "
                "path or a trailing slash",
                param,
                ctx,
            )
        return value


class _ListenType(click.ParamType[tuple[str, int]]):
    """`host:port` or `[ipv6]:port`; the host is an address literal."""

    name = "address"

    def convert(
        self,
        value: str | tuple[str, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        found = split_host_port(value, lowest=0)
        if found is None or not found[0]:
            self.fail(
                f"{value!r} is not a valid address to listen on; write 127.0.0.1:9000 or [::1]:9000",
                param,
                ctx,
            )
        return found


@click.command()
@click.option(
    "--page-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the page on loopback, e.g. 5173.  [default: 3000, or a free one]",
)
@click.option(
    "--api-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the legacy API on loopback, e.g. 9001.  [default: 9000, or a free one]",
)
@click.option(
    "--proxy-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the proxy on loopback, e.g. 8081.  [default: 8080, or a free one]",
)
@click.option(
    "--print-config",
    is_flag=True,
    show_envvar=True,
    help="Print the configuration of the demo's proxy, and exit.",
)
@click.option(
    "--only",
    type=click.Choice(["api", "page"]),
    show_envvar=True,
    help="Run only this server, as docker-compose.yml does, e.g. --only api.",
)
@click.option(
    "--listen",
    type=_ListenType(),
    show_envvar=True,
    help="With --only: the address to listen on, e.g. 0.0.0.0:9000.  [default: 127.0.0.1:9000 or"
    " 127.0.0.1:3000]",
)
@click.option(
    "--page",
    type=_OriginType(),
    default="http://localhost:3000",
    show_default=True,
    show_envvar=True,
    help="With --only page: the origin of the page, which the proxy's policy allows.",
)
@click.option(
    "--api",
    type=_OriginType(),
    default="http://localhost:9000",
    show_default=True,
    show_envvar=True,
    help="With --only page: the origin of the legacy API, as seen by the browser.",
)
@click.option(
    "--proxy",
    type=_OriginType(),
    default="http://localhost:8080",
    show_default=True,
    show_envvar=True,
    help="With --only page: the origin of the proxy, as seen by the browser.",
)
def demo(  # noqa: PLR0913 - one parameter per option
    *,
    page_port: int | None,
    api_port: int | None,
    proxy_port: int | None,
    print_config: bool,
    only: Literal["api", "page"] | None,
    listen: tuple[str, int] | None,
    page: str,
    api: str,
    proxy: str,
) -> None:
    """Show in a browser what CORS blocks, and what the proxy changes.

    Starts a legacy API without proper CORS support, the proxy in front of it, and a page on another
    origin that sends each request both directly and through the proxy. Prints the links; Ctrl-C stops
    all three.

    \b
    Examples:
      corsproxy demo
      corsproxy demo --page-port 5173
      corsproxy demo --only api --listen 0.0.0.0:9000
    """  # noqa: D301 - click wants the character itself
    from corsproxy.demo import stage, words  # noqa: PLC0415 - --help needs no server
    from corsproxy.demo.page import PageSettings  # noqa: PLC0415

    wanted = stage.WantedPorts(page=page_port, api=api_port, proxy=proxy_port)
    if print_config:
        say_verbatim(words.config_text(wanted.or_preferred()))
    elif only is None:
        if listen is not None:
            raise click.UsageError(
                "--listen needs --only; to choose ports for all servers, use --page-port, --api-port "
                "and --proxy-port"
            )
        _run(stage.run_all(wanted, say))
    else:
        settings = PageSettings(page=page, api=api, proxy=proxy)
        _run(stage.run_one(only, listen, settings, say))


def _run(servers: "Coroutine[None, None, None]") -> None:
    """Run `servers` to the end; if they cannot start, print the reason on one line and exit with 3."""
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.observe.logs import TextFormatter  # noqa: PLC0415
    from corsproxy.runtime.sockets import CannotStart  # noqa: PLC0415

    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(TextFormatter())
    logging.basicConfig(level="INFO", handlers=[shown])
    try:
        uvloop.run(servers)
    except CannotStart as error:
        say(f"corsproxy: cannot start the demo: {error}", err=True)
        raise SystemExit(_CANNOT_START) from None
