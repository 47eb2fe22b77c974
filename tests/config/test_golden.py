"""Invalid files and the exact output of `check` for each: the wording is pinned only here.

`python tests/config/test_golden.py` regenerates the texts; read the diff before you commit it.
"""

from pathlib import Path
from typing import Final

import pytest

from corsproxy.config.inline_tests import run_tests
from corsproxy.config.load import load
from corsproxy.config.problems.format import format_problems
from corsproxy.config.problems.index import BY_SLUG

FOLDER: Final = Path(__file__).parent / "golden"
FILES: Final = sorted(FOLDER.glob("*.yaml"))

SECRET: Final = "hunter2"
ENVIRON: Final = {
    "SECRET": SECRET,
    "ORIGINS": "https://a.example, https://B.example",
    "NEWLINE": "a\r\nb",
    "BYTES": "caf\udce9",
    "BIG": "x" * (5 * 1024 * 1024),
}

# These need no content of a file: tested in test_load.py.
ELSEWHERE: Final = {"file_unreadable", "file_too_large"}


def output_for(file: Path) -> str:
    """Return the output of `check` for a file, with its path cut to the name."""
    loaded = load(file, ENVIRON)
    problems = (*loaded.problems, *run_tests(loaded))
    named = [item._replace(pos=item.pos._replace(file=file.name)) for item in problems]
    return format_problems(named, "full").replace(str(file), file.name)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_output_for_every_invalid_file_is_exact(file: Path) -> None:
    """L6: id, position, excerpt with a caret, what is wrong, what to write instead."""
    assert output_for(file) == file.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_value_of_the_environment_is_shown(file: Path) -> None:
    """forwarding.md K2: no message contains a value of ${NAME}."""
    assert SECRET not in output_for(file)


@pytest.mark.parametrize("slug", sorted(BY_SLUG))
def test_every_problem_has_a_file_that_has_it(slug: str) -> None:
    """A file is named after the problem it has; exceptions are listed and not stale."""
    file = FOLDER / f"{slug}.txt"
    if slug in ELSEWHERE:
        assert not file.exists()
    else:
        assert f"[{BY_SLUG[slug].id}]" in file.read_text("utf-8")


if __name__ == "__main__":
    for one in FILES:
        one.with_suffix(".txt").write_text(output_for(one), "utf-8")
