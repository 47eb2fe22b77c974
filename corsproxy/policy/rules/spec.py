"""Header rules as a user wrote them: plain, placed values. Knows neither checks nor bytes."""

from dataclasses import dataclass
from typing import Literal

from corsproxy.policy.rules.variables import OriginVerdict
from corsproxy.policy.source import SourcePos

Operation = Literal["set", "add", "default", "remove", "rename", "replace"]
Side = Literal["request", "response"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenSpec:
    """When a rule applies: all that is given must hold; what is empty or None is not asked.

    `status`: inclusive ranges, one must hold; `content_type`: media types without parameters,
    `text/*` for a whole type; `methods`: case-sensitive; `header`: names with the value one of
    their lines must have, a `*` in it standing for any characters, none included.
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

    `value` is the value of set, add and default, the new name of rename, the `with` of replace;
    `find` is replace's. The values of set, add, default and replace are in the language of
    `variables`: text that came from the environment must have passed `variables.escape`. `find`
    and new names are plain text. `pos` is where the header's name stands.
    """

    op: Operation
    name: str
    value: str = ""
    find: str = ""
    when: WhenSpec | None = None
    pos: SourcePos | None = None
