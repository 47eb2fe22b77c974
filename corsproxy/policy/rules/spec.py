"""Defines the settings of header rules, as the user wrote them."""

from dataclasses import dataclass
from typing import Literal

from corsproxy.policy.rules.variables import OriginVerdict
from corsproxy.policy.source import SourcePos

Operation = Literal["set", "add", "default", "remove", "rename", "replace"]
Side = Literal["request", "response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenSpec:
    """The conditions of a rule, all of which must match; a part that is empty or None is ignored.

    `status`: inclusive ranges; `content_type`: media types without parameters, `text/*` for a whole
    type; `methods`: case-sensitive; `header`: pairs of a name and a pattern for the value of one
    of its lines, in which `*` matches any characters, including none.
    """

    status: tuple[tuple[int, int], ...] = ()
    content_type: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    origin: OriginVerdict | None = None
    header: tuple[tuple[str, str], ...] = ()
    pos: SourcePos | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """One operation on one header.

    `value` is the value for set, add and default, the new name for rename, `with` for replace;
    `find` is that of replace. The values of set, add, default and replace may contain variables:
    text from the environment must have passed `variables.escape`. `find` and new names are plain
    text. `pos` is the position of the header's name.
    """

    op: Operation
    name: str
    value: str = ""
    find: str = ""
    when: WhenSpec | None = None
    pos: SourcePos | None = None
