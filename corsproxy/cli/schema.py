"""`corsproxy schema`: print the configuration language. Knows its formats, not its keys."""

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
    help="JSON Schema for editors and linters, or Markdown to read.",
)
def schema(style: Literal["json", "markdown"]) -> None:
    """Print the configuration language as JSON Schema, with every key's description.

    \b
    Examples:
      corsproxy schema > config.schema.json
      check-jsonschema --schemafile config.schema.json config.yaml
      corsproxy schema --format markdown > docs/configuration.md

    With the first line of `corsproxy init full` an editor completes and checks the file.
    """  # noqa: D301 - click keeps the lines after this escape
    say_verbatim(json_schema() if style == "json" else reference_text())
