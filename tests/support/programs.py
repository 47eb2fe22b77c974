"""Programs of the system that tests run beside us. Knows where they are, and when one may be missing."""

import os
import shutil

import pytest


def program(package: str, *names: str) -> str:
    """Return the path of the first of `names`; skip the test where none is, but never in CI."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"{names[0]} is not installed: apt-get install {package}")
    assert found, f"{names[0]} is not installed, and CI must not skip this: install {package}"
    return found
