"""What one upstream does is felt by its own routes alone: forwarding.md O1, O7, rule 62."""

import pytest

from tests.support.client import RawClient
from tests.support.proxy import one_route, running_proxy
from tests.support.responses import ALWAYS_OK
from tests.support.upstream import ScriptedUpstream, black_hole, head_of_request

pytestmark = pytest.mark.usefixtures("nothing_left")

CROWD = 40


def asking(path: bytes) -> bytes:
    """Return a request for `path`."""
    return b"GET %b HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n\r\n" % path


async def test_a_black_hole_beside_a_healthy_upstream_holds_only_its_own_up() -> None:
    """O1: requests that get no response wait for their time limit; those of the neighbour do not."""
    async with (
        ScriptedUpstream([head_of_request(), black_hole()]) as hole,
        ScriptedUpstream(ALWAYS_OK) as healthy,
    ):
        neighbour = (
            f"  - match: {{path: /dark/}}\n    upstream: {hole.url}\n"
            "    timeouts: {response_header: 1s}\n"
            "    cors: {allow_origins: ['https://app.example']}"
        )
        async with running_proxy(one_route(healthy.url, more=neighbour)) as proxy:
            waiting = [await proxy.client() for _ in range(CROWD)]
            for client in waiting:
                await client.send(asking(b"/dark/"))
            await hole.connection(CROWD - 1)
            await _ask_often(await proxy.client())
            assert not any(client.received for client in waiting), "they were still waiting"
            for client in waiting:
                answer = await client.response()
                assert (answer.status, answer.problem()["error"]) == (504, "upstream_timeout")
                assert answer.head.value("access-control-allow-origin") == b"https://app.example"
                client.close()


async def _ask_often(client: RawClient) -> None:
    async with client:
        for _ in range(CROWD):
            assert (await client.exchange(asking(b"/light"))).status == 200
