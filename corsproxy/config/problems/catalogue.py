"""Every problem a configuration can have: its stable id, its words, and why it is one.

The words of what the policy modules find stand in their own tables; here they only get their ids.
An id is never used twice; that of a problem which is gone stays unused.
"""

from collections.abc import Mapping
from typing import Final

from corsproxy.config.problems.entry import Entry
from corsproxy.config.problems.file import FILE
from corsproxy.config.problems.findings import FINDINGS, words_of
from corsproxy.config.problems.settings import SETTINGS

__all__ = ["ENTRIES", "SLUGS", "Entry"]


def _entry(slug: str, id_: str) -> Entry:
    """Return the entry of what a policy module finds, with the module's own words."""
    words = words_of(slug)
    return Entry(id_, words.message, words.suggestion, "")


ENTRIES: Final[Mapping[str, Entry]] = {
    **FILE,
    **SETTINGS,
    **{slug: _entry(slug, id_) for slug, id_ in FINDINGS.items()},
}

SLUGS: Final[Mapping[str, str]] = {entry.id: slug for slug, entry in ENTRIES.items()}
