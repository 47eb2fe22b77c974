"""The entry point. Makes the process stoppable before anything slow is imported."""

import os
import signal
from types import FrameType


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a handler's signature
    # Nothing is running yet that would have to be ended; what runs later sets handlers of its own.
    os._exit(0)


def main() -> None:
    """Run the command line. SIGTERM and SIGINT end it cleanly from the first instant on."""
    # PID 1 in a container ignores SIGTERM until somebody handles it (forwarding.md P1, P5).
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    from corsproxy.cli import cli  # noqa: PLC0415 - after the handlers are set

    cli(prog_name="corsproxy")


if __name__ == "__main__":
    main()
