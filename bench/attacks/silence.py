"""Clients that connect and send nothing, to any kind of listener (O2)."""

import asyncio
import shutil
import ssl
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, memory, not_run, undisturbed, within
from bench.attacks.clients import LOOPBACK, get, silent, status
from bench.attacks.product import Proxy, Scene, config
from bench.attacks.upstreams import serving
from bench.attacks.waits import Target, others, quiet
from bench.idle import allow_descriptors

_FILES: Final = 1024
# More than the limit of descriptors.
_SILENT: Final = 1100
_SECONDS: Final = 4.0
_ROUTES: Final = 500
_SCRAPES: Final = 40
# CPU seconds: ten renderings on a slow machine.
_SHARED: Final = 1.5
# For the clients in this process, which need as many.
_OWN_FILES: Final = 8192


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Create a certificate for the loopback address, and its key."""
    cert, key = folder / "tls.crt", folder / "tls.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-keyout",
        str(key),
        "-out",
        str(cert),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return cert, key


async def _fill(proxy: Proxy, port: int, targets: dict[str, Target]) -> list[Claim]:
    """Open silent connections to `port` and keep them open while others send requests."""
    before = await quiet(**targets)
    with ExitStack() as stack:
        await silent(stack, port, _SILENT)
        async with others(**targets) as waits:
            await asyncio.sleep(_SECONDS)
        claims = [undisturbed(name, waits[name], before[name]) for name in targets]
    return [*claims, memory(proxy.memory_above_idle())]


async def _handshakes(scene: Scene) -> list[Claim]:
    allow_descriptors(_OWN_FILES)
    if shutil.which("openssl") is None:
        return [not_run("no openssl here, which is needed to create a certificate")]
    cert, key = _certificate(scene.folder)
    tls = ssl.create_default_context(cafile=str(cert))
    tls.check_hostname = False
    server = f"tls: {{cert_file: '{cert}', key_file: '{key}'}}"
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream, server=server), files=_FILES) as proxy,
    ):
        targets = proxy.targets()
        targets["others"] = targets["others"]._replace(tls=tls)
        await proxy.rest(tls=tls)
        return await _fill(proxy, proxy.port, targets)


async def _health(scene: Scene) -> list[Claim]:
    allow_descriptors(_OWN_FILES)
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream), files=_FILES) as proxy,
    ):
        await proxy.rest()
        return await _fill(proxy, proxy.health, proxy.targets())


async def _first_byte(scene: Scene) -> list[Claim]:
    """Measure how long a connection stays open without its first byte."""
    server = "timeouts: {request_header: 1s, keepalive: 6s}"
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream, server=server)) as proxy,
    ):
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        began = time.perf_counter()
        closed = await asyncio.wait({asyncio.ensure_future(reader.read())}, timeout=12)
        seconds = time.perf_counter() - began
        writer.transport.abort()
    return [
        all_of(len(closed[0]), 1, "silent connections closed"),
        # A second and a half for the clock's ticks and a busy machine.
        within(seconds, 2.5, "request_header is 1 s, keepalive 6 s: closed after"),
    ]


async def _scrape(proxy: Proxy) -> bool:
    return await status(proxy.health, get(b"/metrics"), patience=14) == 200


async def _metrics(scene: Scene) -> list[Claim]:
    """Let 40 clients request /metrics at once, with 500 routes that all have counters."""
    more = "".join(
        f"  - {{name: r{number}, upstream: legacy, cors: false, match: {{path: /r{number}}}}}\n"
        for number in range(_ROUTES)
    )
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(config(upstream, more=more)) as proxy,
    ):
        for number in range(_ROUTES):
            await status(proxy.port, get(b"/r%d" % number))
        targets = proxy.targets()
        await proxy.rest()
        before = await quiet(**targets)
        cpu = proxy.cpu_seconds()
        async with others(**targets) as waits:
            scrapes = [asyncio.create_task(_scrape(proxy)) for _ in range(_SCRAPES)]
            served = sum(await asyncio.gather(*scrapes))
        used = proxy.cpu_seconds() - cpu
        return [
            all_of(served, _SCRAPES, "scrapes served"),
            # One rendering at a time, shared by all waiting scrapes: there are few, plus other work.
            within(used, _SHARED, f"CPU for {_SCRAPES} scrapes at once"),
            *(undisturbed(name, waits[name], before[name]) for name in targets),
        ]


ATTACKS: Final = (
    Attack("5-tls", "O2", "1100 silent connections to a TLS listener, 1024 files", _handshakes),
    Attack("6-health", "O2", "1100 silent connections to the health port, 1024 files", _health),
    Attack("6-metrics", "O2", "40 clients request /metrics of 500 routes at once", _metrics),
    Attack("19-first-byte", "O2", "a connection without a first byte", _first_byte),
)
