"""The keys of a header rule."""

from typing import ClassVar, Literal

from corsproxy.config.models.types import HeaderValue, OneOrMany, Section, Text, key
from corsproxy.policy.rules.spec import Operation


class WhenSection(Section):
    """When a rule applies: all that is given must hold."""

    status: OneOrMany = key(
        [],
        "Statuses or ranges of them: 404, 500-599; of answers only.",
        "[500-599]",
    )
    content_type: OneOrMany = key(
        [],
        "Media types of the body: text/html, or text/* for all of a kind.",
        "text/html",
    )
    methods: OneOrMany = key([], "Methods of the request, case-sensitive.", "[GET]")
    origin: Literal["allowed", "refused", "none"] | None = key(
        None,
        "What the policy says about the request's Origin; none: it has none.",
        "allowed",
    )
    header: dict[str, HeaderValue] = key(
        {},
        "Headers with the value one of their lines must have; * stands for any characters.",
        '{X-A: "value*"}',
    )


class ReplaceSection(Section):
    """Text to look for in a header's value, and what to put in its place."""

    header: Text = key(..., "The header's name.", "Content-Security-Policy")
    find: Text = key(..., "Literal text to look for.", "legacy.internal")
    with_: HeaderValue = key(..., "What to put in its place.", "api.example.com")


class RuleSection(Section):
    """One rule: exactly one operation, and perhaps when it applies."""

    alternatives: ClassVar[tuple[Operation, ...]] = (
        "set",
        "add",
        "default",
        "remove",
        "rename",
        "replace",
    )

    set: dict[str, HeaderValue] | None = key(
        None,
        "Headers to set: one line of that name is left, with this value.",
        '{Cache-Control: "private, no-store"}',
    )
    add: dict[str, HeaderValue] | None = key(
        None,
        "Header lines to add to those that are there.",
        '{Link: "</style.css>; rel=preload"}',
    )
    default: dict[str, HeaderValue] | None = key(
        None,
        "Headers to set only where they are absent.",
        "{X-Content-Type-Options: nosniff}",
    )
    remove: OneOrMany | None = key(
        None,
        "Names of headers to remove.",
        "[Server, X-Powered-By]",
    )
    rename: dict[str, Text] | None = key(
        None,
        "Headers to give another name: the old one, then the new one.",
        "{X-Legacy-Total: X-Total-Count}",
    )
    replace: ReplaceSection | None = key(
        None,
        "Text to replace in a header's values.",
    )
    when: WhenSection | None = key(
        None,
        "When the rule applies; default always.",
    )
