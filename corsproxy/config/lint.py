"""Warns of valid settings that are probably mistakes: unused names, keys without effect."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from corsproxy.config.compile.context import CompileContext
from corsproxy.config.models.policies import PolicySection
from corsproxy.config.models.root import Settings
from corsproxy.config.models.upstreams import PoolSection, UpstreamSection
from corsproxy.config.units import write_duration
from corsproxy.config.yaml.nodes import Path, Scalar, Sequence, child

_LIST: Final = "list origins instead of *, or remove the key"


def lint(context: CompileContext, settings: Settings, routes: tuple[int, ...]) -> None:
    """Report unused names and settings without effect.

    `routes` are the indices in the file of the routes in `settings`.
    """
    _unused(context, settings)
    for index, route in zip(routes, settings.routes, strict=True):
        path: Path = ("routes", index)
        has_cors = context.document.wrote((*path, "cors")) or context.document.wrote(
            ("defaults", "cors")
        )
        if route.cors is None and not has_cors:
            context.report("route_without_policy", path)
    for path_of_policy, policy in _policies(settings, routes):
        for key, reason, advice in _ineffective_in_policy(policy):
            at = (*path_of_policy, *key)
            context.report("no_effect", at, key=key[-1], reason=reason, advice=advice)
    if settings.server.tls is not None and settings.server.half_close == "answer":
        reason, advice = "TLS has no half close (forwarding.md H20)", "remove it"
        at = ("server", "half_close")
        context.report("no_effect", at, key="half_close", reason=reason, advice=advice)
    server = settings.server
    if not server.trusted_proxies and "trusted_headers" in server.model_fields_set:
        reason, advice = "trusted_proxies is empty", "list your proxies in trusted_proxies"
        at = ("server", "trusted_headers")
        context.report("no_effect", at, key="trusted_headers", reason=reason, advice=advice)
    for name, upstream in settings.upstreams.items():
        _without_effect(context, upstream, ("upstreams", name))


def _unused(context: CompileContext, settings: Settings) -> None:
    """Report unused names. The file itself is searched, since invalid routes use names as well."""
    policies = set(_named(context, "cors"))
    if isinstance(settings.defaults.cors, str):
        policies.add(settings.defaults.cors)
    for name in settings.policies:
        if name not in policies:
            context.report_key("policy_unused", ("policies", name), found=name)
    upstreams = set(_named(context, "upstream"))
    for name in settings.upstreams:
        if name not in upstreams:
            context.report_key("upstream_unused", ("upstreams", name), found=name)


def _named(context: CompileContext, key: str) -> Iterator[str]:
    routes = context.document.node(("routes",))
    for route in routes.children if isinstance(routes, Sequence) else ():
        value = child(route, key)
        if isinstance(value, Scalar):
            yield value.text


class _Ineffective(NamedTuple):
    """A setting that another one makes ineffective; `key` is its path below their section."""

    key: Path
    reason: str
    advice: str


def _ineffective_in_policy(policy: PolicySection) -> Iterator[_Ineffective]:
    is_any = policy.allow_origins == ["*"]
    if is_any and policy.on_refused == "block":
        yield _Ineffective(("on_refused",), "* allows every origin, so none is refused", _LIST)
    if is_any and "check_origin" in policy.websocket.model_fields_set:
        reason = "* allows every origin, so none is refused (cors.md 54)"
        yield _Ineffective(("websocket", "check_origin"), reason, _LIST)
    if policy.dangerously_allow_null_origin and "null" not in policy.allow_origins:
        reason = "null is not in allow_origins"
        yield _Ineffective(("dangerously_allow_null_origin",), reason, "remove it")
    if policy.dangerously_allow_insecure_origins and not policy.allow_credentials:
        reason = "without allow_credentials such origins are allowed in any case (cors.md 23)"
        yield _Ineffective(("dangerously_allow_insecure_origins",), reason, "remove it")


def _ineffective_in_pool(pool: PoolSection) -> Iterator[_Ineffective]:
    if pool.reuse == "never":
        for key in ("max_idle", "idle"):
            if key in pool.model_fields_set:
                yield _Ineffective(
                    (key,), "with reuse: never, no connection is kept", "remove one of the two"
                )
    elif pool.max_idle > pool.max_connections and "max_idle" in pool.model_fields_set:
        most = pool.max_connections
        yield _Ineffective(("max_idle",), f"max_connections is {most}", f"write {most} or less")


def _policies(settings: Settings, routes: tuple[int, ...]) -> Iterator[tuple[Path, PolicySection]]:
    """Yield every policy with its path, inline policies included."""
    for name, policy in settings.policies.items():
        yield ("policies", name), policy
    if isinstance(settings.defaults.cors, PolicySection):
        yield ("defaults", "cors"), settings.defaults.cors
    for index, route in zip(routes, settings.routes, strict=True):
        if isinstance(route.cors, PolicySection):
            yield ("routes", index, "cors"), route.cors


def _without_effect(context: CompileContext, upstream: UpstreamSection, path: Path) -> None:
    timeouts, tls = upstream.timeouts, upstream.tls
    if tls is not None and not upstream.url.startswith("https://"):
        reason, advice = "the URL is not https", "write https:// in url, or remove it"
        context.report_key("no_effect", (*path, "tls"), key="tls", reason=reason, advice=advice)
    elif tls is not None and tls.insecure_skip_verify and tls.ca_file:
        reason, advice = "insecure_skip_verify accepts any certificate", "remove one of the two"
        at = (*path, "tls", "ca_file")
        context.report("no_effect", at, key="ca_file", reason=reason, advice=advice)
    for item in _ineffective_in_pool(upstream.pool):
        at = (*path, "pool", *item.key)
        context.report("no_effect", at, key=item.key[-1], reason=item.reason, advice=item.advice)
    for key in ("connect", "response_header", "idle"):
        limit = getattr(timeouts, key)
        if 0 < timeouts.total < limit and key in timeouts.model_fields_set:
            context.report(
                "no_effect",
                (*path, "timeouts", key),
                key=key,
                reason=f"total ends the exchange after {write_duration(timeouts.total)}",
                advice="write less than total, or raise total",
            )
