"""The command line: its commands by name, each imported on use, so that `health` starts fast."""

import importlib
from typing import Final

import click

from corsproxy.version import __version__

_COMMANDS: Final = {
    "run": "corsproxy.cli.run:run",
    "check": "corsproxy.cli.check:check",
    "demo": "corsproxy.cli.demo:demo",
    "explain": "corsproxy.cli.explain:explain",
    "health": "corsproxy.cli.health:health",
    "init": "corsproxy.cli.init:init",
    "schema": "corsproxy.cli.schema:schema",
    "worker": "corsproxy.cli.worker:worker",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry_point = _COMMANDS.get(cmd_name)
        if entry_point is None:
            return None
        module, _, name = entry_point.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "CORSPROXY",
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="corsproxy")
def cli() -> None:
    """Respond to CORS preflights, forward requests, and explain why one was blocked.

    \b
    Without a configuration file, in front of a legacy API:
      corsproxy run --upstream http://localhost:9000 --allow-origin http://localhost:3000
    With a configuration file:
      corsproxy run -c config.yaml
    To find out why a request is blocked:
      corsproxy explain PUT https://api.example.com/a --origin https://app.example.com
    To try it in a browser:
      corsproxy demo
    """  # noqa: D301 - \b is click's, not a typo
