"""`corsproxy init`: prints a configuration to start from."""

from collections.abc import Callable
from typing import Final

import click

from corsproxy.cli.terminal import say_verbatim
from corsproxy.config import templates
from corsproxy.config.example import example_text

_STARTS: Final[dict[str, Callable[[], str]]] = {
    "minimal": lambda: templates.MINIMAL,
    "full": example_text,
    "compose": lambda: templates.COMPOSE,
    "kubernetes": lambda: templates.KUBERNETES,
}


@click.command()
@click.argument("start", type=click.Choice(tuple(_STARTS)), default="minimal")
def init(start: str) -> None:
    """Print a commented configuration to start from.

    minimal has one route and one policy; full has every key; compose is for an API in docker compose;
    kubernetes is for a sidecar.

    \b
    Examples:
      corsproxy init > config.yaml
      corsproxy init kubernetes > config.yaml
    """  # noqa: D301 - click keeps the lines after this escape
    say_verbatim(_STARTS[start]())
