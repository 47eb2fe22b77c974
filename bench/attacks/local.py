"""Attacks on the operator's own machine: a file deleted, escape sequences on a terminal (P7)."""

import asyncio
from typing import Final

from bench.attacks.attack import Attack
from bench.attacks.claims import Claim, all_of, none_of
from bench.attacks.product import DidNotStart, Scene, config
from bench.attacks.upstreams import Reader, Writer, responding, serving

_TEXT: Final = "not a socket\n"
# Bytes and UTF-8 of control sequence introducer, next line, and operating system command.
_CONTROLS: Final = (b"\x9b31m", b"\xc2\x9b31m", b"\xc2\x85", b"\xc2\x9d0;title")


async def _file(scene: Scene) -> list[Claim]:
    """Listen at the path of a regular file; check that it exists, during the run and afterwards."""
    path = scene.folder / "precious"
    path.write_text(_TEXT)
    try:
        async with scene.proxy(config(9, server=f"listen: 'unix:{path}'")):
            await asyncio.sleep(0)
    except DidNotStart:
        pass  # as it should, because the path is in use
    kept = path.is_file() and path.read_text() == _TEXT
    return [all_of(int(kept), 1, "regular files kept")]


async def _respond(_: bytes, __: Reader, writer: Writer) -> bool:
    hostile = b"".join(b"X-A: a%bb\r\nVary: a%bb\r\n" % (text, text) for text in _CONTROLS)
    writer.write(
        b"HTTP/1.1 200 %b\r\nAccess-Control-Allow-Origin: %b\r\n%bContent-Length: 0\r\n\r\n"
        % (_CONTROLS[1], _CONTROLS[1], hostile)
    )
    return True


async def _terminal(scene: Scene) -> list[Claim]:
    """Run `explain --live` against a server whose fields contain C1 controls; check the output."""
    async with serving(responding(_respond)) as port:
        arguments = ("explain", "GET", f"http://127.0.0.1:{port}/", "--origin", "https://a.example")
        ran = [
            await asyncio.to_thread(
                scene.checkout.run, "-m", "corsproxy", *arguments, "--live", *more
            )
            for more in ((), ("--json",))
        ]
    printed = [done.stdout.decode("utf-8", "surrogateescape") for done in ran]
    raw = [_raw_controls(text) for text in printed]
    return [
        all_of(sum(bool(text) for text in printed), 2, "commands printed something"),
        none_of(raw[0], len(printed[0]), "characters as text are C1 controls"),
        none_of(raw[1], len(printed[1]), "characters as JSON are C1 controls"),
    ]


def _raw_controls(text: str) -> int:
    """Count C1 controls, as characters or as bytes that are not valid UTF-8."""
    return sum("\x80" <= char <= "\x9f" or "\udc80" <= char <= "\udc9f" for char in text)


ATTACKS: Final = (
    Attack("13-file", "P7", "listen: unix:PATH where PATH is a regular file", _file),
    Attack(
        "17-terminal",
        "cors.md 69",
        "explain --live with a server that sends C1 controls",
        _terminal,
    ),
)
