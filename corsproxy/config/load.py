"""Loads a configuration: reads the file, substitutes the environment, validates and compiles it.

No state is kept between calls: the environment is an argument, and so is the text for `load_text`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from corsproxy.config.compile import CompileContext, compile_config
from corsproxy.config.lint import lint
from corsproxy.config.models.root import Settings
from corsproxy.config.problems.found import Found, TooMany, Unreadable, problem
from corsproxy.config.validate import validate
from corsproxy.config.yaml.document import LARGEST_FILE, compose, decode
from corsproxy.config.yaml.environment import substitute
from corsproxy.config.yaml.nodes import Document
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.policy.problems import Problem
from corsproxy.policy.source import SourcePos


class Loaded(NamedTuple):
    """The result of reading a file: `config`, None if there are errors, and all `problems` in order.

    `settings` and `document` are None if they could not be read; `text` is the content of the file.
    """

    config: CompiledConfig | None
    problems: tuple[Problem, ...]
    settings: Settings | None = None
    document: Document | None = None
    text: str = ""


class Fingerprint(NamedTuple):
    """Identifies the content of a file: changes with a swapped symlink, a new file or a write."""

    real_path: str
    inode: int
    modified: int
    size: int


def load(path: Path, environ: Mapping[str, str]) -> Loaded:
    """Load the file at `path`; an unreadable file is reported as a problem."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        fault = problem("file_unreadable", SourcePos(name, 1, 1), file=name, reason=reason)
        return Loaded(None, (fault,))
    try:
        return load_text(decode(data, name), name, environ)
    except Unreadable as fault:
        found = Found(name)
        found.add(fault.problem)
        return Loaded(None, found.in_order(data.decode("utf-8", "replace").splitlines()))


def load_text(text: str, file_name: str, environ: Mapping[str, str]) -> Loaded:
    """Load a configuration from `text`; `file_name` appears in positions."""
    found = Found(file_name)
    read = Loaded(None, (), text=text)
    try:
        read = _read(read, file_name, environ, found)
    except Unreadable as fault:
        found.add(fault.problem)
    except TooMany:
        pass  # the problems found so far are returned
    config = None if found.has_errors else read.config
    return read._replace(config=config, problems=found.in_order(text.splitlines()))


def _read(read: Loaded, file: str, environ: Mapping[str, str], found: Found) -> Loaded:
    document = compose(read.text, file, found)
    substitute(document, environ, found)
    validated = validate(document, found)
    if validated is None:
        return read
    context = CompileContext(document, found)
    config = compile_config(context, validated.settings, validated.routes)
    lint(context, validated.settings, validated.routes)
    return read._replace(config=config, settings=validated.settings, document=document)


def fingerprint(path: Path) -> Fingerprint | None:
    """Return a value that changes with the file, to detect changes; None if the file does not exist.

    A ConfigMap is updated by replacing a symlink, so the real path is included (operations.md R7).
    """
    try:
        real = os.path.realpath(path, strict=True)
        stat = os.stat(real)  # noqa: PTH116 - a Path object each second would be waste
    except OSError:
        return None
    return Fingerprint(real, stat.st_ino, stat.st_mtime_ns, stat.st_size)
