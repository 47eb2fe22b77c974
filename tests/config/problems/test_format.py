"""format_problems(): the four ways to print a problem."""

import json

from corsproxy.config.load import load_text
from corsproxy.config.problems.format import format_problems

TEXT = "version: 1\nlog: {level: verbose, format: 'a%:,'}\nroutes: [{upstream: 'http://h'}]\n"


def reported(style: str) -> str:
    """Return the problems of TEXT."""
    problems = load_text(TEXT, "dir/a,b.yaml", {}).problems
    return format_problems(problems, style)  # type: ignore[arg-type]


def test_concise_is_one_line_per_problem() -> None:
    """L7: `FILE:LINE:COL: E012 message`."""
    assert reported("concise") == (
        "dir/a,b.yaml:2:14: E053 level cannot be verbose\n"
        "dir/a,b.yaml:2:31: E053 format cannot be a%:,\n"
        "dir/a,b.yaml:3:10: W003 this route has no policy, and there is no defaults.cors\n"
    )


def test_json_has_every_part_by_name() -> None:
    """L7: `--format json`."""
    assert json.loads(reported("json"))[0] == {
        "id": "E053",
        "name": "not_a_choice",
        "severity": "error",
        "file": "dir/a,b.yaml",
        "line": 2,
        "column": 14,
        "message": "level cannot be verbose",
        "advice": "write debug, info, warning or error",
    }


def test_github_marks_the_line() -> None:
    """L7: `--format github`; properties and data are escaped as workflow commands are."""
    assert reported("github").splitlines()[1] == (
        "::error file=dir/a%2Cb.yaml,line=2,col=31,title=E053::"
        "format cannot be a%25:,; write auto, text or json"
    )


def test_without_problems_the_output_is_empty_or_an_empty_list() -> None:
    """A valid file prints nothing, or valid JSON with `--format json`."""
    assert [format_problems([], style) for style in ("full", "concise", "github")] == ["", "", ""]
    assert format_problems([], "json") == "[]\n"


def test_control_characters_never_reach_the_terminal() -> None:
    """A hostile file cannot write escape sequences to the terminal."""
    problems = load_text('version: 1\n"\\e[31m": 1\n# \x1b[31m\n', "f.yaml", {}).problems
    for style in ("full", "concise", "json", "github"):
        assert "\x1b" not in format_problems(problems, style)
    keyed = load_text('version: 1\n"\\e[31m": 1\n', "f.yaml", {}).problems
    assert "\x1b" not in format_problems(keyed, "full")
