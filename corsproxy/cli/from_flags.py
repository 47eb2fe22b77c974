"""Writes the flags of `corsproxy run` as an equivalent configuration file."""

import re
from collections.abc import Iterable
from typing import Final

# These characters are escaped, so that no value can end its quotes or its line.
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")


def as_yaml(upstream: str, allow_origins: Iterable[str], listen: str, *, credentials: bool) -> str:
    """Return the equivalent file; each value stays one YAML string, whatever it contains.

    Health listens on a free loopback port, because there is no flag for its address.
    """
    origins = ", ".join(_quoted(origin) for origin in allow_origins)
    lines = [
        "version: 1",
        f"server: {{listen: {_quoted(listen)}}}",
        'health: {listen: "127.0.0.1:0"}',
        "routes:",
        f"  - upstream: {_quoted(upstream)}",
        "    cors:",
        f"      allow_origins: [{origins}]",
        "      allow_methods: [GET, HEAD, POST, PUT, PATCH, DELETE]",
        '      allow_headers: ["*", authorization]',
    ]
    if credentials:
        lines.append("      allow_credentials: true")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return `text` in double quotes, with `${` escaped: flags contain no variables (configuration.md L2)."""
    return f'"{_UNSAFE.sub(_escaped, text.replace("${", "$${"))}"'


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
