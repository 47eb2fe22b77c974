"""Keeps one pool for each upstream of a worker, and retired pools until their requests have ended."""

from collections.abc import Callable, Iterable, Iterator

from corsproxy.policy.compiled import Upstream
from corsproxy.proxy.deadlines import Clock
from corsproxy.proxy.upstream.breaker import State
from corsproxy.proxy.upstream.pool import Pool
from corsproxy.proxy.upstream.resolve import Resolver


class Pools:
    """One pool for each upstream in use. `on_excess` is called as in `Pool`."""

    def __init__(self, clock: Clock, on_excess: Callable[[Upstream], None]) -> None:
        self.resolver = Resolver()
        self._clock = clock
        self._on_excess = on_excess
        self._by_name: dict[str, Pool] = {}
        # They serve requests that began before a reload, and are dropped once empty (P2).
        self._retired: list[Pool] = []

    def __iter__(self) -> Iterator[Pool]:
        """Return all pools, retired ones included."""
        return iter([*self._by_name.values(), *self._retired])

    def of(self, upstream: Upstream) -> Pool:
        """Return the pool of `upstream`; a changed upstream gets a new one and retires the old one."""
        pool = self._by_name.get(upstream.name)
        if pool is None:
            pool = self._by_name[upstream.name] = self._new(upstream)
        elif pool.upstream is not upstream:
            if pool.upstream == upstream:
                pool.upstream = (
                    upstream  # so that they are compared once per reload, not per request
                )
            else:
                self._retire(pool)
                pool = self._by_name[upstream.name] = self._new(upstream)
        return pool

    def keep(self, upstreams: Iterable[Upstream]) -> None:
        """Retire the pools whose name is not among `upstreams`."""
        kept = {upstream.name for upstream in upstreams}
        for name in [name for name in self._by_name if name not in kept]:
            self._retire(self._by_name.pop(name))

    def circuits(self) -> Iterator[tuple[str, State]]:
        """Return the upstream's name and the circuit's state of each pool that is not retired."""
        return ((name, pool.circuit) for name, pool in self._by_name.items())

    def sweep(self, now: float, max_requests_in_flight: int) -> None:
        """Enforce the time limits of all pools; drop retired pools that are empty."""
        for pool in self:
            pool.sweep(now)
            pool.cut_stalled(now, max_requests_in_flight)
        self._retired = [pool for pool in self._retired if not pool.is_empty]

    def close(self) -> None:
        """Close every connection at once."""
        for pool in self:
            pool.close()

    def _new(self, upstream: Upstream) -> Pool:
        return Pool(upstream, self._clock, self.resolver, self._on_excess)

    def _retire(self, pool: Pool) -> None:
        pool.retire()
        self._retired.append(pool)
