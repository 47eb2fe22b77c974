"""Compiles the policies of a file, named and inline ones."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.names import check_known
from corsproxy.config.models.policies import PolicySection
from corsproxy.config.yaml.nodes import Path
from corsproxy.policy.cors.policy import Policy, compile_policy
from corsproxy.policy.cors.spec import PolicySpec, PreflightSpec
from corsproxy.policy.source import SourcePos

_NESTED: Final = (
    ("preflight", "status"),
    ("preflight", "refused_status"),
    ("preflight", "style"),
    ("preflight", "vary"),
    ("websocket", "check_origin"),
)


class Policies:
    """The policies of a file by name."""

    def __init__(self, context: CompileContext, sections: Mapping[str, PolicySection]) -> None:
        self._context = context
        self._compiled = {
            name: compile_policy_section(context, section, name, ("policies", name))
            for name, section in sections.items()
        }

    def resolve(self, cors: PolicySection | str, name: str, path: Path) -> Policy | None:
        """Return the policy named by or written at `path`; report it and return None if it is not valid."""
        if isinstance(cors, PolicySection):
            return compile_policy_section(self._context, cors, name, path)
        if cors in self._compiled:
            return self._compiled[cors]
        check_known(self._context, ("policies", cors), "policy_unknown", path)
        return None


def compile_policy_section(
    context: CompileContext, section: PolicySection, name: str, path: Path
) -> Policy | None:
    """Compile one policy; report errors and return None if there are any."""
    spec = _spec(context, section, name, path)
    return context.compiled(partial(compile_policy, spec))


def _spec(context: CompileContext, section: PolicySection, name: str, path: Path) -> PolicySpec:
    timing = section.timing_allow_origins
    return PolicySpec(
        name=name,
        allow_origins=context.origins((*path, "allow_origins"), section.allow_origins),
        allow_methods=context.source_texts((*path, "allow_methods"), section.allow_methods),
        allow_headers=context.source_texts((*path, "allow_headers"), section.allow_headers),
        expose_headers=context.source_texts((*path, "expose_headers"), section.expose_headers),
        allow_credentials=section.allow_credentials,
        max_age=section.max_age,
        preflight=PreflightSpec(**dict(section.preflight)),
        upstream_cors_headers=section.upstream_cors_headers,
        on_refused=section.on_refused,
        timing_allow_origins=context.source_texts((*path, "timing_allow_origins"), timing)
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
        pos=context.key_pos(path),
        positions=_positions(context, path),
    )


def _positions(context: CompileContext, path: Path) -> tuple[tuple[str, SourcePos], ...]:
    keys = [(key,) for key in PolicySection.model_fields] + list(_NESTED)
    return tuple(
        (".".join(key), context.pos((*path, *key)))
        for key in keys
        if context.document.wrote((*path, *key))
    )
