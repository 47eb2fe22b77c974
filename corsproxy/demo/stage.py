"""Starts and stops the servers of the demo: API, proxy and page, or one of them alone."""

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from socket import socket
from typing import Final, Literal

from aiohttp import web

from corsproxy.config.load import load_text
from corsproxy.demo.legacy import make_legacy_app
from corsproxy.demo.page import PageSettings, make_page_app
from corsproxy.demo.ports import LOOPBACK, bind, claim, port_of
from corsproxy.demo.words import Ports, config_text, greeting, origin
from corsproxy.policy.compiled import CompiledConfig, TcpAddress
from corsproxy.runtime.frontend import Frontend
from corsproxy.runtime.service import Options, Service
from corsproxy.runtime.signals import StopSignals

PREFERRED: Final = Ports(page=3000, api=9000, proxy=8080, health=9902)

# Seconds for responses that are being sent when the demo ends.
_LAST_RESPONSES: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPorts:
    """The ports given as options; None means the preferred port, or a free one if it is in use."""

    page: int | None = None
    api: int | None = None
    proxy: int | None = None

    def or_preferred(self) -> Ports:
        """Return the ports, with the preferred port for each that is not given."""
        return Ports(
            page=PREFERRED.page if self.page is None else self.page,
            api=PREFERRED.api if self.api is None else self.api,
            proxy=PREFERRED.proxy if self.proxy is None else self.proxy,
            health=PREFERRED.health,
        )


async def run_all(wanted: WantedPorts, say: Callable[[str], None]) -> None:
    """Run all three servers until SIGINT or SIGTERM; call `say` with the greeting once they run.

    Raises CannotStart if a port that was given is in use, or the proxy cannot start.
    """
    with (
        claim(wanted.page, PREFERRED.page) as page_socket,
        claim(wanted.api, PREFERRED.api) as api_socket,
        claim(wanted.proxy, PREFERRED.proxy) as proxy_socket,
        claim(None, PREFERRED.health) as health_socket,
    ):
        ports = Ports(
            page=port_of(page_socket),
            api=port_of(api_socket),
            proxy=port_of(proxy_socket),
            health=port_of(health_socket),
        )
        service = Service(_config(ports), _options(proxy_socket))
        async with (
            serving(make_legacy_app(), api_socket),
            Frontend(service, health_socket) as proxy,
            serving(make_page_app(_settings(ports)), page_socket),
        ):
            stop = StopSignals()
            say(greeting(ports))
            await proxy.wait(stop)


async def run_one(
    part: Literal["api", "page"],
    listen: tuple[str, int] | None,
    settings: PageSettings,
    say: Callable[[str], None],
) -> None:
    """Run one server until SIGINT or SIGTERM; call `say` with its address once it listens.

    Raises CannotStart if it cannot listen on that address.
    """
    stop = StopSignals()
    app = make_legacy_app() if part == "api" else make_page_app(settings)
    host, port = listen or (LOOPBACK, PREFERRED.api if part == "api" else PREFERRED.page)
    with bind(host, port) as bound:
        async with serving(app, bound):
            say(f"the demo's {part} listens on http://{TcpAddress(*bound.getsockname()[:2])}")
            await stop.next()


@asynccontextmanager
async def serving(app: web.Application, bound: socket) -> AsyncIterator[None]:
    """Serve `app` on a listening socket for the duration of the context."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LAST_RESPONSES)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        yield
    finally:
        await runner.cleanup()


def _config(ports: Ports) -> CompiledConfig:
    loaded = load_text(config_text(ports), "demo.yaml", {})
    if loaded.config is None:
        raise AssertionError(loaded.problems)  # a bug: this module wrote the text
    return loaded.config


def _options(listening: socket) -> Options:
    """Return the options to serve on `listening` and to print the access log to the terminal."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Options(access_log=sys.stdout.fileno(), colour=colour, sockets=(listening,))


def _settings(ports: Ports) -> PageSettings:
    return PageSettings(
        api=origin(ports.api),
        proxy=origin(ports.proxy),
        page=origin(ports.page),
        config=config_text(ports),
    )
