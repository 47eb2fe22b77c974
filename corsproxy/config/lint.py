"""What is legal and yet hardly meant: names nobody uses, settings without effect. Warnings only."""

from collections.abc import Iterator

from corsproxy.config.build.draft import Draft
from corsproxy.config.models.root import Settings
from corsproxy.config.models.upstreams import UpstreamSection
from corsproxy.config.nodes import Items, Leaf, Path, child
from corsproxy.config.units import write_duration


def lint(draft: Draft, settings: Settings, routes: tuple[int, ...]) -> None:
    """Report what `settings` say in vain. `routes` are the indices of its routes in the file."""
    _unused(draft, settings)
    for index, route in zip(routes, settings.routes, strict=True):
        path = ("routes", index)
        says = draft.document.wrote((*path, "cors")) or draft.document.wrote(("defaults", "cors"))
        if route.cors is None and not says:
            draft.note("route_without_policy", path)
    for name, upstream in settings.upstreams.items():
        _without_effect(draft, upstream, ("upstreams", name))


def _unused(draft: Draft, settings: Settings) -> None:
    """Compare with the file itself: a route that could not be read uses its names all the same."""
    policies = {settings.defaults.cors, *_named(draft, "cors")}
    for name in settings.policies:
        if name not in policies:
            draft.note_key("policy_unused", ("policies", name), found=name)
    upstreams = set(_named(draft, "upstream"))
    for name in settings.upstreams:
        if name not in upstreams:
            draft.note_key("upstream_unused", ("upstreams", name), found=name)


def _named(draft: Draft, key: str) -> Iterator[str]:
    routes = draft.document.node(("routes",))
    for route in routes.children if isinstance(routes, Items) else ():
        value = child(route, key)
        if isinstance(value, Leaf):
            yield value.text


def _without_effect(draft: Draft, upstream: UpstreamSection, path: Path) -> None:
    pool, timeouts = upstream.pool, upstream.timeouts
    if pool.max_idle > pool.max_connections and "max_idle" in pool.model_fields_set:
        draft.note(
            "no_effect",
            (*path, "pool", "max_idle"),
            key="max_idle",
            reason=f"there are {pool.max_connections} connections at most",
            advice=f"write {pool.max_connections} or less",
        )
    for key in ("connect", "response_header", "idle"):
        limit = getattr(timeouts, key)
        if 0 < timeouts.total < limit and key in timeouts.model_fields_set:
            draft.note(
                "no_effect",
                (*path, "timeouts", key),
                key=key,
                reason=f"total ends the exchange after {write_duration(timeouts.total)}",
                advice="write less than total, or raise total",
            )
