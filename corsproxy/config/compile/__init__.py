"""From what a user wrote to what the proxy reads: the only place that knows both vocabularies."""

from corsproxy.config.compile.context import Draft
from corsproxy.config.compile.names import check_key
from corsproxy.config.compile.policies import Policies
from corsproxy.config.compile.routes import Parts, build_routes
from corsproxy.config.compile.server import Listeners, build_health, build_log, build_server
from corsproxy.config.compile.upstreams import Upstreams
from corsproxy.config.models.root import Settings
from corsproxy.config.yaml.nodes import Items
from corsproxy.policy.compiled import Plan
from corsproxy.policy.cors.decide import Policy

__all__ = ["Draft", "build_plan"]


def build_plan(draft: Draft, settings: Settings, routes: tuple[int, ...]) -> Plan | None:
    """Return `settings` compiled; None with the problems noted in `draft`.

    `routes` are the indices that the routes of `settings` have in the file.
    """
    listeners = Listeners(draft)
    server = build_server(draft, settings, listeners)
    health = build_health(settings, listeners)
    for section in ("upstreams", "policies"):
        for name in getattr(settings, section):
            check_key(draft, name, (section, name))
    upstreams = Upstreams(draft, settings.upstreams, listeners)
    policies = Policies(draft, settings.policies)
    default = _default_policy(settings, policies)
    has_default = bool(settings.defaults.cors)
    parts = Parts(upstreams, policies, default, has_default, server.limits.max_body)
    written = draft.document.node(("routes",))
    if isinstance(written, Items) and not written.children:
        draft.note_key("routes_empty", ("routes",))
    table = build_routes(draft, settings.routes, routes, parts)
    if table is None or draft.found.has_errors:
        return None
    return Plan(
        server=server,
        routes=table,
        default_policy=default,
        health=health,
        log=build_log(settings),
        upstreams=upstreams.all(),
    )


def _default_policy(settings: Settings, policies: Policies) -> Policy | None:
    cors = settings.defaults.cors
    if cors is None or cors is False:
        return None
    return policies.resolve(cors, "defaults", ("defaults", "cors"))
