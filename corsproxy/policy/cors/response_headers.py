"""Puts a decision into the header fields of an answer. Knows fields, not messages and no sockets.

Every answer under a policy passes here, the upstream's and the proxy's own; one authority speaks of
CORS afterwards (cors.md 41-49, 53, 54).
"""

from collections.abc import Iterable
from typing import Final

from corsproxy.policy.cors.decision import Decision, parse_lines
from corsproxy.policy.cors.policy import EXPOSE_HEADERS, Policy
from corsproxy.policy.fetch_lists import FORBIDDEN_RESPONSE_HEADERS, SAFELISTED_RESPONSE_HEADERS
from corsproxy.policy.fields import (
    CORS,
    FIELD_KINDS,
    RESOURCE_POLICY,
    TIMING,
    VARY,
    Field,
)
from corsproxy.policy.tokens import list_elements

_SPECIAL: Final = CORS | VARY | TIMING | RESOURCE_POLICY
_EXPOSE: Final = EXPOSE_HEADERS[:-2].lower()
_ALLOW_ORIGIN: Final = b"access-control-allow-origin"


def rewrite(
    policy: Policy,
    decision: Decision,
    status: int,
    fields: list[Field],
    kinds: int,
) -> bytes:
    """Return the header lines of an answer, each ended by CRLF, the blank line left out.

    `fields` are the answer's, hop-by-hop and framing ones already gone; `kinds` is the OR of their
    `FIELD_KINDS`. 1xx other than 101 are not to be passed here (cors.md 47).
    """
    if kinds & _SPECIAL or policy.expands or status == 101:
        return _rewrite_with_care(policy, decision, status, fields)
    if decision.vary:
        lines = (*map(b": ".join, fields), b"Vary: " + decision.vary, decision.block)
    else:
        lines = (*map(b": ".join, fields), decision.block)
    return b"\r\n".join(lines)


def _rewrite_with_care(
    policy: Policy, decision: Decision, status: int, fields: list[Field]
) -> bytes:
    theirs = [field for field in fields if FIELD_KINDS[field[0]] & CORS]
    others = _without_replaced(policy, fields)
    if status == 101:
        return _serialize(others)  # no CORS speaks of a tunnel (cors.md 54)
    if policy.upstream_cors_headers == "keep" and _may_stand(theirs):
        # Their set is the authority, Vary included (cors.md 44, 49).
        kept = _without_replaced(policy, _collapsed(fields), cors_too=False)
        return _serialize(kept) + decision.extra
    block = decision.block
    if decision.block.startswith(b"Access-Control-"):
        block = _with_exposed(policy, decision, status, others, theirs)
    if decision.vary:
        others = merge_vary(others, decision.vary)
    return _serialize(others) + block


def _without_replaced(policy: Policy, fields: list[Field], *, cors_too: bool = True) -> list[Field]:
    """Return `fields` less those that the policy says itself (cors.md 49, 53)."""
    drop = CORS if cors_too else 0
    if policy.sets_timing:
        drop |= TIMING
    if policy.sets_resource_policy:
        drop |= RESOURCE_POLICY
    return [field for field in fields if not FIELD_KINDS[field[0]] & drop]


def _may_stand(theirs: list[Field]) -> bool:
    """Whether the upstream's set holds one Allow-Origin, with one value (cors.md 49)."""
    values = {value for name, value in theirs if name.lower() == _ALLOW_ORIGIN}
    return len(values) == 1 and not any(b"," in value for value in values)


def _collapsed(fields: list[Field]) -> list[Field]:
    """Return `fields` with exact duplicates among the CORS headers left out."""
    seen: set[Field] = set()
    kept = []
    for field in fields:
        if FIELD_KINDS[field[0]] & CORS:
            key = (field[0].lower(), field[1])
            if key in seen:
                continue
            seen.add(key)
        kept.append(field)
    return kept


def _with_exposed(
    policy: Policy,
    decision: Decision,
    status: int,
    fields: list[Field],
    theirs: list[Field],
) -> bytes:
    """Return the block with the names that this answer exposes (cors.md 28, 49)."""
    merges = policy.upstream_cors_headers == "merge" and bool(theirs)
    if not merges and not policy.expands:
        return decision.block
    if policy.expands and status == 304:
        return decision.block  # a list here would overwrite the longer one of what is stored
    ours = parse_lines(decision.block[: len(decision.block) - len(decision.extra)])
    names = _exposed(ours)
    if policy.expands:
        names += _present(fields, decision)
    if merges:
        names += _exposed(theirs)
    line = EXPOSE_HEADERS + b", ".join(_unique(names)) + b"\r\n" if names else b""
    kept = [field for field in ours if field[0].lower() != _EXPOSE]
    return _serialize(kept) + line + decision.extra


def _exposed(fields: Iterable[Field]) -> list[bytes]:
    """Return the names that `fields` expose."""
    return list_elements([value for name, value in fields if name.lower() == _EXPOSE])


def _present(fields: list[Field], decision: Decision) -> list[bytes]:
    """Return the names of an answer that a page may read and could not without being told of."""
    names = [name for name, _ in fields] + [name for name, _ in parse_lines(decision.extra)]
    if decision.vary:
        names.append(b"Vary")
    hidden = SAFELISTED_RESPONSE_HEADERS | FORBIDDEN_RESPONSE_HEADERS
    return [name for name in names if name.lower() not in hidden]


def merge_vary(fields: list[Field], name: bytes) -> list[Field]:
    """Return `fields` with one Vary line that holds `name`, their own tokens first (cors.md 45)."""
    values = [value for field, value in fields if FIELD_KINDS[field] & VARY]
    tokens = list_elements(values)
    if b"*" in tokens:
        merged = b"*"
    elif name.lower() in {token.lower() for token in tokens}:
        merged = values[0] if len(values) == 1 else b", ".join(tokens)
    else:
        merged = b", ".join([*tokens, name])
    result = []
    written = False
    for field in fields:
        if not FIELD_KINDS[field[0]] & VARY:
            result.append(field)
        elif not written:
            result.append((field[0], merged))
            written = True
    if not written:
        result.append((b"Vary", merged))
    return result


def _unique(names: list[bytes]) -> list[bytes]:
    """Return `names`, each once whatever its case, the first spelling kept."""
    first: dict[bytes, bytes] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return list(first.values())


def _serialize(fields: Iterable[Field]) -> bytes:
    return b"\r\n".join([*map(b": ".join, fields), b""])
