"""How many tunnels and retries an upstream gets (forwarding.md O4, F3)."""

import pytest

from corsproxy.policy.compiled import PoolLimits
from corsproxy.proxy.upstream.quotas import RetryBudget, TunnelPlaces


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        (PoolLimits(max_connections=10), 5),
        (PoolLimits(max_connections=1), 1),
        (PoolLimits(max_connections=10, tunnels=3), 3),
        (PoolLimits(max_connections=10, tunnels=0), 0),
    ],
)
def test_o4_tunnels_have_half_of_the_pool_unless_configured(
    limits: PoolLimits, places: int
) -> None:
    """O4, `pool.tunnels`: so many may be reserved, and one more for each that is released."""
    tunnels = TunnelPlaces(limits)
    assert tunnels.limit == places
    assert [tunnels.reserve() for _ in range(places + 1)] == [True] * places + [False]
    if places:
        tunnels.release()
        assert [tunnels.reserve(), tunnels.reserve()] == [True, False]


@pytest.mark.parametrize(("open_connections", "most"), [(0, 3), (15, 3), (20, 4), (100, 20)])
def test_f3_a_fifth_of_what_is_open_may_be_retried(open_connections: int, most: int) -> None:
    """F3: three at least, anew after each tick."""
    budget = RetryBudget()
    for _ in range(2):
        spent = [budget.spend(open_connections) for _ in range(most + 1)]
        assert spent == [True] * most + [False]
        budget.renew()
