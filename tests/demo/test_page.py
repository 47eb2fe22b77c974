"""The page's server sends its few files, the settings, and a strict content security policy."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from corsproxy.demo.page import PageSettings, make_page_app

Page = TestClient[Request, Application]

STATIC = Path(__file__).parents[2] / "corsproxy" / "demo" / "static"
SETTINGS = PageSettings(
    api="http://localhost:9000",
    proxy="http://localhost:8080",
    page="http://localhost:3000",
    config="version: 1\n",
)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Return a client of the page's server."""
    async with TestClient(TestServer(make_page_app(SETTINGS))) as client:
        yield client


async def test_the_settings_are_what_the_server_was_given(page: Page) -> None:
    """The page learns every address from /settings.json and has none built in."""
    async with page.get("/settings.json") as response:
        assert await response.json() == {
            "api": "http://localhost:9000",
            "proxy": "http://localhost:8080",
            "page": "http://localhost:3000",
            "config": "version: 1\n",
        }
    for script in STATIC.glob("*.js"):
        assert not re.search(r"https?://", script.read_text()), script.name


async def test_every_static_file_is_served_and_no_other(page: Page) -> None:
    """Each file of the folder has its route and its type; a path out of it has none."""
    kinds = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
    for file in STATIC.iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        async with page.get(path) as response:
            assert response.status == 200, file.name
            assert await response.read() == file.read_bytes()
            assert response.content_type == kinds.get(file.suffix, "image/svg+xml")
    async with page.get("/%2e%2e/page.py") as response:
        assert response.status == 404


async def test_every_response_carries_a_strict_policy(page: Page) -> None:
    """Scripts only from here, requests only to the two addresses, no frames, no markup from data."""
    for path in ("/", "/app.js", "/settings.json", "/livez"):
        async with page.get(path) as response:
            policy = response.headers["Content-Security-Policy"].split("; ")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "connect-src 'self' http://localhost:9000 http://localhost:8080" in policy
        assert "frame-ancestors 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy


def test_the_page_builds_no_markup_from_text() -> None:
    """No file uses a sink that parses markup, and none has code or style inside the HTML."""
    for file in STATIC.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML",
            file.read_text(),
        ), file.name
    assert not re.search(r"<style|style=|\son\w+=|<script(?! type=\"module\" src=)", _index())


def test_every_element_the_script_looks_for_is_in_the_page() -> None:
    """Each id that app.js asks for exists once in index.html."""
    wanted = set(re.findall(r'byId\("([^"]+)"\)', (STATIC / "app.js").read_text()))
    assert wanted
    for name in wanted:
        assert _index().count(f'id="{name}"') == 1, name


def _index() -> str:
    return (STATIC / "index.html").read_text()
