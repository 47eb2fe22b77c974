"""An installed Firefox, driven over WebDriver BiDi. Knows the protocol, no pages.

No driver is needed: Firefox itself listens for a WebSocket. Its loop runs in a thread of its own, so
that tests without a loop can use it beside other browsers.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeVar

import aiohttp

_LONG: Final = 40.0  # seconds: a cold start on a busy machine
_T = TypeVar("_T")

_PREFERENCES: Final = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


class Firefox:
    """One tab. `names` resolve to the loopback."""

    def __init__(self, path: str, profile: Path, names: tuple[str, ...]) -> None:
        preferences = {**_PREFERENCES, "network.dns.localDomains": ",".join(names)}
        (profile / "user.js").write_text(
            "".join(
                f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
                for name, value in preferences.items()
            ),
        )
        self._process = subprocess.Popen(  # noqa: S603 - the program that was looked up
            [
                path,
                "--headless",
                "--no-remote",
                "--profile",
                str(profile),
                "--remote-debugging-port",
                "0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self._number = 0
        self._drain: Thread | None = None
        self._http: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._tab = ""

    def start(self) -> None:
        """Connect to it and open a tab."""
        self._run(self._start(self._address()))

    def visit(self, url: str) -> None:
        """Load a page, and wait until it is loaded."""
        parameters = {"context": self._tab, "url": url, "wait": "complete"}
        self._run(self._send("browsingContext.navigate", parameters))

    def evaluate(self, script: str) -> str:
        """Return the string that `script`, which may be a promise, gives in the page."""
        target = {"context": self._tab}
        parameters = {"expression": script, "target": target, "awaitPromise": True}
        answer = self._run(self._send("script.evaluate", parameters))
        assert answer["type"] == "success", answer
        assert answer["result"]["type"] == "string", answer
        return str(answer["result"]["value"])

    def end(self) -> None:
        """End it, and the loop."""
        self._run(self._close())
        self._process.terminate()
        self._process.wait(_LONG)
        if self._drain is not None:
            self._drain.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _address(self) -> str:
        assert self._process.stderr is not None
        said: list[str] = []
        for line in self._process.stderr:
            if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                # What it says later has to be read, or it would wait for a reader.
                self._drain = Thread(target=self._process.stderr.read)
                self._drain.start()
                return found[1]
            said.append(line)
        raise AssertionError(f"firefox ended before it listened: {''.join(said)}")

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LONG)

    async def _start(self, address: str) -> None:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"{address}/session")
        await self._send("session.new", {"capabilities": {}})
        tab = await self._send("browsingContext.create", {"type": "tab"})
        self._tab = tab["context"]

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        assert self._socket is not None
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        await self._socket.send_json(command)
        while True:
            answer: dict[str, Any] = await self._socket.receive_json()
            if answer.get("id") == self._number:
                assert answer["type"] == "success", answer
                result: dict[str, Any] = answer["result"]
                return result

    async def _close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._http is not None:
            await self._http.close()


@contextmanager
def firefox(profile: Path, names: tuple[str, ...]) -> Iterator[Firefox | None]:
    """Start the installed Firefox with a profile of its own, and end it; None where there is none."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        yield None
        return
    started = Firefox(path, profile, names)
    try:
        started.start()
        yield started
    finally:
        started.end()
