"""Caches results of pure functions of bytes from the wire, bounded in number and in key length.

Peers choose the keys, so both bounds are needed: `functools.lru_cache` bounds only the number of
entries and would keep keys of any length (forwarding.md O6). No other cache may keep bytes from the
wire between requests.
"""

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

# In bytes. Values that recur are shorter: hosts, origins, addresses, field names.
LONGEST_KEY: Final = 128


class BoundedCache(dict[bytes, T]):
    """A dictionary that calls `function` for a missing key and keeps at most `max_entries` results.

    A hit costs a dictionary look-up and no Python call. A full cache is cleared: maintaining an LRU
    order would slow down every hit, and a client that fills the cache costs recomputations, not memory.
    """

    __slots__ = ("function", "max_entries")

    def __init__(self, function: Callable[[bytes], T], max_entries: int) -> None:
        super().__init__()
        self.function = function
        self.max_entries = max_entries

    def __missing__(self, key: bytes) -> T:
        result = self.function(key)
        if len(key) <= LONGEST_KEY:
            if len(self) >= self.max_entries:
                self.clear()
            self[key] = result
        return result


def cached(max_entries: int) -> Callable[[Callable[[bytes], T]], Callable[[bytes], T]]:
    """Cache up to `max_entries` results of the decorated function of bytes (forwarding.md O6)."""

    def decorate(function: Callable[[bytes], T]) -> Callable[[bytes], T]:
        return BoundedCache(function, max_entries).__getitem__

    return decorate
