"""A login at an API of another site, in real browsers over https: cors.md 58, 60, 61.

The API's own cookie is SameSite=Lax with a path of the upstream's; the rules of one route make it
`SameSite=None; Secure; Partitioned` with the public path, those of the other leave it unchanged.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Final

import pytest
from playwright.sync_api import sync_playwright

from tests.support.certificates import Authority
from tests.support.firefox import firefox
from tests.support.login import legacy_login
from tests.support.programs import program
from tests.support.service import corsproxy

pytestmark = pytest.mark.browser

APP, OTHER, API = "app.shop.test", "www.other.test", "api.legacy.test"

CONFIG: Final = """
version: 1
server:
  listen: 127.0.0.1:0
  tls: {{cert_file: {cert}, key_file: {key}}}
health: {{listen: "off"}}
upstreams:
  legacy: {{url: "{url}"}}
policies:
  spa:
    allow_origins: ["https://app.shop.test:*", "https://www.other.test:*"]
    allow_headers: [x-requested-with]
    allow_credentials: true
routes:
  - {{name: pages, match: {{host: [{app}, {other}]}}, upstream: legacy, cors: false}}
  - name: rewritten
    match: {{host: {api}, path: /api/}}
    upstream: legacy
    cors: spa
    path: {{strip_prefix: /api}}
    cookies: [{{name: "*", same_site: none, partitioned: true}}]
  - name: untouched
    match: {{host: {api}, path: /plain/}}
    upstream: legacy
    cors: spa
    path: {{strip_prefix: /plain}}
"""

# What a script of the page does: log in, following the redirect, then ask who it is.
ASK: Final = """(async () => {
    const ask = async (path, options) => {
        const response = await fetch(%(api)r + path, {credentials: "include", ...options});
        return [response.status, await response.text(), new URL(response.url).pathname];
    };
    const headers = {"X-Requested-With": "fetch"};
    const login = %(login)s ? await ask(%(path)r + "/app/login", {method: "POST", headers}) : null;
    return JSON.stringify([login, await ask(%(path)r + "/app/me", {headers})]);
})()"""

# Loads a page and returns what a script in it gives.
Browse = Callable[[str, str], str]


class Sites:
    """The addresses of the sites, and a browser that trusts the test's CA."""

    def __init__(self, port: int, browse: Browse) -> None:
        self._port = port
        self._browse = browse

    def ask(self, page: str, path: str, *, login: bool = True) -> list[list[object] | None]:
        """Return what a page of the host `page` got for the login and for the request after it."""
        values = {
            "api": f"https://{API}:{self._port}",
            "path": path,
            "login": "true" if login else "false",
        }
        answer = self._browse(f"https://{page}:{self._port}/", ASK % values)
        found: list[list[object] | None] = json.loads(answer)
        return found


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority of the test's own."""
    return Authority(tmp_path_factory.mktemp("authority"), "A test's own authority")


@pytest.fixture(scope="module")
def port(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run the proxy with TLS before the legacy API; return its port."""
    pair = authority.sign("sites", *(f"DNS:{name}" for name in (APP, OTHER, API)))
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    with legacy_login() as url:
        names = {"app": APP, "other": OTHER, "api": API}
        file.write_text(CONFIG.format(url=url, cert=pair.cert, key=pair.key, **names))
        with corsproxy("run", "-c", str(file)) as running:
            yield int(running.wait_for(r"listening on https://\S+:(\d+)")[1])


def trust(authority: Authority, folder: Path) -> None:
    """Make the browser whose certificates are in `folder` trust the CA."""
    certutil = which("certutil")
    assert certutil, "no certutil is installed (Debian: apt-get install libnss3-tools)"
    folder.mkdir(parents=True, exist_ok=True)
    database = ["-d", f"sql:{folder}"]
    added = ["-A", "-t", "C,,", "-n", "test", "-i", str(authority.file)]
    for arguments in (["-N", "--empty-password"], added):
        subprocess.run([certutil, *database, *arguments], check=True, capture_output=True)  # noqa: S603


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def sites(
    request: pytest.FixtureRequest,
    authority: Authority,
    port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sites]:
    """Start each browser with an empty profile."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "chromium":
        yield from _chromium(home, authority, port)
        return
    trust(authority, home)
    program("firefox-esr", "firefox-esr", "firefox")
    with firefox(home, (APP, OTHER, API)) as started:
        assert started is not None

        def browse(url: str, script: str) -> str:
            started.visit(url)
            return started.evaluate(script)

        yield Sites(port, browse)


def _chromium(home: Path, authority: Authority, port: int) -> Iterator[Sites]:
    path = program("chromium", "chromium", "chromium-browser")
    trust(authority, home / ".pki" / "nssdb")
    flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.test 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=path,
            args=flags,
            env={"HOME": str(home)},
        )
        page = started.new_context().new_page()

        def browse(url: str, script: str) -> str:
            page.goto(url)
            return str(page.evaluate(script))

        yield Sites(port, browse)
        started.close()


def test_61_untouched_the_cookie_is_lost_between_two_sites(sites: Sites) -> None:
    """cors.md 61: a SameSite=Lax cookie of another site is not even kept, whatever CORS allows."""
    login, me = sites.ask(APP, "/plain")
    assert login == [401, "nobody", "/plain/app/me"]
    assert me == [401, "nobody", "/plain/app/me"]


def test_60_rewritten_it_is_kept_and_sent_from_the_other_site(sites: Sites) -> None:
    """cors.md 58, 60: SameSite=None; Secure; Partitioned, and the redirect stays on the public name."""
    login, me = sites.ask(APP, "/api")
    assert login == [200, "ada", "/api/app/me"]
    assert me == [200, "ada", "/api/app/me"]
    again = sites.ask(APP, "/api", login=False)
    assert again == [None, [200, "ada", "/api/app/me"]]


def test_60_partitioned_another_page_has_cookies_of_its_own(sites: Sites) -> None:
    """CHIPS: a login on the pages of one site does not count on those of another."""
    sites.ask(APP, "/api")
    assert sites.ask(OTHER, "/api", login=False) == [None, [401, "nobody", "/api/app/me"]]
    assert sites.ask(OTHER, "/api")[1] == [200, "ada", "/api/app/me"]
