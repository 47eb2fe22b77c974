"""From policies as written to policies as compiled. Knows which names exist, and no routes."""

from collections.abc import Mapping
from typing import Final

from corsproxy.config.compile.context import Draft
from corsproxy.config.compile.names import check_known
from corsproxy.config.models.policies import PolicySection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.cors.check import find_mistakes
from corsproxy.policy.cors.decide import Policy
from corsproxy.policy.cors.policy import compile_policy
from corsproxy.policy.cors.spec import PolicyTerms, PreflightTerms
from corsproxy.policy.source import Place

_NESTED: Final = (
    ("preflight", "status"),
    ("preflight", "refused_status"),
    ("preflight", "style"),
    ("preflight", "vary"),
    ("websocket", "check_origin"),
)


class Policies:
    """The policies of a file by name, and what routes may call them."""

    def __init__(self, draft: Draft, sections: Mapping[str, PolicySection]) -> None:
        self._draft = draft
        self._compiled = {
            name: build_policy(draft, section, name, ("policies", name))
            for name, section in sections.items()
        }

    def resolve(self, cors: PolicySection | str, name: str, path: Path) -> Policy | None:
        """Return the policy that the value at `path` names or holds; None with a problem noted."""
        if isinstance(cors, PolicySection):
            return build_policy(self._draft, cors, name, path)
        if cors in self._compiled:
            return self._compiled[cors]
        check_known(self._draft, ("policies", cors), "policy_unknown", path)
        return None


def build_policy(draft: Draft, section: PolicySection, name: str, path: Path) -> Policy | None:
    """Return one policy compiled; None with its problems noted."""
    terms = _terms(draft, section, name, path)
    return compile_policy(terms) if draft.take(find_mistakes(terms), path) else None


def _terms(draft: Draft, section: PolicySection, name: str, path: Path) -> PolicyTerms:
    timing = section.timing_allow_origins
    return PolicyTerms(
        name=name,
        allow_origins=draft.origins((*path, "allow_origins"), section.allow_origins),
        allow_methods=draft.terms((*path, "allow_methods"), section.allow_methods),
        allow_headers=draft.terms((*path, "allow_headers"), section.allow_headers),
        expose_headers=draft.terms((*path, "expose_headers"), section.expose_headers),
        allow_credentials=section.allow_credentials,
        max_age=section.max_age,
        preflight=PreflightTerms(**dict(section.preflight)),
        upstream_cors_headers=section.upstream_cors_headers,
        on_refused=section.on_refused,
        timing_allow_origins=draft.terms((*path, "timing_allow_origins"), timing)
        if isinstance(timing, list)
        else timing,
        resource_policy=section.resource_policy,
        check_websocket_origin=section.websocket.check_origin,
        debug=section.debug,
        dangerously_allow_insecure_origins=section.dangerously_allow_insecure_origins,
        dangerously_allow_public_suffix_wildcards=(
            section.dangerously_allow_public_suffix_wildcards
        ),
        dangerously_allow_null_origin=section.dangerously_allow_null_origin,
        place=draft.key_place(path),
        places=_places(draft, path),
    )


def _places(draft: Draft, path: Path) -> tuple[tuple[str, Place], ...]:
    keys = [(key,) for key in PolicySection.model_fields] + list(_NESTED)
    return tuple(
        (".".join(key), draft.place((*path, *key)))
        for key in keys
        if draft.document.wrote((*path, *key))
    )
