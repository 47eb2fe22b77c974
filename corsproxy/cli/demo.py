"""`corsproxy demo`: which servers to run, and where. Imports them only when it runs."""

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
    """An http origin as a browser writes it; it goes into a content security policy."""

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
                f"{value!r} is no origin; write http://host:port in lower case, without a path "
                "and without a slash at the end",
                param,
                ctx,
            )
        return value


class _ListenType(click.ParamType[tuple[str, int]]):
    """`host:port` or `[ipv6]:port` with an address literal as host."""

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
                f"{value!r} is no address to listen on; write 127.0.0.1:9000 or [::1]:9000",
                param,
                ctx,
            )
        return found


@click.command()
@click.option(
    "--page-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the page on loopback.  [default: 3000, or any free one]",
)
@click.option(
    "--api-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the legacy API on loopback.  [default: 9000, or any free one]",
)
@click.option(
    "--proxy-port",
    type=_PORT,
    show_envvar=True,
    help="Port of the proxy on loopback.  [default: 8080, or any free one]",
)
@click.option(
    "--print-config",
    is_flag=True,
    show_envvar=True,
    help="Print the configuration that the demo's proxy runs with, and end.",
)
@click.option(
    "--only",
    type=click.Choice(["api", "page"]),
    show_envvar=True,
    help="Run one part alone, as docker-compose.yml does.",
)
@click.option(
    "--listen",
    type=_ListenType(),
    show_envvar=True,
    help="With --only: where to listen.  [default: 127.0.0.1:9000 or 127.0.0.1:3000]",
)
@click.option(
    "--page",
    type=_OriginType(),
    default="http://localhost:3000",
    show_default=True,
    show_envvar=True,
    help="With --only page: the page's own origin, which the proxy's policy allows.",
)
@click.option(
    "--api",
    type=_OriginType(),
    default="http://localhost:9000",
    show_default=True,
    show_envvar=True,
    help="With --only page: the legacy API as the browser sees it.",
)
@click.option(
    "--proxy",
    type=_OriginType(),
    default="http://localhost:8080",
    show_default=True,
    show_envvar=True,
    help="With --only page: the proxy as the browser sees it.",
)
def demo(  # noqa: PLR0913 - one parameter an option
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

    Starts a legacy API that knows nothing of CORS, the proxy in front of it, and a page on another
    origin that sends each request both ways, side by side. Prints the links; Ctrl-C ends all.

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
            raise click.UsageError("--listen goes with --only; use --page-port and its like")
        _run(stage.play(wanted, say))
    else:
        settings = PageSettings(page=page, api=api, proxy=proxy)
        _run(stage.play_one(only, listen, settings, say))


def _run(play: "Coroutine[None, None, None]") -> None:
    """Run until it ends; if it cannot start, print why in one line and exit with 3."""
    import uvloop  # noqa: PLC0415 - slow to import, and only needed here

    from corsproxy.observe.logs import TextFormatter  # noqa: PLC0415
    from corsproxy.runtime.sockets import CannotStart  # noqa: PLC0415

    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(TextFormatter())
    logging.basicConfig(level="INFO", handlers=[shown])
    try:
        uvloop.run(play)
    except CannotStart as error:
        say(f"corsproxy: cannot start the demo: {error}", err=True)
        raise SystemExit(_CANNOT_START) from None
