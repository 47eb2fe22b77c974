"""What a real Chromium allows pages to do through the proxy, and what it prints if it does not."""

import re

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page

from tests.support.demo import DemoProcess, demo

pytestmark = pytest.mark.browser

NO_HEADER = "No 'Access-Control-Allow-Origin' header is present on the requested resource."

ASK = """async ({url, options}) => {
    try {
        const response = await fetch(url, options);
        return [response.status, await response.text()];
    } catch (error) {
        return [0, String(error)];
    }
}"""


class Tab:
    """A page of an origin, and everything its console printed."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.console: list[str] = []
        self.errors: list[str] = []
        self.page.on("console", self._remember)
        self.page.on("pageerror", self._remember_error)
        self.page.goto(url)

    def _remember(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)

    def _remember_error(self, error: Error) -> None:
        self.errors.append(error.message)

    def fetch(self, url: str, **options: object) -> tuple[int, str]:
        """Return status and body as a script of the page sees them, (0, error) if it may not."""
        status, text = self.page.evaluate(ASK, {"url": url, "options": options})
        return status, text

    def wait_for_all(self) -> str:
        """Wait until the demo's page has run every scenario and return its summary."""
        self.page.wait_for_selector("#summary[data-done]")
        return self.page.inner_text("#summary")

    def states(self, side: str) -> dict[str, str]:
        """Return the outcome of each scenario of the demo's page on one side."""
        found: dict[str, str] = self.page.eval_on_selector_all(
            f'[data-side="{side}"]',
            "sides => Object.fromEntries(sides.map(side => "
            '[side.closest("article").id, side.dataset.state]))',
        )
        return found


def quiet_page(running: DemoProcess) -> str:
    """Return an address of the page's origin that runs no scripts of its own."""
    return f"{running.link('page')}/icon.svg"


