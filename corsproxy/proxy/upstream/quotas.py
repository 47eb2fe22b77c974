"""Limits the tunnels and the retries of the requests to one upstream."""

from typing import Final

from corsproxy.policy.compiled import PoolLimits

# How many requests may be retried between two ticks of the clock: a share of the open connections, so
# that not all requests are sent twice to an upstream that restarts (F3).
_RETRIES_ALWAYS: Final = 3
_RETRIES_SHARE: Final = 0.2


class TunnelPlaces:
    """The places for tunnels, both open and requested ones (O4)."""

    __slots__ = ("limit", "taken")

    def __init__(self, limits: PoolLimits) -> None:
        half = max(1, limits.max_connections // 2)
        self.limit = half if limits.tunnels is None else limits.tunnels
        self.taken = 0

    def reserve(self) -> bool:
        """Reserve a place; return False if all are taken."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def release(self) -> None:
        """Release a reserved place."""
        self.taken -= 1


class RetryBudget:
    """How many requests may still be retried before the next tick (F3)."""

    __slots__ = ("_spent",)

    def __init__(self) -> None:
        self._spent = 0

    def spend(self, open_connections: int) -> bool:
        """Spend one retry; return False if none is left for this number of open connections."""
        if self._spent >= max(_RETRIES_ALWAYS, _RETRIES_SHARE * open_connections):
            return False
        self._spent += 1
        return True

    def renew(self) -> None:
        """Restore all retries, at each tick of the clock."""
        self._spent = 0
