"""What a supervisor keeps of a worker that died: docs/operations.md M3."""

import pytest

from corsproxy.observe.snapshot import Snapshot
from corsproxy.runtime.frontend import ValidConfig
from corsproxy.runtime.supervisor import Supervisor
from tests.support.proxy import config_of, one_route

LAST: Snapshot = {
    "corsproxy_requests_total": [(("api", "GET", "200"), (5,))],
    "corsproxy_request_duration_seconds": [(("api",), (1, 2, 3))],
    "corsproxy_connections": [((), (7,))],
    "corsproxy_requests_in_flight": [((), (2,))],
}


@pytest.mark.parametrize("deaths", [1, 2])
async def test_a_worker_that_died_leaves_its_counters_and_none_of_its_gauges(deaths: int) -> None:
    """M3: counters never fall, and connections that are gone are not counted."""
    text = one_route("http://127.0.0.1:9")
    supervisor = Supervisor(ValidConfig(config_of(text), text), "config.yaml", 2)
    for _ in range(deaths):
        supervisor._last[0] = LAST
        supervisor._keep_counters(0)
    scraped = await supervisor.scrape()
    assert scraped["corsproxy_requests_total"] == [(("api", "GET", "200"), (5 * deaths,))]
    assert scraped["corsproxy_request_duration_seconds"] == [
        (("api",), (deaths, 2 * deaths, 3 * deaths))
    ]
    assert not {"corsproxy_connections", "corsproxy_requests_in_flight"} & scraped.keys()
