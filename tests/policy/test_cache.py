"""Caches of values from the wire are bounded in number and length (forwarding.md O6)."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import corsproxy
from corsproxy.policy.cache import LONGEST_KEY, BoundedCache, cached

PACKAGE: Final = Path(corsproxy.__file__).parent

# Caches of the standard library, which bound how many they keep and not how large. Only what no
# peer can choose may be in one.
PLAIN_CACHES: Final = {"policy/suffixes.py": "two lists from disk, by a flag of ours"}


def caches() -> Iterator[tuple[str, BoundedCache[object]]]:
    """Yield each bounded cache of the package, with its name."""
    for found in pkgutil.walk_packages(corsproxy.__path__, "corsproxy."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            cache = value if isinstance(value, BoundedCache) else getattr(value, "__self__", None)
            if isinstance(cache, BoundedCache):
                yield f"{found.name}.{name}", cache


CACHES: Final = {id(cache): (name, cache) for name, cache in caches()}


def test_the_walk_finds_the_caches() -> None:
    """A cache imported under two names counts once; a cache that is missed would be untested."""
    names = {cache.function.__name__ for _, cache in CACHES.values()}
    assert names >= {"classify", "parse_origin", "read_connection", "host_of", "read_line"}


@pytest.mark.parametrize(("name", "cache"), CACHES.values())
def test_o6_no_cache_keeps_a_long_value_or_too_many(name: str, cache: BoundedCache[object]) -> None:
    """O6: values of at most 128 bytes, and a bounded number of them."""
    assert cache.max_entries <= 4096, name
    before = len(cache)
    long = cache[b"a" * (LONGEST_KEY + 1)]
    assert (len(cache), long) == (before, cache.function(b"a" * (LONGEST_KEY + 1)))
    cache[b"a" * LONGEST_KEY]
    assert b"a" * LONGEST_KEY in cache
    for number in range(cache.max_entries + 10):
        cache[b"%d.example" % number]
        assert len(cache) <= cache.max_entries
    assert max(map(len, cache)) <= LONGEST_KEY


def test_o6_a_cached_result_is_not_computed_again() -> None:
    """A recurring value costs one call; a long one costs a call each time."""
    calls: list[bytes] = []

    @cached(2)
    def size(value: bytes) -> int:
        calls.append(value)
        return len(value)

    assert [size(b"a"), size(b"a"), size(b"b"), size(b"a" * 129), size(b"a" * 129)] == [
        1,
        1,
        1,
        129,
        129,
    ]
    assert calls == [b"a", b"b", b"a" * 129, b"a" * 129]
    assert [size(b"a"), size(b"b")] == [1, 1]
    assert len(calls) == 4, "as many are cached as may be"
    size(b"c")
    size(b"a")
    assert calls[4:] == [b"c", b"a"]


@pytest.mark.parametrize(("length", "expected"), [(128, 1), (129, 2)])
def test_o6_a_key_of_128_bytes_is_the_longest_that_is_cached(length: int, expected: int) -> None:
    """O6: and no shorter one is computed anew."""
    calls: list[bytes] = []
    cached_call = cached(2)(calls.append)
    for _ in range(2):
        cached_call(b"a" * length)
    assert len(calls) == expected


def _plain_caches() -> Iterator[str]:
    """Yield the files that name a cache of functools, under whatever name it was imported."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "functools":
                named = {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute):
                named = {node.attr}
            else:
                continue
            if named & {"lru_cache", "cache", "cached_property"}:
                yield path.relative_to(PACKAGE).as_posix()


def test_o6_only_bounded_caches_keep_values_of_the_wire() -> None:
    """O6: `lru_cache` keeps keys of any length; each use is listed here with why no peer chooses its keys."""
    assert set(_plain_caches()) == set(PLAIN_CACHES)
