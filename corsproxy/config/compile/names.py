"""Checks the names of policies, upstreams and routes: their syntax, and whether they exist."""

import re
from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.spelling import nearest
from corsproxy.config.yaml.nodes import Mapping, Path

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_name(context: CompileContext, name: str, path: Path) -> None:
    """Report `name`, the value at `path`, if it is not a valid name."""
    if not _NAME.fullmatch(name):
        context.report("name_invalid", path, found=context.masked(path, name))


def check_key(context: CompileContext, name: str, path: Path) -> None:
    """Report `name`, the key that `path` ends in, if it is not a valid name."""
    if not _NAME.fullmatch(name):
        context.report_key("name_invalid", path, found=name)


def check_known(context: CompileContext, named: tuple[str, str], slug: str, path: Path) -> None:
    """Report the value at `path` if the file does not define `named`, a pair of section and name.

    A definition with errors counts as well: its errors are reported already.
    """
    section, name = named
    if context.document.wrote(named):
        return
    written = context.document.node((section,)) if context.document.wrote((section,)) else None
    known = list(written.keys) if isinstance(written, Mapping) else []
    meant = nearest(name, known)
    advice = f"did you mean {meant}?" if meant else f"{section} are {', '.join(known)}"
    if not known:
        advice = f"add it to `{section}:`, which has no entries"
    context.report(slug, path, found=context.masked(path, name), advice=advice)
