"""The log reports cookies that no rule could rewrite: cors.md 60."""

import logging
from dataclasses import replace

import pytest

from corsproxy.policy.compiled import TcpAddress
from corsproxy.policy.cookies.rewrite import LEFT_BECAUSE
from tests.support.client import RawClient
from tests.support.proxy import config_of, one_route
from tests.support.served import served
from tests.support.upstream import ScriptedUpstream, repeat, request, send

COOKIE = b"__Secure-sid=hidden; Secure"
ANSWER = b"HTTP/1.1 200 OK\r\nSet-Cookie: %b\r\nContent-Length: 0\r\n\r\n" % COOKIE
GET = b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"


async def test_60_a_cookie_left_unchanged_is_reported_once_and_without_its_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """cors.md 60: one warning per route and reason, with what to do; the rest is counted."""
    caplog.set_level(logging.WARNING, "corsproxy")
    async with ScriptedUpstream([repeat(request(), send(ANSWER))]) as upstream:
        route = "name: api\ncors: false\ncookies: [{secure: false}]"
        config = config_of(one_route(upstream.url, route=route))
        server = replace(config.server, listen=(TcpAddress("127.0.0.1", 0),))
        async with served(replace(config, server=server, health=None)) as service:
            (address,) = service.addresses
            assert isinstance(address, TcpAddress)
            async with await RawClient.to((address.host, address.port)) as client:
                for _ in range(3):
                    response = await client.exchange(GET)
                    assert response.head.value("set-cookie") == COOKIE
            assert service.server.state.reports.cookies_left == {("api", "secure_prefix"): 3}
    (warning,) = [
        record.getMessage() for record in caplog.records if "cookie" in record.getMessage()
    ]
    assert warning.startswith("route api: a cookie of its upstream is left unchanged")
    assert LEFT_BECAUSE["secure_prefix"] in warning
    assert "hidden" not in warning
