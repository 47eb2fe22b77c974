"""Collects all kinds of problems from the tables of the modules that check settings."""

from collections.abc import Mapping
from typing import Final

from corsproxy.config.problems import file, settings, warnings
from corsproxy.policy.cookies import check as cookies
from corsproxy.policy.cookies import sites
from corsproxy.policy.cors import messages as cors
from corsproxy.policy.problems import ProblemKind
from corsproxy.policy.routing import bypasses, links, paths
from corsproxy.policy.routing import check as routing
from corsproxy.policy.rules import check as rules

_TABLES: Final[tuple[Mapping[str, ProblemKind], ...]] = (
    file.KINDS,
    settings.KINDS,
    warnings.KINDS,
    cors.KINDS,
    rules.KINDS,
    routing.KINDS,
    paths.KINDS,
    links.KINDS,
    cookies.KINDS,
    sites.KINDS,
    bypasses.KINDS,
)

ALL: Final[tuple[ProblemKind, ...]] = tuple(kind for table in _TABLES for kind in table.values())

BY_SLUG: Final[Mapping[str, ProblemKind]] = {kind.slug: kind for kind in ALL}
BY_ID: Final[Mapping[str, ProblemKind]] = {kind.id: kind for kind in ALL}
