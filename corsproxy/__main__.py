"""Starts the command line, after installing signal handlers: importing it takes long."""

import os
import signal
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's signature
    # Nothing is open yet that has to be closed; a server replaces these handlers with its own.
    os._exit(0)


def main() -> None:
    """Run the command line. SIGTERM and SIGINT end it with exit code 0 from the start."""
    # The kernel ignores SIGTERM for PID 1 of a container until it has a handler (forwarding.md P1, P5).
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    from corsproxy.cli import cli  # noqa: PLC0415 - after the handlers are set

    cli(prog_name="corsproxy")


if __name__ == "__main__":
    main()
