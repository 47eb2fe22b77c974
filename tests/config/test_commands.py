"""`check`, `schema` and `init` as commands: what they print where, and their exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from corsproxy.cli import cli
from corsproxy.config.example import example_text
from corsproxy.config.schema import json_schema, reference_text
from corsproxy.config.templates import KUBERNETES, MINIMAL

GOOD = "version: 1\nroutes: [{upstream: 'http://h', cors: false}]\n"
WARNED = "version: 1\nroutes: [{upstream: 'http://h'}]\n"
BAD = "version: 1\nlog: {level: verbose}\nroutes: [{upstream: 'http://h', cors: false}]\n"
FAILING = (
    "version: 1\nroutes:\n  - upstream: http://h\n    cors: {allow_origins: ['https://a.example']}\n"
    "    tests: [{origin: 'https://b.example', expect: allowed}]\n"
)


def run(*arguments: str, **environ: str | None) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, arguments, env={"CORSPROXY_CONFIG": None, **environ})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a configuration in the working directory of the command."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config.yaml"


@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        (GOOD, (), 0),
        (WARNED, (), 0),
        (WARNED, ("--strict",), 1),
        (GOOD, ("--strict",), 0),
        (BAD, (), 1),
        (FAILING, (), 1),
    ],
)
def test_exit_codes(file: Path, text: str, arguments: tuple[str, ...], code: int) -> None:
    """R1: 0 clean or warnings only, with --strict warnings count, 1 problems."""
    file.write_text(text)
    assert run("check", *arguments).exit_code == code


def test_problems_go_to_standard_output_and_the_summary_to_standard_error(file: Path) -> None:
    """A pipe receives only the problems."""
    file.write_text(BAD)
    done = run("check")
    assert done.stdout.startswith("error[E053]: level cannot be verbose\n --> config.yaml:2:14\n")
    assert done.stderr == "config.yaml: 1 error\n"


def test_the_summary_of_a_valid_file_shows_what_was_read(file: Path) -> None:
    """Without it, an empty output could mean that no file was found."""
    file.write_text(GOOD)
    assert run("check").stderr == "config.yaml: 1 route, 0 tests\n"


def test_a_test_that_fails_is_reported_as_a_problem(file: Path) -> None:
    """L10: `tests:` are run by check."""
    file.write_text(FAILING)
    done = run("check", "--format", "concise")
    assert done.stdout == (
        "config.yaml:5:51: E080 this test expects allowed, but the verdict is refused"
        " (origin_not_allowed)\n"
    )


def test_several_files_are_one_list(file: Path) -> None:
    """R5: several FILEs may be given."""
    file.write_text(BAD)
    (file.parent / "b.yaml").write_text(BAD)
    done = run("check", "--format", "json", "b.yaml", "config.yaml")
    assert [item["file"] for item in json.loads(done.stdout)] == ["b.yaml", "config.yaml"]


def test_the_environment_names_the_file(file: Path) -> None:
    """R2: $CORSPROXY_CONFIG comes before ./config.yaml."""
    file.write_text(GOOD)
    (file.parent / "b.yaml").write_text(BAD)
    assert run("check", CORSPROXY_CONFIG="b.yaml").exit_code == 1


def test_options_have_variables_of_the_environment(file: Path) -> None:
    """R3: every flag has an environment variable that starts with CORSPROXY."""
    file.write_text(BAD)
    done = run("check", CORSPROXY_CHECK_FORMAT="concise")
    assert done.stdout == "config.yaml:2:14: E053 level cannot be verbose\n"


def test_print_writes_only_the_effective_configuration_to_standard_output(file: Path) -> None:
    """R5: `--print`; problems go to standard error, so that the output is a valid file."""
    file.write_text(WARNED)
    done = run("check", "--print")
    assert done.stdout.startswith("version: 1\nserver:\n  listen:\n  - 0.0.0.0:8080\n")
    assert "W003" in done.stderr


def test_print_of_a_broken_file_prints_only_its_problems(file: Path) -> None:
    """There is no effective configuration."""
    file.write_text(BAD)
    done = run("check", "--print")
    assert done.stdout == ""
    assert done.exit_code == 1


@pytest.mark.usefixtures("file")
def test_no_file_at_all_is_a_usage_error() -> None:
    """R1, R2: exit code 2, with advice."""
    done = run("check")
    assert done.exit_code == 2
    assert "`corsproxy init` prints one to start from" in done.stderr


def test_a_file_that_is_not_there_is_a_problem(file: Path) -> None:
    """It was given, so it is not a usage error."""
    done = run("check", str(file), "--format", "concise")
    assert done.exit_code == 1
    assert done.stdout.startswith(f"{file}:1:1: E001 ")


@pytest.mark.parametrize("id_", ["E012", "e012"])
def test_explain_describes_an_id(id_: str) -> None:
    """R5: `check --explain E012`."""
    done = run("check", "--explain", id_)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "E012 duplicate_key (error)"
    assert "What to do: keep one of the two" in done.stdout


def test_explain_of_an_unknown_id_is_a_usage_error() -> None:
    """The message lists the known ids."""
    done = run("check", "--explain", "E999")
    assert done.exit_code == 2
    assert "no problem has this id; ids go from E001 to W" in done.stderr


def test_schema_prints_the_language() -> None:
    """R6: JSON Schema; as Markdown it is docs/configuration.md."""
    assert run("schema").stdout == json_schema()
    assert run("schema", "--format", "markdown").stdout == reference_text()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), MINIMAL),
        (("minimal",), MINIMAL),
        (("full",), example_text()),
        (("kubernetes",), KUBERNETES),
    ],
)
def test_init_prints_a_starting_point(arguments: tuple[str, ...], text: str) -> None:
    """R6: a commented starting point on stdout."""
    assert run("init", *arguments).stdout == text


@pytest.mark.parametrize("name", ["check", "schema", "init"])
def test_help_has_examples_line_by_line(name: str) -> None:
    """R3: every command has --help with an example."""
    assert f"\n    corsproxy {name}" in run(name, "--help").stdout
