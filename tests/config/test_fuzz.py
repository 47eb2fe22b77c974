"""No input makes loading raise or hang."""

from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from corsproxy.config.example import example_text
from corsproxy.config.inline_tests import run_tests
from corsproxy.config.keys import known_keys
from corsproxy.config.load import load_text
from corsproxy.config.problems.format import format_problems

GOLDEN: Final = Path(__file__).parent / "golden"
TEXTS: Final = [
    example_text(),
    *(file.read_bytes().decode("latin-1") for file in sorted(GOLDEN.glob("*.yaml"))),
]
BITS: Final = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`#~\n\t ",
        "\n  ", ": ", "- ", "${X}", "${", "$${", "*a", "&a ", "<<: ", "null", "true", "1", "{}", "[]",
        "!!str ", "---\n", "é", "\x00", "\ud7ff", "<off>", "<policy>",
        "routes", "cors", "policies", "upstreams", "allow_origins", "match",
    ],
)  # fmt: skip


def survives(text: str) -> None:
    """Load a text and print all its problems."""
    loaded = load_text(text, "fuzz.yaml", {"X": "x"})
    problems = (*loaded.problems, *run_tests(loaded))
    for style in ("full", "concise", "json", "github"):
        format_problems(problems, style)
    assert (loaded.config is None) == any(item.severity == "error" for item in loaded.problems)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_no_mutated_file_makes_reading_raise(data: st.DataObject) -> None:
    """Pieces removed, repeated, replaced and inserted."""
    text = data.draw(st.sampled_from(TEXTS))
    for _ in range(data.draw(st.integers(1, 4))):
        at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        end = min(end, at + 12)
        text = text[:at] + data.draw(BITS) * data.draw(st.integers(0, 2)) + text[end:]
    survives(text)


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_no_text_makes_reading_raise(text: str) -> None:
    """Also if it has no resemblance to a configuration."""
    survives(text)


SCALARS: Final = st.sampled_from(
    [
        "1",
        "true",
        "null",
        "''",
        "x",
        "spa",
        "https://a.example",
        "'*'",
        "10s",
        "/a/",
        "GET",
        "[]",
        "{}",
    ],
)


def _listed(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def _values(below: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = st.sampled_from(sorted({*_all_keys(), "x", "<name>"}))
    pairs = st.lists(st.tuples(keys, below), max_size=4)
    return st.one_of(
        st.lists(below, max_size=3).map(_listed),
        pairs.map(lambda made: f"{{{', '.join(f'{name}: {value}' for name, value in made)}}}"),
    )


def _all_keys() -> set[str]:
    paths: list[tuple[str | int, ...]] = [
        (),
        ("server",),
        ("policies", "p"),
        ("upstreams", "u"),
        ("routes", 0),
        ("routes", 0, "response_headers", 0),
    ]
    return {key for path in paths for key in known_keys(path)}


@given(st.dictionaries(st.sampled_from(sorted(known_keys(()))), st.recursive(SCALARS, _values)))
@settings(max_examples=120, deadline=None)
def test_no_tree_of_known_keys_makes_reading_raise(tree: dict[str, str]) -> None:
    """Known keys in wrong places with wrong values, as users write them."""
    survives("".join(f"{name}: {value}\n" for name, value in tree.items()))
