"""Clients of the demo's two applications, on real loopback sockets."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from corsproxy.demo.legacy import make_legacy_app

LegacyClient = TestClient[Request, Application]


@pytest.fixture
async def legacy() -> AsyncIterator[LegacyClient]:
    """Return a client of the legacy API, whose events come without a pause; it keeps cookies."""
    server = TestServer(make_legacy_app(event_interval=0))
    async with TestClient(server, cookie_jar=CookieJar(unsafe=True)) as client:
        yield client


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """Return a client of anything that a test starts by itself."""
    async with ClientSession() as client:
        yield client
