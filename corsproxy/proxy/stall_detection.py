"""Detects whether a transfer is slower than a minimum rate."""

from typing import Final

# A client that moves fewer bytes per second than this stalls its transfer (forwarding.md O4).
SLOWEST: Final = 1024


class StallDetector:
    """When a transfer last moved at least `slowest` bytes per second. Times are monotonic, in seconds.

    It is sampled: the transfer itself only counts its bytes, which it does anyway.
    """

    __slots__ = ("_moved", "_slowest", "kept_at")

    def __init__(self, now: float, moved: int, slowest: int = SLOWEST) -> None:
        self.kept_at = now
        self._moved = moved
        self._slowest = slowest

    def look(self, now: float, moved: int) -> float:
        """Return when the transfer, which has `moved` so many bytes, last kept the pace."""
        if moved - self._moved >= self._slowest * (now - self.kept_at):
            self.kept_at = now
            self._moved = moved
        return self.kept_at
