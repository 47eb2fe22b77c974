"""Compiles the header rules of a route and applies them to field lines.

Rules are applied in order, each to the result of those before it. Lines that no rule changes keep
their bytes and their order (forwarding.md H7). `rules.check` finds invalid rules, and `compile_rules`
rejects them.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from corsproxy.policy.fields import Field
from corsproxy.policy.globs import Glob
from corsproxy.policy.problems import Report, ignore, require_sound
from corsproxy.policy.rules.check import check_rules
from corsproxy.policy.rules.spec import Operation, RuleSpec, Side, WhenSpec
from corsproxy.policy.rules.variables import Context, Template, compile_value, render
from corsproxy.policy.source import SourcePos
from corsproxy.policy.tokens import OWS


class _Lines:
    """Field lines and the list of their names in lower case, which is searched at C speed."""

    __slots__ = ("fields", "names")

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = list(fields)
        self.names = [name.lower() for name, _ in fields]

    def values(self, lower: bytes) -> list[bytes]:
        if lower not in self.names:
            return []
        return [
            field[1] for field, name in zip(self.fields, self.names, strict=True) if name == lower
        ]

    def append(self, name: bytes, lower: bytes, value: bytes) -> None:
        self.fields.append((name, value))
        self.names.append(lower)

    def remove(self, lower: bytes, start: int = 0) -> None:
        kept = self.names
        for index in range(len(kept) - 1, start - 1, -1):
            if kept[index] == lower:
                del kept[index], self.fields[index]


class Condition(NamedTuple):
    """A compiled `when`: true if all its parts are."""

    status: tuple[tuple[int, int], ...]
    content_types: frozenset[bytes]
    methods: frozenset[bytes]
    origin: str | None
    headers: tuple[tuple[bytes, Glob], ...]

    def holds(self, lines: _Lines, context: Context) -> bool:
        """Whether the rule applies; the cheap conditions are tested first."""
        if self.origin is not None and self.origin != context.origin:
            return False
        if self.methods and context.method not in self.methods:
            return False
        if self.status and not _is_within(context.status, self.status):
            return False
        if self.content_types and not _is_of_type(lines, self.content_types):
            return False
        for name, pattern in self.headers:
            if not any(pattern.fits(value) for value in lines.values(name)):
                return False
        return True


class Rule(NamedTuple):
    """One compiled rule: `name` as the user wrote it, `lower` for comparing."""

    op: Operation
    name: bytes
    lower: bytes
    value: Template
    find: bytes
    when: Condition | None
    pos: SourcePos | None


def compile_rules(
    specs: Sequence[RuleSpec],
    report: Report = ignore,
    *,
    has_policy: bool = False,
    side: Side | None = None,
) -> tuple[Rule, ...]:
    """Compile rules for `apply`; report what `check_rules` finds, raise `BadSpec` for an error.

    `side` None checks only what applies to both sides: no compiled rule can break a message.
    """
    require_sound(check_rules(specs, has_policy=has_policy, side=side), report)
    return tuple(_compile(spec) for spec in specs)


def _compile(spec: RuleSpec) -> Rule:
    name = spec.name.encode()
    return Rule(
        op=spec.op,
        name=name,
        lower=name.lower(),
        value=spec.value.encode() if spec.op == "rename" else compile_value(spec.value),
        find=spec.find.encode(),
        when=None if spec.when is None else _compile_when(spec.when),
        pos=spec.pos,
    )


def _compile_when(spec: WhenSpec) -> Condition:
    return Condition(
        status=spec.status,
        content_types=frozenset(item.lower().encode() for item in spec.content_type),
        methods=frozenset(method.encode() for method in spec.methods),
        origin=spec.origin,
        headers=tuple(
            (name.lower().encode(), Glob.compile(pattern)) for name, pattern in spec.header
        ),
    )


def apply(rules: tuple[Rule, ...], fields: Sequence[Field], context: Context) -> list[Field]:
    """Return `fields` with `rules` applied; `fields` itself is not changed."""
    lines = _Lines(fields)
    for rule in rules:
        if rule.when is None or rule.when.holds(lines, context):
            _OPERATIONS[rule.op](rule, lines, context)
    return lines.fields


def _set(rule: Rule, lines: _Lines, context: Context) -> None:
    """Replace all lines of that name by one at the position of the first, or append it."""
    lower = rule.lower
    value = render(rule.value, context)
    if lower not in lines.names:
        lines.append(rule.name, lower, value)
        return
    first = lines.names.index(lower)
    lines.fields[first] = (rule.name, value)
    lines.remove(lower, first + 1)


def _add(rule: Rule, lines: _Lines, context: Context) -> None:
    lines.append(rule.name, rule.lower, render(rule.value, context))


def _default(rule: Rule, lines: _Lines, context: Context) -> None:
    if rule.lower not in lines.names:
        lines.append(rule.name, rule.lower, render(rule.value, context))


def _remove(rule: Rule, lines: _Lines, _: Context) -> None:
    if rule.lower in lines.names:
        lines.remove(rule.lower)


def _rename(rule: Rule, lines: _Lines, context: Context) -> None:
    """Rename all lines of that name; existing lines of the new name are replaced, as by `mv`."""
    if rule.lower not in lines.names:
        return
    name = render(rule.value, context)
    lower = name.lower()
    if lower != rule.lower:
        lines.remove(lower)
    for index, old in enumerate(lines.names):
        if old == rule.lower:
            lines.names[index] = lower
            lines.fields[index] = (name, lines.fields[index][1])


def _replace(rule: Rule, lines: _Lines, context: Context) -> None:
    if rule.lower not in lines.names:
        return
    value = render(rule.value, context)
    for index, old in enumerate(lines.names):
        if old == rule.lower:
            name, text = lines.fields[index]
            lines.fields[index] = (name, text.replace(rule.find, value))


_OPERATIONS: Final[dict[Operation, Callable[[Rule, _Lines, Context], None]]] = {
    "set": _set,
    "add": _add,
    "default": _default,
    "remove": _remove,
    "rename": _rename,
    "replace": _replace,
}


def _is_within(status: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    for low, high in ranges:  # noqa: SIM110 - a generator costs more than the comparisons
        if low <= status <= high:
            return True
    return False


def _is_of_type(lines: _Lines, wanted: frozenset[bytes]) -> bool:
    if b"content-type" not in lines.names:
        return False
    value = lines.fields[lines.names.index(b"content-type")][1]
    media_type = value.partition(b";")[0].strip(OWS).lower()
    return media_type in wanted or media_type.partition(b"/")[0] + b"/*" in wanted
