"""Defines the keys of a header rule."""

from typing import ClassVar, Literal

from corsproxy.config.models.types import HeaderValue, OneOrMany, Section, Text, key
from corsproxy.policy.rules.spec import Operation


class WhenSection(Section):
    """When a rule applies: if all given conditions are true."""

    status: OneOrMany = key(
        [],
        "Status codes or ranges: 404, 500-599; only for responses.",
        "[500-599]",
    )
    content_type: OneOrMany = key(
        [],
        "Media types of the body: text/html, or text/* for every text type.",
        "text/html",
    )
    methods: OneOrMany = key([], "Methods of the request, case-sensitive.", "[GET]")
    origin: Literal["allowed", "refused", "none"] | None = key(
        None,
        "The verdict on the Origin of the request; none if it has no Origin.",
        "allowed",
    )
    header: dict[str, HeaderValue] = key(
        {},
        "Headers and the value that one of their lines must have; * matches any characters.",
        '{X-A: "value*"}',
    )


class ReplaceSection(Section):
    """Text to find in the value of a header, and its replacement."""

    header: Text = key(..., "The name of the header.", "Content-Security-Policy")
    find: Text = key(..., "The literal text to find.", "legacy.internal")
    with_: HeaderValue = key(..., "The replacement.", "api.example.com")


class RuleSection(Section):
    """One rule: exactly one operation, with an optional condition."""

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
        "Headers to set: all lines of that name are replaced by one with this value.",
        '{Cache-Control: "private, no-store"}',
    )
    add: dict[str, HeaderValue] | None = key(
        None,
        "Header lines to add to existing ones.",
        '{Link: "</style.css>; rel=preload"}',
    )
    default: dict[str, HeaderValue] | None = key(
        None,
        "Headers to set only if they are absent.",
        "{X-Content-Type-Options: nosniff}",
    )
    remove: OneOrMany | None = key(
        None,
        "Names of headers to remove.",
        "[Server, X-Powered-By]",
    )
    rename: dict[str, Text] | None = key(
        None,
        "Headers to rename: the old name, then the new one.",
        "{X-Legacy-Total: X-Total-Count}",
    )
    replace: ReplaceSection | None = key(
        None,
        "Text to replace in the values of a header.",
    )
    when: WhenSection | None = key(
        None,
        "When the rule applies; default always.",
    )