def test_the_demo_page_shows_both_ways_side_by_side(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """Everything works through the proxy except the request refused on purpose; nothing works directly."""
    tab = Tab(context, running.link("page"))
    summary = tab.wait_for_all()
    direct, proxied = tab.states("direct"), tab.states("proxied")
    assert proxied.pop("refused") == "refused"
    assert set(proxied.values()) == {"works"}
    assert direct.pop("header") == "hidden"
    assert set(direct.values()) == {"blocked"}
    assert summary == (
        "Directly: 0 of 7 work. Through corsproxy: 6 of 7 work, 1 refused by the policy."
    )


def test_the_page_quotes_chromium_word_by_word(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """Chromium really prints each console line that the page quotes, about that address."""
    tab = Tab(context, running.link("page"))
    tab.wait_for_all()
    quoted: list[list[str]] = tab.page.eval_on_selector_all(
        ".side .quote:not(:empty)",
        "quotes => quotes.map(quote => [quote.closest('.side').dataset.side, quote.textContent])",
    )
    assert len(quoted) == 7
    hosts = {"direct": running.link("legacy API"), "proxied": running.link("corsproxy")}
    for side, text in quoted:
        words = text.removeprefix("Console: ")
        assert any(hosts[side] in line and line.endswith(words) for line in tab.console), words


def test_the_page_runs_under_its_own_security_policy(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """Chromium reports no breach of the content security policy and no error of a script."""
    tab = Tab(context, running.link("page"))
    tab.wait_for_all()
    assert not tab.errors
    assert not [line for line in tab.console if "Content Security Policy" in line]


def test_events_arrive_one_by_one(context: BrowserContext, running: DemoProcess) -> None:
    """The page reads each server-sent event when it was sent: the last long after the first."""
    tab = Tab(context, running.link("page"))
    tab.wait_for_all()
    output = tab.page.inner_text('#stream [data-side="proxied"] .output')
    times = [float(time) for time in re.findall(r"^\+([\d.]+) s", output, re.MULTILINE)]
    assert len(times) == 5
    assert times == sorted(times)
    assert times[-1] - times[0] >= 1.0


def test_a_simple_get_is_readable_only_through_the_proxy(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """The same GET, both ways: body through the proxy, an error directly (cors.md 32, 41)."""
    tab = Tab(context, quiet_page(running))
    api = f"{running.link('legacy API')}/orders"
    status, body = tab.fetch(f"{running.link('corsproxy')}/orders")
    assert status == 200
    assert "kettle" in body
    assert tab.fetch(api) == (0, "TypeError: Failed to fetch")
    assert any(api in line and NO_HEADER in line for line in tab.console)


def test_a_preflighted_put_with_credentials_works(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """Chromium sends a preflight, the proxy allows it, the PUT has the cookie (cors.md 31, 32, 35)."""
    tab = Tab(context, quiet_page(running))
    proxy = running.link("corsproxy")
    seen = running.output.count("\n")
    put = {
        "method": "PUT",
        "credentials": "include",
        "headers": {"Content-Type": "application/json"},
        "body": '{"item": "ladle"}',
    }
    assert tab.fetch(f"{proxy}/orders/21", **put)[0] == 401
    assert tab.fetch(f"{proxy}/login", method="POST", credentials="include")[0] == 200
    status, body = tab.fetch(f"{proxy}/orders/21", **put)
    assert status == 200
    assert '"ladle"' in body
    running.wait_for(r"OPTIONS /orders/21 204 .*verdict=allowed", after=seen)
    running.wait_for(r"PUT /orders/21 200 .*verdict=allowed", after=seen)


def test_a_refused_origin_reads_nothing_and_chromium_says_why(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """The same page on another origin is refused in every way (cors.md 42)."""
    other = running.link("page").replace("localhost", "127.0.0.1")
    tab = Tab(context, other)
    assert "0 of 7 work, 7 refused by the policy" in tab.wait_for_all()
    assert set(tab.states("proxied").values()) == {"refused"}
    assert tab.page.is_visible("#not-allowed")
    proxy = running.link("corsproxy")
    blocked = f"from origin '{other}' has been blocked by CORS policy: "
    for path, step in (
        ("/orders", ""),
        ("/orders/7", "Response to preflight request doesn't pass access control check: "),
    ):
        line = f"Access to fetch at '{proxy}{path}' {blocked}{step}{NO_HEADER}"
        assert line in tab.console, tab.console
    tab.page.click("#not-allowed-link")
    assert "6 of 7 work" in tab.wait_for_all()


def test_a_refused_method_never_reaches_the_api(
    context: BrowserContext,
    running: DemoProcess,
) -> None:
    """DELETE is not in the policy: the browser sends none, and the order stays (cors.md 33)."""
    tab = Tab(context, quiet_page(running))
    proxy = running.link("corsproxy")
    seen = running.output.count("\n")
    assert tab.fetch(f"{proxy}/orders/9", method="DELETE")[0] == 0
    assert tab.fetch(f"{proxy}/orders/9")[0] == 200
    running.wait_for(r"OPTIONS /orders/9 403 .*reason=method_not_allowed", after=seen)
    running.wait_for(r"GET /orders/9 200", after=seen)
    assert "DELETE /orders/9" not in running.output


def test_a_proxy_that_is_not_running_is_unreachable_not_blocked(context: BrowserContext) -> None:
    """No program listens on port 1: the page reports that instead of a refusal by the policy."""
    dead = ("--api", "http://localhost:1", "--proxy", "http://localhost:1")
    with demo("--only", "page", "--listen", "127.0.0.1:0", *dead) as process:
        url = process.wait_for(r"the demo's page listens on (http://\S+)")[1]
        tab = Tab(context, url)
        tab.wait_for_all()
        states = {*tab.states("direct").values(), *tab.states("proxied").values()}
    assert states == {"unreachable"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(context: BrowserContext, running: DemoProcess, scheme: str) -> None:
    """At 360 pixels nothing is cut off or scrolls sideways, light or dark."""
    tab = Tab(context, running.link("page"))
    tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    tab.page.set_viewport_size({"width": 360, "height": 740})
    tab.wait_for_all()
    tab.page.click("#config summary")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_page_works_by_keyboard(context: BrowserContext, running: DemoProcess) -> None:
    """Tab reaches the skip link, then the buttons; Enter runs a scenario again."""
    tab = Tab(context, running.link("page"))
    tab.wait_for_all()
    focused = (
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    )
    names = []
    for _ in range(3):
        tab.page.keyboard.press("Tab")
        names.append(tab.page.evaluate(focused))
    assert names == ["Skip to the requests", "Run all again", "Run: Read a list"]
    with tab.page.expect_console_message(lambda message: "/orders" in message.text):
        tab.page.keyboard.press("Enter")
