"""What is remembered of values of the wire: few and short ones (forwarding.md O6). Pure, no loop."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import corsproxy
from corsproxy.policy.cache import LONGEST_REMEMBERED, Memo, remembered

PACKAGE: Final = Path(corsproxy.__file__).parent

# Caches of the standard library, which bound how many they keep and not how large. Only what no
# peer can choose may be in one.
PLAIN_CACHES: Final = {"policy/suffixes.py": "two lists from disk, by a flag of ours"}


def memos() -> Iterator[tuple[str, Memo[object]]]:
    """Yield every memo that a module of the package holds, with its name."""
    for found in pkgutil.walk_packages(corsproxy.__path__, "corsproxy."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            memo = value if isinstance(value, Memo) else getattr(value, "__self__", None)
            if isinstance(memo, Memo):
                yield f"{found.name}.{name}", memo


MEMOS: Final = {id(memo): (name, memo) for name, memo in memos()}


def test_the_walk_finds_the_memos() -> None:
    """Names that are imported elsewhere are the same memos; one that is missed would be untested."""
    names = {memo.function.__name__ for _, memo in MEMOS.values()}
    assert names >= {"classify", "parse_origin", "read_connection", "host_of", "read_line"}


@pytest.mark.parametrize(("name", "memo"), MEMOS.values())
def test_o6_no_memo_keeps_a_long_value_or_too_many(name: str, memo: Memo[object]) -> None:
    """O6: values of at most 128 bytes, and a bounded number of them."""
    assert memo.most <= 4096, name
    before = len(memo)
    long = memo[b"a" * (LONGEST_REMEMBERED + 1)]
    assert (len(memo), long) == (before, memo.function(b"a" * (LONGEST_REMEMBERED + 1)))
    memo[b"a" * LONGEST_REMEMBERED]
    assert b"a" * LONGEST_REMEMBERED in memo
    for number in range(memo.most + 10):
        memo[b"%d.example" % number]
        assert len(memo) <= memo.most
    assert max(map(len, memo)) <= LONGEST_REMEMBERED


def test_o6_what_is_remembered_is_not_computed_again() -> None:
    """The point of it: one call for a value that recurs, one each time for a long one."""
    asked: list[bytes] = []

    @remembered(2)
    def size(value: bytes) -> int:
        asked.append(value)
        return len(value)

    assert [size(b"a"), size(b"a"), size(b"b"), size(b"a" * 129), size(b"a" * 129)] == [
        1,
        1,
        1,
        129,
        129,
    ]
    assert asked == [b"a", b"b", b"a" * 129, b"a" * 129]
    size(b"c")
    size(b"a")
    assert asked[4:] == [b"c", b"a"]


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


def test_o6_nothing_but_a_memo_remembers_values_of_the_wire() -> None:
    """O6: a plain `lru_cache` keeps values of any size; who needs one says here why no peer can."""
    assert set(_plain_caches()) == set(PLAIN_CACHES)
