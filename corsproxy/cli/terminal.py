"""Prints the output of commands, escaped if it may contain what other machines sent."""

import click

from corsproxy.policy.printable import json_text, printable_lines


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines of text, with escapes for all characters that are not printable."""
    click.echo(printable_lines(text), err=err, nl=nl)


def say_json(value: object) -> None:
    """Print `value` as indented JSON, with escapes for all characters that are not printable."""
    click.echo(json_text(value, indent=2))


def say_verbatim(text: str) -> None:
    """Print text unchanged: it was made from the user's own file, or escaped before it was coloured."""
    click.echo(text, nl=False)
