"""Suggests the smallest change of a policy that would allow a refused request."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from corsproxy.explain.fetch_algorithm import PageRequest
from corsproxy.explain.predict import (
    BrowserFetch,
    check_responses,
    predict_decisions,
    predict_responses,
)
from corsproxy.policy.cors.check import check_policy
from corsproxy.policy.cors.decision import Facts
from corsproxy.policy.cors.policy import Policy
from corsproxy.policy.cors.reasons import Reason, Verdict
from corsproxy.policy.cors.spec import PolicySpec
from corsproxy.policy.cors.steps import (
    ACTUAL_STEPS,
    PREFLIGHT_STEPS,
    is_header_allowed,
    requested_names,
)
from corsproxy.policy.printable import printable_ascii
from corsproxy.policy.source import SourcePos, SourceText

ListKey = Literal["allow_origins", "allow_methods", "allow_headers"]
FlagKey = Literal[
    "allow_credentials",
    "dangerously_allow_insecure_origins",
    "dangerously_allow_null_origin",
]

_PLAIN_SCALAR: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://[A-Za-z0-9.-]+(:[0-9]+)?)?")
_NOT_TEXT: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


_MOST_ROUNDS: Final = 4


class Edit(NamedTuple):
    """A change of one key: items to add to a list or to replace it with, or a flag to set."""

    key: ListKey | FlagKey
    items: tuple[str, ...] = ()
    replaces: bool = False


class Change(NamedTuple):
    """Edits of one policy; `pos` is where the first of them goes.

    `is_new`: the policy does not exist yet, and belongs under `cors` of the route.
    """

    policy: str
    edits: tuple[Edit, ...]
    pos: SourcePos | None
    is_new: bool = False

    def apply(self, spec: PolicySpec) -> PolicySpec:
        """Return `spec` with all edits applied."""
        for edit in self.edits:
            spec = _apply(edit, spec)
        return spec

    def yaml(self) -> str:
        """Return the change as YAML: the keys that change, with the values to add."""
        lines = [line for edit in self.edits for line in _yaml_lines(edit, is_new=self.is_new)]
        if self.is_new:
            lines = ["cors:", *(f"  {line}" for line in lines)]
        return "\n".join(lines) + "\n"

    @property
    def is_dangerous(self) -> bool:
        """Whether the change needs a `dangerously_…` option."""
        return any(edit.key.startswith("dangerously_") for edit in self.edits)


def suggest_change(policy: Policy, fetch: BrowserFetch) -> Change | None:
    """Return the change that lets the page read the response; None if it can, or none would help."""
    spec = policy.spec
    change = Change(policy.name, (), None)
    for _ in range(_MOST_ROUNDS):
        edits = _required_edits(policy, fetch)
        if edits is None:
            return None
        if not edits:
            return change if change.edits else None
        candidate = Change(change.policy, _merged((*change.edits, *edits)), None)
        validated = _validated(candidate, spec)
        if validated is None:
            return None
        change = validated._replace(pos=spec.place_of(validated.edits[0].key))
        # An edit may lead to another refusal: * covers less once the policy allows credentials.
        policy = Policy(change.apply(spec))
    return None


def suggest_policy(name: str, fetch: BrowserFetch) -> Change | None:
    """Return the smallest policy that allows `fetch` on the route `name`, which has none."""
    nothing = Policy(PolicySpec(name=name, allow_origins=()))
    change = suggest_change(nothing, fetch)
    return change._replace(is_new=True) if change else None


def _required_edits(policy: Policy, fetch: BrowserFetch) -> list[Edit] | None:
    """Return the edits against the refusal; [] if nothing is refused, None if no edit would help."""
    decisions = predict_decisions(policy, fetch)
    blocked = check_responses(fetch, predict_responses(policy, fetch, decisions))
    if not blocked and not any(one.verdict is Verdict.refused for one in decisions):
        return []
    steps = ACTUAL_STEPS if fetch.preflight is None else PREFLIGHT_STEPS
    edits: list[Edit] = []
    for step in steps:
        found = _edits_for(step(policy, fetch.first).reason, policy, fetch.first)
        if found is None:
            return None
        edits += found
    return edits or _edits_for_credentials(policy.spec, fetch.page_request)


def _edits_for_credentials(spec: PolicySpec, page_request: PageRequest) -> list[Edit] | None:
    """Return the edits for credentials, if the request has them and the policy does not allow them."""
    if spec.allow_credentials or not page_request.credentials:
        return None
    if any(item.text == "*" for item in spec.allow_origins):
        return [
            Edit("allow_origins", (_text(page_request.origin),), replaces=True),
            Edit("allow_credentials"),
        ]
    return [Edit("allow_credentials")]


def _edits_for(reason: Reason, policy: Policy, facts: Facts) -> list[Edit] | None:
    match reason:
        case Reason.allowed | Reason.no_origin:
            return []
        case Reason.origin_not_allowed:
            return [Edit("allow_origins", (_text(facts.origin[0]),))]
        case Reason.origin_null:
            return [Edit("allow_origins", ("null",)), Edit("dangerously_allow_null_origin")]
        case Reason.method_not_allowed:
            return [Edit("allow_methods", (_text(facts.request_method[0]),))]
        case Reason.header_not_allowed:
            requested = dict.fromkeys(requested_names(facts))
            missing = (_text(name) for name in requested if not is_header_allowed(policy, name))
            return [Edit("allow_headers", tuple(missing))]
        case _:
            return None


def _merged(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Return `edits` with those of the same key merged into one."""
    by_key: dict[str, Edit] = {}
    for edit in edits:
        before = by_key.get(edit.key)
        items = (*before.items, *edit.items) if before else edit.items
        by_key[edit.key] = edit._replace(items=items)
    return tuple(by_key.values())


def _validated(change: Change, spec: PolicySpec) -> Change | None:
    """Return `change`, with the flag it may need; None if the policy would still be invalid."""
    insecure = Edit("dangerously_allow_insecure_origins")
    for edits in (change.edits, (*change.edits, insecure)):
        candidate = change._replace(edits=edits)
        if not any(finding.severity == "error" for finding in check_policy(candidate.apply(spec))):
            return candidate
    return None


def _apply(edit: Edit, spec: PolicySpec) -> PolicySpec:
    added = tuple(SourceText(text) for text in edit.items)
    match edit.key:
        case "allow_origins":
            return replace(
                spec, allow_origins=added if edit.replaces else (*spec.allow_origins, *added)
            )
        case "allow_methods":
            return replace(spec, allow_methods=(*spec.allow_methods, *added))
        case "allow_headers":
            return replace(spec, allow_headers=(*spec.allow_headers, *added))
        case "allow_credentials":
            return replace(spec, allow_credentials=True)
        case "dangerously_allow_insecure_origins":
            return replace(spec, dangerously_allow_insecure_origins=True)
        case "dangerously_allow_null_origin":
            return replace(spec, dangerously_allow_null_origin=True)


def _yaml_lines(edit: Edit, *, is_new: bool) -> list[str]:
    if not edit.items:
        return [f"{edit.key}: true"]
    note = "replace the list with this" if edit.replaces else "add to the list"
    key = f"{edit.key}:" if is_new else f"{edit.key}:  # {note}"
    return [key, *(f"  - {_scalar(item)}" for item in edit.items)]


def _scalar(text: str) -> str:
    """Return `text` as a YAML scalar that parses back to this string."""
    if _PLAIN_SCALAR.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() else printable_ascii(value)
