"""`${variables}` of a request inside header values. Knows their language, not the headers.

A value is compiled once, to bytes if it has no variable. `$${` gives `${`; a `$` before anything
else is itself (config.md). Text that comes from elsewhere is made inert with `escape`.
"""

import re
from typing import Final, Literal, NamedTuple

OriginVerdict = Literal["allowed", "refused", "none"]


class Context(NamedTuple):
    """What conditions and variables may know of one exchange.

    `status` is 0 while there is no answer yet; `origin` is the verdict, "none" where no Origin was
    sent. Values are the bytes as sent, b"" for what the request has not.
    """

    status: int = 0
    method: bytes = b"GET"
    origin: OriginVerdict = "none"
    request_id: bytes = b""
    request_host: bytes = b""
    request_origin: bytes = b""
    client_address: bytes = b""
    route_name: bytes = b""


# The variable's name and the item of `Context` that holds its value.
VARIABLES: Final[dict[str, int]] = {
    "request.id": Context._fields.index("request_id"),
    "request.host": Context._fields.index("request_host"),
    "request.origin": Context._fields.index("request_origin"),
    "client.address": Context._fields.index("client_address"),
    "route.name": Context._fields.index("route_name"),
}

# All that may not stand in a field value (forwarding.md H8, RFC 9110 5.5).
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TOKEN: Final = re.compile(r"\$\$\{|\$\{([^{}]*)(\}?)")

Template = bytes | tuple[bytes | int, ...]


class UnknownVariable(ValueError):  # noqa: N818 - a value's fault, named by what it is
    """A `${name}` that is no variable, or one without its closing brace; `name` is what was read."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"unknown variable ${{{name}}}; there are {', '.join(VARIABLES)}; $${{ writes ${{",
        )
        self.name = name


def escape(text: str) -> str:
    """Return `text` so written that `compile_value` gives it back, whatever it holds."""
    return text.replace("${", "$${")


def is_sendable(text: str) -> bool:
    """Tell whether a field value can carry `text`: UTF-8 without CR, LF, NUL, other controls."""
    return not has_controls(text.encode("utf-8", "replace")) and not _SURROGATE.search(text)


def has_controls(value: bytes) -> bool:
    """Tell whether `value` holds a byte that no field value may hold (forwarding.md H8)."""
    return len(value.translate(None, _CONTROLS)) != len(value)


def compile_value(text: str) -> Template:
    """Compile a header value; raise `UnknownVariable` for a `${name}` that is none."""
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

    A variable whose value holds a control character counts as empty: the parsers refuse such
    bytes, so this is the second wall. To leave the bytes out could turn a value into another,
    valid one (`https://ev\ril.com`); to skip the rule would leave a client's own header standing.
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
