"""The index of all kinds of problems: it is complete and without duplicates."""

import pkgutil
from importlib import import_module

import corsproxy.config
import corsproxy.policy
from corsproxy.config.problems.index import ALL, BY_ID, BY_SLUG
from corsproxy.policy.problems import ProblemKind


def kinds_of_all_modules() -> set[ProblemKind]:
    """Return the kinds in the table of every module that has one."""
    return {
        kind
        for package in (corsproxy.config, corsproxy.policy)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        for kind in getattr(import_module(module.name), "KINDS", {}).values()
    }


def test_the_index_contains_the_kinds_of_all_modules() -> None:
    """L6: stable ids; `check --explain` finds every problem that `check` prints."""
    assert set(ALL) == kinds_of_all_modules()


def test_ids_and_slugs_are_unique() -> None:
    """L6: each id and each slug is one kind."""
    assert len(ALL) == len(BY_ID) == len(BY_SLUG)


def test_an_id_is_the_letter_of_its_severity_and_three_digits() -> None:
    """L6: errors are E…, warnings W…."""
    for kind in ALL:
        assert kind.id[0] == {"error": "E", "warning": "W"}[kind.severity]
        assert len(kind.id) == 4
        assert kind.id[1:].isdigit()
