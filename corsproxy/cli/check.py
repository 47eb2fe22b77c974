"""`corsproxy check`: prints the problems that configuration files have."""

import os
import string
import sys
from pathlib import Path
from typing import Final

import click

from corsproxy.cli.files import DEFAULT_FILES, default_file
from corsproxy.cli.terminal import say, say_verbatim
from corsproxy.config.effective import effective_text
from corsproxy.config.inline_tests import count_tests, run_tests
from corsproxy.config.load import Loaded, load
from corsproxy.config.problems.format import Format, format_problems
from corsproxy.config.problems.index import BY_ID
from corsproxy.policy.problems import Problem

EXIT_PROBLEMS: Final = 1
_FORMATS: Final[tuple[Format, ...]] = ("full", "concise", "json", "github")


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    default="full",
    show_default=True,
    envvar="CORSPROXY_CHECK_FORMAT",
    show_envvar=True,
    help="Print problems with an excerpt (full), on one line each (concise), as JSON, or as"
    " annotations for GitHub, e.g. --format github.",
)
@click.option(
    "--print",
    "print_effective",
    is_flag=True,
    envvar="CORSPROXY_CHECK_PRINT",
    show_envvar=True,
    help="Print the effective configuration, with defaults and with secrets masked; problems go to"
    " standard error.",
)
@click.option("--strict", is_flag=True, show_envvar=True, help="Exit with 1 for warnings, too.")
@click.option(
    "--explain",
    metavar="ID",
    show_envvar=True,
    help="Explain one kind of problem instead of checking files, e.g. --explain E012.",
)
def check(
    files: tuple[Path, ...],
    style: Format,
    print_effective: bool,  # noqa: FBT001 - click calls by keyword
    strict: bool,  # noqa: FBT001
    explain: str | None,
) -> None:
    """Print every problem in configuration files, after running their inline tests.

    Without FILE: $CORSPROXY_CONFIG, else ./config.yaml, else /etc/corsproxy/config.yaml.

    \b
    Examples:
      corsproxy check
      corsproxy check --strict --format github config.yaml
      corsproxy check --print config.yaml
      corsproxy check --explain E012

    Exit code 0: no problem, or only warnings; 1: an error, or a test that failed; 2: wrong usage.
    """  # noqa: D301 - click keeps the lines after this escape
    if explain is not None:
        say(_explanation(explain), nl=False)
        return
    loaded = [(path, load(path, os.environ)) for path in files or (_default(),)]
    found = {path: (*one.problems, *run_tests(one)) for path, one in loaded}
    problems = [problem for one in found.values() for problem in one]
    say(format_problems(problems, style), nl=False, err=print_effective)
    for path, one in loaded:
        if print_effective:
            _print(one)
        if style == "full":
            say(_summary(path, one, found[path]), err=True)
    if any(strict or problem.severity == "error" for problem in problems):
        sys.exit(EXIT_PROBLEMS)


def _default() -> Path:
    named = os.environ.get("CORSPROXY_CONFIG")
    path = Path(named) if named else default_file()
    if path is None:
        looked = " and ".join(map(str, DEFAULT_FILES))
        raise click.UsageError(
            f"no configuration file: pass FILE or set CORSPROXY_CONFIG (looked for {looked});"
            " `corsproxy init` prints one to start from",
        )
    return path


def _print(loaded: Loaded) -> None:
    if loaded.config is not None and loaded.settings is not None and loaded.document is not None:
        say_verbatim(effective_text(loaded.settings, loaded.document))


def _summary(path: Path, loaded: Loaded, problems: tuple[Problem, ...]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    parts = [
        _count(number, what)
        for number, what in ((errors, "error"), (len(problems) - errors, "warning"))
        if number
    ]
    if loaded.config is not None:
        parts += [_count(len(loaded.config.routes), "route"), _count(count_tests(loaded), "test")]
    return f"{path}: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Gaps(dict[str, str]):
    """Provides an ellipsis for each value in a message."""

    def __missing__(self, name: str) -> str:
        return "…"


def _explanation(id_: str) -> str:
    kind = BY_ID.get(id_.upper())
    if kind is None:
        known = sorted(BY_ID)
        raise click.UsageError(
            f"--explain {id_!r}: no problem has this id; ids go from {known[0]} to {known[-1]}"
        )
    message, advice = (
        string.Formatter().vformat(text, (), _Gaps()) for text in (kind.message, kind.advice)
    )
    lines = [f"{kind.id} {kind.slug} ({kind.severity})", "", f"  {message}", ""]
    lines += [kind.why, ""] if kind.why else []
    return "\n".join([*lines, f"What to do: {advice}", ""])
