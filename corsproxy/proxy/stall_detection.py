"""Measures now and then whether one transfer keeps a minimum pace."""

from typing import Final

# A client that moves fewer bytes than this a second holds its transfer up (forwarding.md O4).
SLOWEST: Final = 1024


class StallDetector:
    """When a transfer last moved at least `slowest` bytes a second. Times only go forward.

    Looking costs the transfer itself nothing: the bytes it has moved are counted anyway.
    """

    __slots__ = ("_moved", "_slowest", "kept_at")

    def __init__(self, now: float, moved: int, slowest: int = SLOWEST) -> None:
        self.kept_at = now
        self._moved = moved
        self._slowest = slowest

    def look(self, now: float, moved: int) -> float:
        """Return when the transfer, of which `moved` bytes have gone, last kept the pace."""
        if moved - self._moved >= self._slowest * (now - self.kept_at):
            self.kept_at = now
            self._moved = moved
        return self.kept_at
