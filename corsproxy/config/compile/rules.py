"""Translates header rules to specs, one for each header that a rule names."""

import re
from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.models.rules import RuleSection, WhenSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.rules.spec import Operation, RuleSpec, WhenSpec

_STATUSES: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")


def rule_specs(context: CompileContext, rules: list[RuleSection], path: Path) -> list[RuleSpec]:
    """Return one spec for each header that each rule names, in their order."""
    specs: list[RuleSpec] = []
    for index, rule in enumerate(rules):
        at = (*path, index)
        given = [name for name in rule.alternatives if getattr(rule, name) is not None]
        if len(given) != 1:
            context.report("rule_operations", at, found=" and ".join(given) or "none")
            continue
        when = None if rule.when is None else _when(context, rule.when, (*at, "when"))
        specs += _specs(context, rule, when, at)
    return specs


def _specs(
    context: CompileContext,
    rule: RuleSection,
    when: WhenSpec | None,
    path: Path,
) -> list[RuleSpec]:
    if rule.remove is not None:
        names = context.source_texts((*path, "remove"), rule.remove)
        return [RuleSpec(op="remove", name=name.text, when=when, pos=name.pos) for name in names]
    if rule.replace is not None:
        name, find, value = rule.replace.header, rule.replace.find, rule.replace.with_
        pos = context.pos((*path, "replace"))
        return [RuleSpec(op="replace", name=name, find=find, value=value, when=when, pos=pos)]
    specs: list[RuleSpec] = []
    valued: tuple[tuple[Operation, dict[str, str] | None], ...] = (
        ("set", rule.set),
        ("add", rule.add),
        ("default", rule.default),
        ("rename", rule.rename),
    )
    for op, values in valued:
        for name, value in (values or {}).items():
            pos = context.key_pos((*path, op, name))
            specs.append(RuleSpec(op=op, name=name, value=value, when=when, pos=pos))
    return specs


def _when(context: CompileContext, when: WhenSection, path: Path) -> WhenSpec:
    return WhenSpec(
        status=_statuses(context, when.status, (*path, "status")),
        content_type=tuple(when.content_type),
        methods=tuple(when.methods),
        origin=when.origin,
        header=tuple(when.header.items()),
        pos=context.pos(path),
    )


def _statuses(context: CompileContext, texts: list[str], path: Path) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for index, text in enumerate(texts):
        found = _STATUSES.fullmatch(text)
        if found is None:
            at = (*path, index)
            context.report("status_invalid", at, found=context.masked(at, text))
            continue
        ranges.append((int(found[1]), int(found[2] or found[1])))
    return tuple(ranges)
