"""Compiles and renders header values that contain `${variables}` of a request.

A value is compiled once, to bytes if it has no variable. `$${` yields `${`; any other `$` is
literal (configuration.md). Text from the environment has to be escaped with `escape`.
"""

import re
from typing import Final, Literal, NamedTuple

OriginVerdict = Literal["allowed", "refused", "none"]


class Context(NamedTuple):
    """The values of one exchange that conditions and variables can use.

    `status` is 0 before there is a response; `origin` is the verdict, "none" without an Origin.
    Values are bytes as received, b"" if the request does not have them.
    """

    status: int = 0
    method: bytes = b"GET"
    origin: OriginVerdict = "none"
    request_id: bytes = b""
    request_host: bytes = b""
    request_origin: bytes = b""
    client_address: bytes = b""
    route_name: bytes = b""


# The name of a variable and the index of its value in `Context`.
VARIABLES: Final[dict[str, int]] = {
    "request.id": Context._fields.index("request_id"),
    "request.host": Context._fields.index("request_host"),
    "request.origin": Context._fields.index("request_origin"),
    "client.address": Context._fields.index("client_address"),
    "route.name": Context._fields.index("route_name"),
}

# What a field value must not contain (forwarding.md H8, RFC 9110 5.5).
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")

Template = bytes | tuple[bytes | int, ...]


class UnknownVariable(ValueError):  # noqa: N818 - named by what is wrong with the value
    """Raised for a `${name}` that is not a variable, or without its closing brace."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"unknown variable ${{{name}}}; known are {', '.join(VARIABLES)}; write $${{ for ${{",
        )
        self.name = name


def escape(text: str) -> str:
    """Escape `text` so that `compile_value` compiles it to itself."""
    return text.replace("${", "$${")


def is_sendable(text: str) -> bool:
    """Whether `text` can be sent as a field value: UTF-8 without CR, LF, NUL and other controls."""
    return not has_controls(text.encode("utf-8", "replace")) and not _SURROGATE.search(text)


def has_controls(value: bytes) -> bool:
    """Whether `value` contains a byte that no field value may contain (forwarding.md H8)."""
    return len(value.translate(None, _CONTROLS)) != len(value)


def compile_value(text: str) -> Template:
    """Compile a header value; raise `UnknownVariable` for a `${name}` that is not a variable."""
    parts: list[bytes | int] = []
    literal = ""
    end = 0
    for found in _TOKEN.finditer(text):
        literal += text[end : found.start()]
        end = found.end()
        if found[0] == "$${":
            literal += "${"
            continue
        if not found[2] or found[1] not in VARIABLES:
            raise UnknownVariable(found[1])
        if literal:
            parts.append(literal.encode())
            literal = ""
        parts.append(VARIABLES[found[1]])
    literal += text[end:]
    if not parts:
        return literal.encode()
    return (*parts, literal.encode()) if literal else tuple(parts)


def render(template: Template, context: Context) -> bytes:
    r"""Return the value for one exchange.

    A variable whose value contains a control character is rendered as empty. Parsers reject such bytes,
    so this is a second line of defence. Tempting to drop only the bytes: that could turn the value
    into another valid one (`https://ev\ril.com`). Tempting to skip the rule: then the client's own
    header would be forwarded.
    """
    if isinstance(template, bytes):
        return template
    return b"".join(
        [part if isinstance(part, bytes) else _clean(context[part]) for part in template],
    )


def _clean(value: object) -> bytes:
    if not isinstance(value, bytes) or has_controls(value):
        return b""
    return value
