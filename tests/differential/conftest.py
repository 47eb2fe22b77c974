"""Here, too, nothing is left behind and no error reaches the loop, whatever was sent."""

from tests.proxy.conftest import leaks, nothing_left

__all__ = ["leaks", "nothing_left"]
