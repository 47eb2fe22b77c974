"""Translates errors of the YAML parser to problems with advice."""

from typing import Final

import yaml

from corsproxy.config.problems.found import problem
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourcePos

# Part of an error message of libyaml -> slug; the first part that the message contains wins.
_SLUGS: Final = (
    ("did not find expected node content", "yaml_no_value"),
    ("while scanning an alias", "yaml_star"),
    ("while scanning an anchor", "yaml_ampersand"),
    ("mapping values are not allowed", "yaml_colon"),
    ("while scanning a quoted scalar: found unexpected end of stream", "yaml_quote_open"),
    ("found unexpected document indicator", "yaml_quote_open"),
    ("unknown escape character", "yaml_escape"),
    ("did not find expected hexdecimal number", "yaml_escape"),
    ("while parsing a flow sequence", "yaml_bracket_open"),
    ("while parsing a flow mapping", "yaml_brace_open"),
    ("could not find expected ':'", "yaml_no_colon"),
    ("while parsing a block", "yaml_indentation"),
)


def explain_error(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Return the problem for an `error` that PyYAML raised for `text`."""
    if isinstance(error, yaml.reader.ReaderError):
        return _control(error, text, file)
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return problem("yaml_other", SourcePos(file, 1, 1), what=str(error))
    mark = error.problem_mark
    said = f"{error.context or ''}: {error.problem or ''}"
    lines = text.splitlines() or [""]
    line = min(mark.line, len(lines) - 1)
    column = mark.column if mark.line == line else len(lines[line])
    pos = SourcePos(file, line + 1, column + 1)
    if "found character that cannot start any token" in said:
        return _stray(lines[line][column : column + 1], pos)
    slug = next((slug for part, slug in _SLUGS if part in said), "yaml_other")
    opened = error.context_mark
    return problem(slug, pos, what=said.strip(": "), line=opened.line + 1 if opened else line + 1)


def _stray(char: str, pos: SourcePos) -> Problem:
    if char == "\t":
        return problem("yaml_tab", pos)
    return problem("yaml_reserved", pos, char=char)


def _control(error: yaml.reader.ReaderError, text: str, file: str) -> Problem:
    """Find the first character that YAML forbids: the error does not contain its line."""
    for number, line in enumerate(text.split("\n"), start=1):
        for column, char in enumerate(line, start=1):
            if not char.isprintable() and char not in "\t\r\x85\ufeff\xa0\u2028\u2029":
                return problem(
                    "yaml_control", SourcePos(file, number, column), char=f"U+{ord(char):04X}"
                )
    return problem("yaml_other", SourcePos(file, 1, 1), what=str(error.reason))
