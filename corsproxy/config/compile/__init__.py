"""Compiles validated settings to the immutable configuration that the proxy serves from.

Only this package translates the vocabulary of the file (`models`) to the compiled one (`policy`).
"""

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.compile.names import check_key
from corsproxy.config.compile.policies import Policies
from corsproxy.config.compile.routes import Parts, compile_routes
from corsproxy.config.compile.server import (
    BoundAddresses,
    compile_health,
    compile_log,
    compile_server,
)
from corsproxy.config.compile.upstreams import Upstreams
from corsproxy.config.models.root import Settings
from corsproxy.config.yaml.nodes import Sequence
from corsproxy.policy.compiled import CompiledConfig
from corsproxy.policy.cors.policy import Policy

__all__ = ["CompileContext", "compile_config"]


def compile_config(
    context: CompileContext, settings: Settings, routes: tuple[int, ...]
) -> CompiledConfig | None:
    """Compile `settings`; report errors to `context` and return None if there are any.

    `routes` are the indices in the file of the routes in `settings`.
    """
    listeners = BoundAddresses(context)
    server = compile_server(context, settings, listeners)
    health = compile_health(settings, listeners)
    for section in ("upstreams", "policies"):
        for name in getattr(settings, section):
            check_key(context, name, (section, name))
    upstreams = Upstreams(context, settings.upstreams, listeners)
    policies = Policies(context, settings.policies)
    default = _default_policy(settings, policies)
    has_default = bool(settings.defaults.cors)
    parts = Parts(upstreams, policies, default, has_default, server.limits.max_body)
    written = context.document.node(("routes",))
    if isinstance(written, Sequence) and not written.children:
        context.report_key("routes_empty", ("routes",))
    table = compile_routes(context, settings.routes, routes, parts)
    if table is None or context.found.has_errors:
        return None
    return CompiledConfig(
        server=server,
        routes=table,
        default_policy=default,
        health=health,
        log=compile_log(settings),
        upstreams=upstreams.all(),
    )


def _default_policy(settings: Settings, policies: Policies) -> Policy | None:
    cors = settings.defaults.cors
    if cors is None or cors is False:
        return None
    return policies.resolve(cors, "defaults", ("defaults", "cors"))
