"""The `--config` option of the commands, and the files that are read by default."""

from pathlib import Path
from typing import Final

import click

DEFAULT_FILES: Final = (Path("config.yaml"), Path("/etc/corsproxy/config.yaml"))


config_option: Final = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="CORSPROXY_CONFIG",
    show_envvar=True,
    help="The configuration file, e.g. -c proxy.yaml. Default: ./config.yaml, then"
    " /etc/corsproxy/config.yaml.",
)


def default_file() -> Path | None:
    """Return the first default file that exists, None if there is none."""
    return next((path for path in DEFAULT_FILES if path.is_file()), None)
