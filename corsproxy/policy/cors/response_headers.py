"""Applies a decision to the header fields of a response.

Every response under a policy passes through `rewrite`, both the upstream's and the proxy's own, so
that a single place determines its CORS headers (cors.md 41-49, 53, 54).
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
    """Return the header lines of a response, each ending in CRLF, without the empty line.

    `fields` are the response's, without hop-by-hop and framing fields; `kinds` is the OR of their
    `FIELD_KINDS`. Must not be called for 1xx responses other than 101 (cors.md 47).
    """
    # Few upstreams send fields that have to be replaced or merged; all other responses are one join.
    if kinds & _SPECIAL or policy.expands_expose_headers or status == 101:
        return _rewrite_special(policy, decision, status, fields)
    if decision.vary:
        lines = (*map(b": ".join, fields), b"Vary: " + decision.vary, decision.block)
    else:
        lines = (*map(b": ".join, fields), decision.block)
    return b"\r\n".join(lines)


def _rewrite_special(policy: Policy, decision: Decision, status: int, fields: list[Field]) -> bytes:
    upstream_cors = [field for field in fields if FIELD_KINDS[field[0]] & CORS]
    others = _without_replaced(policy, fields)
    if status == 101:
        # No browser checks CORS on the response to a handshake (cors.md 54).
        return _serialize(others)
    if policy.upstream_cors_headers == "keep" and _is_single_origin(upstream_cors):
        # The upstream's CORS headers are kept, and so is its Vary (cors.md 44, 49): the proxy's would
        # declare a dependency on Origin that the upstream's headers may not have.
        kept = _without_replaced(policy, _without_duplicates(fields), cors_too=False)
        return _serialize(kept) + decision.extra
    block = decision.block
    # Only a block that allows something exposes names; `extra` alone has no CORS header.
    if decision.block.startswith(b"Access-Control-"):
        block = _with_expose_headers(policy, decision, status, others, upstream_cors)
    if decision.vary:
        others = merge_vary(others, decision.vary)
    return _serialize(others) + block


def _without_replaced(policy: Policy, fields: list[Field], *, cors_too: bool = True) -> list[Field]:
    """Return `fields` without those that the policy sets itself (cors.md 49, 53)."""
    drop = CORS if cors_too else 0
    if policy.sets_timing:
        drop |= TIMING
    if policy.sets_resource_policy:
        drop |= RESOURCE_POLICY
    return [field for field in fields if not FIELD_KINDS[field[0]] & drop]


def _is_single_origin(upstream_cors: list[Field]) -> bool:
    """Whether the upstream sent one Access-Control-Allow-Origin with one value (cors.md 49).

    Browsers join two lines and compare the whole
    (https://fetch.spec.whatwg.org/#concept-cors-check, step 4): two values block every page. Two equal
    lines are collapsed, so that they work.
    """
    values = {value for name, value in upstream_cors if name.lower() == _ALLOW_ORIGIN}
    return len(values) == 1 and not any(b"," in value for value in values)


def _without_duplicates(fields: list[Field]) -> list[Field]:
    """Return `fields` without exact duplicates among the CORS headers."""
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


def _with_expose_headers(
    policy: Policy,
    decision: Decision,
    status: int,
    fields: list[Field],
    upstream_cors: list[Field],
) -> bytes:
    """Return the block with the header names that this response exposes (cors.md 28, 49)."""
    merges = policy.upstream_cors_headers == "merge" and bool(upstream_cors)
    if not merges and not policy.expands_expose_headers:
        return decision.block
    if policy.expands_expose_headers and status == 304:
        # A 304 updates the fields of the stored response (RFC 9111 3.2) but has fewer fields itself:
        # its shorter list would replace the complete one (cors.md 46).
        return decision.block
    ours = parse_lines(decision.block[: len(decision.block) - len(decision.extra)])
    names = _exposed_names(ours)
    if policy.expands_expose_headers:
        names += _readable_names(fields, decision)
    if merges:
        names += _exposed_names(upstream_cors)
    line = EXPOSE_HEADERS + b", ".join(_unique(names)) + b"\r\n" if names else b""
    kept = [field for field in ours if field[0].lower() != _EXPOSE]
    return _serialize(kept) + line + decision.extra


def _exposed_names(fields: Iterable[Field]) -> list[bytes]:
    """Return the names in Access-Control-Expose-Headers of `fields`."""
    return list_elements([value for name, value in fields if name.lower() == _EXPOSE])


def _readable_names(fields: list[Field], decision: Decision) -> list[bytes]:
    """Return the header names of a response that a page can read only if they are exposed.

    https://fetch.spec.whatwg.org/#concept-filtered-response-cors
    """
    names = [name for name, _ in fields] + [name for name, _ in parse_lines(decision.extra)]
    if decision.vary:
        names.append(b"Vary")
    hidden = SAFELISTED_RESPONSE_HEADERS | FORBIDDEN_RESPONSE_HEADERS
    return [name for name in names if name.lower() not in hidden]


def merge_vary(fields: list[Field], name: bytes) -> list[Field]:
    """Return `fields` with one Vary line that contains `name`, after the upstream's own names (cors.md 45)."""
    values = [value for field, value in fields if FIELD_KINDS[field] & VARY]
    tokens = list_elements(values)
    # "*" already covers every header (RFC 9110 12.5.5).
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
    """Return `names` without case-insensitive duplicates; the first spelling is kept."""
    first: dict[bytes, bytes] = {}
    for name in names:
        first.setdefault(name.lower(), name)
    return list(first.values())


def _serialize(fields: Iterable[Field]) -> bytes:
    return b"\r\n".join([*map(b": ".join, fields), b""])
