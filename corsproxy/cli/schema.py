"""`corsproxy schema`: prints the configuration language as JSON Schema or Markdown."""

from typing import Literal

import click

from corsproxy.cli.terminal import say_verbatim
from corsproxy.config.schema import json_schema, reference_text


@click.command()
@click.option(
    "--format",
    "style",
    type=click.Choice(("json", "markdown")),
    default="json",
    show_default=True,
    envvar="CORSPROXY_SCHEMA_FORMAT",
    show_envvar=True,
    help="Print JSON Schema for editors and linters, or Markdown to read, e.g. --format markdown.",
)
def schema(style: Literal["json", "markdown"]) -> None:
    """Print the configuration language as JSON Schema, with every key's description.

    \b
    Examples:
      corsproxy schema > config.schema.json
      check-jsonschema --schemafile config.schema.json config.yaml
      corsproxy schema --format markdown > docs/configuration.md

    An editor completes and checks a file that starts with the first line of `corsproxy init full`.
    """  # noqa: D301 - click keeps the lines after this escape
    say_verbatim(json_schema() if style == "json" else reference_text())
