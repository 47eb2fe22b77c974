"""A name whose lookup never ends, and upstreams with other names (F9)."""

import asyncio
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import misbehave
from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, not_run, undisturbed
from bench.attacks.clients import get, raw
from bench.attacks.product import Scene, config
from bench.attacks.upstreams import serving
from bench.attacks.waits import others, quiet

_SHIM: Final = Path(__file__).parent / "hang.c"
_ASKING: Final = 12
_SECONDS: Final = 5.0
_MORE: Final = """\
  - {name: hangs, upstream: hangs, cors: false, match: {path: /hangs}}
  - {name: literal, upstream: 'http://127.0.0.1:PORT', cors: false, match: {path: /address}}
"""


def _with_names(port: int) -> str:
    """Return a configuration with three upstreams: a name, a name whose lookup hangs, and an address."""
    hangs = f"  hangs: {{url: 'http://hangs.test:{port}'}}\n"
    text = config(port).replace("//127.0.0.1:", "//known.test:")
    return text.replace("routes:\n", f"{hangs}routes:\n") + _MORE.replace("PORT", str(port))


def _built(folder: Path, compiler: str) -> Path:
    """Compile a resolver that hangs, to preload: both loops call that of the C library."""
    shim = folder / "hang.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(shim), str(_SHIM), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return shim


async def _hang(scene: Scene) -> list[Claim]:
    compiler = shutil.which("cc")
    if compiler is None:
        return [
            not_run(
                "no C compiler here (cc), which is needed to make the resolver hang for one name"
            )
        ]
    preload = {"LD_PRELOAD": str(_built(scene.folder, compiler))}
    async with (
        serving(misbehave.converse) as upstream,
        scene.proxy(_with_names(upstream), environment=preload) as proxy,
    ):
        targets = proxy.targets()
        # By its address, so that the name of the other upstream is not resolved yet.
        before = await quiet(**proxy.targets(b"/address"))
        with ExitStack() as stack:
            for _ in range(_ASKING):
                sock = await raw(stack, proxy.port)
                await asyncio.get_running_loop().sock_sendall(sock, get(b"/hangs"))
            await asyncio.sleep(0.2)
            async with others(**targets) as waits:
                await asyncio.sleep(_SECONDS)
        return [undisturbed(name, waits[name], before[name]) for name in targets]


ATTACKS: Final = (
    Attack("7-resolver", "F9", "12 requests to a name whose lookup never ends", _hang),
)
