"""From header rules as written to their terms. Knows which operation a rule has, not its effect."""

import re
from typing import Final

from corsproxy.config.compile.context import Draft
from corsproxy.config.models.rules import RuleSection, WhenSection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.rules.spec import Operation, RuleTerm, WhenTerm

_STATUSES: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")


def rule_terms(draft: Draft, rules: list[RuleSection], path: Path) -> list[RuleTerm]:
    """Return one term for each header that each rule names, in their order."""
    terms: list[RuleTerm] = []
    for index, rule in enumerate(rules):
        at = (*path, index)
        given = [name for name in rule.alternatives if getattr(rule, name) is not None]
        if len(given) != 1:
            draft.note("rule_operations", at, found=" and ".join(given) or "none")
            continue
        when = None if rule.when is None else _when(draft, rule.when, (*at, "when"))
        terms += _terms(draft, rule, when, at)
    return terms


def _terms(
    draft: Draft,
    rule: RuleSection,
    when: WhenTerm | None,
    path: Path,
) -> list[RuleTerm]:
    if rule.remove is not None:
        placed = draft.terms((*path, "remove"), rule.remove)
        return [
            RuleTerm(op="remove", name=term.text, when=when, place=term.place) for term in placed
        ]
    if rule.replace is not None:
        name, find, value = rule.replace.header, rule.replace.find, rule.replace.with_
        place = draft.place((*path, "replace"))
        return [RuleTerm(op="replace", name=name, find=find, value=value, when=when, place=place)]
    terms: list[RuleTerm] = []
    valued: tuple[tuple[Operation, dict[str, str] | None], ...] = (
        ("set", rule.set),
        ("add", rule.add),
        ("default", rule.default),
        ("rename", rule.rename),
    )
    for op, values in valued:
        for name, value in (values or {}).items():
            place = draft.key_place((*path, op, name))
            terms.append(RuleTerm(op=op, name=name, value=value, when=when, place=place))
    return terms


def _when(draft: Draft, when: WhenSection, path: Path) -> WhenTerm:
    return WhenTerm(
        status=_statuses(draft, when.status, (*path, "status")),
        content_type=tuple(when.content_type),
        methods=tuple(when.methods),
        origin=when.origin,
        header=tuple(when.header.items()),
        place=draft.place(path),
    )


def _statuses(draft: Draft, texts: list[str], path: Path) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    for index, text in enumerate(texts):
        found = _STATUSES.fullmatch(text)
        if found is None:
            at = (*path, index)
            draft.note("status_invalid", at, found=draft.shown(at, text))
            continue
        ranges.append((int(found[1]), int(found[2] or found[1])))
    return tuple(ranges)
