"""Signals end the process cleanly from the first instant on, and a second one at once (P1)."""

import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.origin import connect, get, origin
from tests.support.service import (
    ServiceProcess,
    catches,
    children,
    config,
    corsproxy,
    has_loaded,
    until,
)

STAGES: dict[str, Callable[[ServiceProcess], object]] = {
    "the handlers are set": lambda it: catches(it.pid, signal.SIGTERM),
    "the configuration is read": lambda it: has_loaded(it.pid, "pydantic_core"),
    "the loop is loaded": lambda it: has_loaded(it.pid, "uvloop"),
    "it has printed where it listens": lambda it: "listening on" in it.errors,
}
STOPPING = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration whose upstream does not exist, and that drains without a delay."""
    path = tmp_path / "config.yaml"
    path.write_text(config(1, server="drain_delay: 0"))
    return path


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_it_cleanly_at_any_stage(
    number: signal.Signals,
    stage: str,
    file: Path,
) -> None:
    """Exit code 0 and no traceback, as soon as {stage} and later (P1)."""
    with corsproxy("run", "-c", str(file)) as process:
        until(lambda: STAGES[stage](process), stage)
        assert process.end(number) == 0
        assert "Traceback" not in process.errors


@pytest.mark.parametrize("number", STOPPING)
def test_sigint_takes_no_drain_delay_and_sigterm_does(
    number: signal.Signals, tmp_path: Path
) -> None:
    """SIGTERM: still accepting for drain_delay; SIGINT: the same without it (P1)."""
    path = tmp_path / "config.yaml"
    path.write_text(config(1, server="drain_delay: 3s"))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.health_port
        began = time.monotonic()
        assert process.end(number) == 0
        lasted = time.monotonic() - began
    assert (lasted >= 3.0) == (number is signal.SIGTERM)


@pytest.mark.parametrize("number", STOPPING)
def test_a_second_signal_ends_it_at_once(number: signal.Signals, tmp_path: Path) -> None:
    """With a minute left and a request in flight the second signal waits for neither (P1)."""
    with origin() as upstream:
        path = tmp_path / "config.yaml"
        path.write_text(config(upstream.port, server="drain_delay: 60s, drain: 60s"))
        with (
            corsproxy("run", "-c", str(path)) as process,
            closing(connect(process.port)) as client,
        ):
            client.request("GET", "/held")
            assert upstream.arrived.wait(10)
            process.send(number)
            until(lambda: get(process.health_port, "/readyz").status == 503, "it is not ready")
            began = time.monotonic()
            assert process.end(number) == 0
            assert time.monotonic() - began < 2.0
            assert "Traceback" not in process.errors


def test_a_volley_of_signals_ends_it_cleanly(file: Path) -> None:
    """However many signals arrive, and whenever, the exit code is 0 (P1)."""
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        while process.process.poll() is None:
            process.send(signal.SIGTERM)
        assert process.code() == 0
        assert "Traceback" not in process.errors


def test_sighup_before_it_listens_does_not_end_it(file: Path) -> None:
    """A signal that arrives too early is ignored; the file is watched all the same (P2)."""
    with corsproxy("run", "-c", str(file)) as process:
        until(lambda: has_loaded(process.pid, "pydantic_core"), "the configuration is read")
        process.send(signal.SIGHUP)
        assert process.health_port
        assert process.end() == 0


def test_a_unix_socket_is_gone_afterwards(tmp_path: Path) -> None:
    """It removes the socket that it created, and replaces one left by a crash (P1)."""
    path, sock = tmp_path / "config.yaml", tmp_path / "s"
    path.write_text(config(1, server="drain_delay: 0").replace("127.0.0.1:0", f"unix:{sock}", 1))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.health_port
        assert sock.is_socket()
    assert sock.is_socket()  # it was killed
    with corsproxy("run", "-c", str(path)) as process:
        assert process.health_port
        with closing(socket.socket(socket.AF_UNIX)) as client:
            client.connect(str(sock))
        assert process.end() == 0
    assert not sock.exists()


def test_one_process_has_no_children(file: Path) -> None:
    """`workers: 1` runs without a supervisor: the process that was started serves requests."""
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        assert children(process.pid) == []
