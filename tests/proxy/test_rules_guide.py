"""The guide's example is what the proxy does: docs/rules.md, cors.md 58, 60."""

import re
from pathlib import Path
from typing import Final

from tests.support.proxy import running_proxy
from tests.support.upstream import ScriptedUpstream, request, send

GUIDE: Final = Path(__file__).parents[2] / "docs" / "rules.md"


def blocks(language: str) -> list[str]:
    """Return the guide's blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)


def wire(text: str) -> bytes:
    """Return a head as it is in the guide as bytes."""
    return text.replace("\n", "\r\n").encode() + b"\r\n"


async def test_the_guide_shows_what_is_sent_and_what_comes_back() -> None:
    """Request, response before and response after, byte for byte; only the address is another."""
    (config,) = blocks("yaml")
    asked, before, after = map(wire, blocks("http"))
    async with ScriptedUpstream([request(), send(before)]) as upstream:
        here = config.replace("http://10.0.0.7:8080", upstream.url)
        assert here != config
        async with running_proxy(here) as proxy, await proxy.client() as client:
            answer = await client.exchange(asked)
            assert answer.head.raw == after
        (seen,) = upstream.requests
        assert seen.request_line == b"POST /shop/login?next=orders HTTP/1.1"
        assert seen.head.value("host") == b"legacy.internal:8080"
        assert seen.head.value("x-forwarded-prefix") == b"/api"
