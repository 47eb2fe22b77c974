"""Policies and requests for tests, written short. Knows the vocabulary, proves nothing."""

from dataclasses import replace
from typing import Any

from corsproxy.policy.cors.decision import Facts
from corsproxy.policy.cors.policy import Policy, compile_policy
from corsproxy.policy.cors.spec import PolicySpec
from corsproxy.policy.source import SourcePos, SourceText

APP = b"https://app.example.com"
EVIL = b"https://evil.example.org"
_LISTS = ("allow_methods", "allow_headers", "expose_headers", "timing_allow_origins")


def spec_of(*origins: str, **keys: Any) -> PolicySpec:  # noqa: ANN401 - any key of PolicySpec
    """Return a policy's terms: origins are in lines 1, 2, …; lists are given as plain strings."""
    for key in _LISTS:
        if isinstance(keys.get(key), list):
            keys[key] = placed(*keys[key])
    keys.setdefault("name", "spa")
    return PolicySpec(allow_origins=placed(*origins), **keys)


def placed(*texts: str) -> tuple[SourceText, ...]:
    """Return `texts` as terms, one a line."""
    return tuple(
        SourceText(text, SourcePos("config.yaml", line, 7)) for line, text in enumerate(texts, 1)
    )


def policy_of(*origins: str, **keys: Any) -> Policy:  # noqa: ANN401 - any key of PolicySpec
    """Return a compiled policy; `preflight` may be given as a mapping of what differs."""
    preflight = keys.pop("preflight", {})
    spec = spec_of(*origins, **keys)
    return compile_policy(replace(spec, preflight=replace(spec.preflight, **preflight)))


def actual(origin: bytes | None = APP, method: bytes = b"GET", **facts: Any) -> Facts:  # noqa: ANN401 - any item of Facts
    """Return the facts of an ordinary request."""
    return Facts(method, () if origin is None else (origin,), **facts)


def preflight(method: bytes = b"PUT", headers: bytes | None = None, origin: bytes = APP) -> Facts:
    """Return the facts of a preflight."""
    return Facts(b"OPTIONS", (origin,), (method,), () if headers is None else (headers,))
