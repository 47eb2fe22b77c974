"""Where a configuration is looked for when none is named. Knows places, reads nothing."""

from pathlib import Path
from typing import Final

DEFAULT_FILES: Final = (Path("config.yaml"), Path("/etc/corsproxy/config.yaml"))


def default_file() -> Path | None:
    """Return the first default file that exists, None if there is none."""
    return next((path for path in DEFAULT_FILES if path.is_file()), None)
