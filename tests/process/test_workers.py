"""Several workers are one proxy to clients: they share, are replaced, end and reload together (P4)."""

import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.origin import Load, Origin, accepts, ask, connect, get, origin, read
from tests.support.service import (
    ServiceProcess,
    children,
    config,
    corsproxy,
    is_gone,
    until,
)

TWO = "workers: 2, drain_delay: 0"


@pytest.fixture
def upstream() -> Iterator[Origin]:
    """Return an origin server."""
    with origin() as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the configuration is."""
    return tmp_path / "config.yaml"


@contextmanager
def workers(file: Path, upstream: Origin, server: str = TWO) -> Iterator[ServiceProcess]:
    """Run the proxy with these keys of `server`; no worker is left afterwards."""
    file.write_text(config(upstream.port, server=server))
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        pids = children(process.pid)
        yield process
    until(lambda: all(map(is_gone, pids)), "the workers are gone")


def ready(process: ServiceProcess) -> bytes:
    """Return the body of /readyz."""
    return get(process.health_port, "/readyz").body


def figures(process: ServiceProcess, name: str) -> dict[str, float]:
    """Return a metric's samples, by name and labels, as Prometheus reads them."""
    text = get(process.health_port, "/metrics").body.decode()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def requests(process: ServiceProcess) -> float:
    """Return how many requests were counted."""
    return sum(figures(process, "corsproxy_requests_total").values())


def busy(pid: int) -> int:
    """Return the number of sockets that a process has open: its share of the connections."""
    folder = Path(f"/proc/{pid}/fd")
    return sum("socket:" in str(os.readlink(link)) for link in folder.iterdir())  # noqa: PTH115


def test_both_workers_serve_their_share(file: Path, upstream: Origin) -> None:
    """Of 200 connections each worker has at least 35 %."""
    with workers(file, upstream) as process, ExitStack() as stack:
        first, second = children(process.pid)
        before = busy(first), busy(second)
        for _ in range(200):
            client = stack.enter_context(closing(connect(process.port)))
            client.connect()
        until(lambda: busy(first) + busy(second) >= sum(before) + 200, "all are accepted")
        assert min(busy(first) - before[0], busy(second) - before[1]) >= 70


@pytest.mark.slow
def test_one_scrape_is_the_sum_of_all(file: Path, upstream: Origin) -> None:
    """Requests over many connections are counted once each; gauges are sums (M3)."""
    with workers(file, upstream) as process, ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(process.port))) for _ in range(40)]
        for client in clients:
            assert ask(client).status == 200
        assert requests(process) == 40
        assert sum(figures(process, "corsproxy_connections").values()) == 40
        assert list(figures(process, "corsproxy_build_info").values()) == [1.0]
        assert sum(figures(process, "corsproxy_request_duration_seconds_count").values()) == 40


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGABRT, marks=pytest.mark.slow)]
)
def test_a_killed_worker_is_replaced_and_others_are_not_affected(
    number: signal.Signals,
    file: Path,
    upstream: Origin,
) -> None:
    """The other worker's requests and new connections continue; the proxy stays ready (P4)."""
    with workers(file, upstream) as process, ExitStack() as stack:
        port = process.port
        first, second = children(process.pid)
        # Clients that the victim serves fail, as those of every dead process do.
        load = stack.enter_context(Load(lambda: port, 8))
        until(lambda: load.total > 50, "the load goes on")
        os.kill(first, number)
        process.wait_for(rf"worker \d \(process {first}\) was ended by {number.name}")
        failed = len(load.failures)
        assert get(process.health_port, "/readyz").status == 200
        process.wait_for(r"worker \d \(process \d+\) serves")
        assert ready(process) == b"ok\n2 of 2 workers serve\n"
        assert second in children(process.pid)
        assert first not in children(process.pid)
        before = load.total
        until(lambda: load.total > before + 50, "the load goes on")
        load.stop()
        assert len(load.failures) == failed <= 8
        assert set(load.answers) == {200}


@pytest.mark.slow
def test_connections_that_wait_for_a_dead_worker_are_served(file: Path, upstream: Origin) -> None:
    """Connections in its backlog, and those that arrive before it is replaced, all succeed (P4)."""
    with workers(file, upstream) as process, ExitStack() as stack:
        first, second = children(process.pid)
        os.kill(first, signal.SIGSTOP)
        clients = [stack.enter_context(closing(connect(process.port))) for _ in range(40)]
        for client in clients:
            client.request("GET", "/")
        os.kill(first, signal.SIGKILL)
        until(lambda: set(children(process.pid)) - {first, second}, "there is a successor")
        (successor,) = set(children(process.pid)) - {first, second}
        os.kill(successor, signal.SIGSTOP)  # it takes for ever to start
        for client in clients:
            assert read(client.getresponse()).status == 200
        for _ in range(40):
            assert get(process.port).status == 200
        os.kill(successor, signal.SIGCONT)
        process.wait_for(rf"worker 1 \(process {successor}\) serves")
        for _ in range(40):
            assert get(process.port).status == 200


@pytest.mark.slow
def test_counters_are_kept_when_a_worker_dies(file: Path, upstream: Origin) -> None:
    """Counters never decrease, or rates computed from them would be wrong (M3)."""
    with workers(file, upstream) as process:
        for _ in range(20):
            assert get(process.port).status == 200
        assert requests(process) == 20
        os.kill(children(process.pid)[0], signal.SIGKILL)
        process.wait_for(r"worker \d \(process \d+\) serves")
        assert sum(figures(process, "corsproxy_worker_deaths_total").values()) == 1
        assert requests(process) == 20
        assert get(process.port).status == 200
        assert requests(process) == 21


@pytest.mark.slow
def test_workers_that_die_repeatedly_are_replaced_later_each_time(
    file: Path, upstream: Origin
) -> None:
    """The pause doubles, so that a crash loop does not use up the CPU (P4)."""
    with workers(file, upstream) as process:
        pauses = []
        for _ in range(3):
            seen = process.said()
            os.kill(children(process.pid)[-1], signal.SIGKILL)
            pauses.append(float(process.wait_for(r"a replacement starts in (\S+) s", seen)[1]))
            process.wait_for(r"serves", seen)
    assert pauses == [0.1, 0.2, 0.4]


@pytest.mark.slow
def test_all_workers_reload_or_none(file: Path, upstream: Origin) -> None:
    """A valid file is in force in each worker, a broken one in none (P2)."""
    with workers(file, upstream) as process, origin() as other, ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(process.port))) for _ in range(20)]
        assert {ask(client).body for client in clients} == {upstream.body}
        file.write_text(config(other.port, server=TWO))
        process.send(signal.SIGHUP)
        process.wait_for("configuration reloaded")
        assert {ask(client).body for client in clients} == {other.body}
        file.write_text("version: 7\n")
        process.wait_for("configuration not reloaded")
        assert {ask(client).body for client in clients} == {other.body}
        assert b"the last reload failed" in ready(process)
        assert figures(process, "corsproxy_config_last_reload_successful") == {
            "corsproxy_config_last_reload_successful[]": 0.0,
        }


@pytest.mark.slow
def test_a_new_worker_has_the_configuration_in_force(file: Path, upstream: Origin) -> None:
    """Not the one on disk, which may be broken at the time (P2, P4)."""
    with workers(file, upstream) as process:
        file.write_text("version: 7\n")
        process.wait_for("configuration not reloaded")
        for pid in children(process.pid):
            seen = process.said()
            os.kill(pid, signal.SIGKILL)
            process.wait_for(r"worker \d \(process \d+\) serves", seen)
        assert get(process.port).body == upstream.body


@pytest.mark.slow
def test_the_number_of_workers_needs_a_restart(file: Path, upstream: Origin) -> None:
    """The reload logs it (R7)."""
    with workers(file, upstream) as process:
        file.write_text(config(upstream.port, server="workers: 3"))
        process.wait_for(r"restart to apply these changes: server\.workers")
        assert len(children(process.pid)) == 2


def test_all_workers_drain(file: Path, upstream: Origin) -> None:
    """Not ready at once, every response closes, the listeners close, requests in flight finish, exit 0 (P1)."""
    with (
        workers(file, upstream, "workers: 2, drain_delay: 1s, drain: 60s") as process,
        ExitStack() as stack,
    ):
        held, *others = [stack.enter_context(closing(connect(process.port))) for _ in range(12)]
        for client in others:
            assert "connection" not in ask(client).headers
        held.request("GET", "/held")
        assert upstream.arrived.wait(10)
        process.send(signal.SIGTERM)
        until(lambda: get(process.health_port, "/readyz").status == 503, "it is not ready")
        assert {ask(client).headers["connection"] for client in others} == {"close"}
        assert get(process.port).status == 200
        until(lambda: not accepts(process.port), "the listeners are closed")
        assert process.process.poll() is None
        upstream.release.set()
        assert read(held.getresponse()).status == 200
        assert process.code() == 0
        assert "Traceback" not in process.errors


@pytest.mark.slow
def test_stops_and_signals_to_the_whole_group_are_clean(file: Path, upstream: Origin) -> None:
    """Ctrl-C reaches every process of a terminal; workers leave it to the supervisor (P1)."""
    with (
        workers(file, upstream, "workers: 2, drain: 60s") as process,
        closing(connect(process.port)) as client,
    ):
        client.request("GET", "/held")
        assert upstream.arrived.wait(10)
        for pid in [*children(process.pid), process.pid]:
            os.kill(pid, signal.SIGINT)
        until(lambda: not accepts(process.port), "the listeners are closed")
        upstream.release.set()
        assert read(client.getresponse()).status == 200
        assert process.code() == 0


@pytest.mark.slow
def test_a_second_signal_ends_all_at_once(file: Path, upstream: Origin) -> None:
    """It waits neither for the delay nor for requests, and no worker is left (P1)."""
    with workers(file, upstream, "workers: 2, drain_delay: 60s") as process:
        pids = children(process.pid)
        process.send(signal.SIGTERM)
        until(lambda: get(process.health_port, "/readyz").status == 503, "it is not ready")
        assert process.end(signal.SIGTERM) == 0
        assert all(map(is_gone, pids))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_workers_start_is_clean(number: signal.Signals, file: Path) -> None:
    """Exit code 0, and no worker is left (P1)."""
    file.write_text(config(1, server=TWO))
    with corsproxy("run", "-c", str(file)) as process:
        until(lambda: len(children(process.pid)) == 2, "the workers are started")
        pids = children(process.pid)
        assert process.end(number) == 0
        until(lambda: all(map(is_gone, pids)), "the workers are gone")


@pytest.mark.slow
def test_workers_end_with_a_supervisor_that_is_killed(file: Path, upstream: Origin) -> None:
    """The port is free for the next start; requests in flight finish."""
    with workers(file, upstream) as process, closing(connect(process.port)) as client:
        client.request("GET", "/held")
        assert upstream.arrived.wait(10)
        process.process.kill()
        until(lambda: not accepts(process.port), "the port is free")
        upstream.release.set()
        assert read(client.getresponse()).status == 200


@pytest.mark.slow
def test_a_port_in_use_is_exit_3_although_workers_share_ports(file: Path, upstream: Origin) -> None:
    """A second proxy of the same user fails, and does not get half of the first one's clients."""
    with workers(file, upstream) as process:
        port = process.port
        second = file.with_name("second.yaml")
        second.write_text(
            config(upstream.port, server=TWO).replace("127.0.0.1:0", f"127.0.0.1:{port}", 1)
        )
        with corsproxy("run", "-c", str(second)) as other:
            assert other.code() == 3
        assert f"cannot listen on 127.0.0.1:{port}: address already in use" in other.errors


def test_a_worker_that_dies_during_its_start_is_exit_3(file: Path) -> None:
    """A worker that never served is not replaced: the start fails, with one line (R1)."""
    file.write_text(config(1, server=TWO))
    with corsproxy("run", "-c", str(file)) as process:
        until(lambda: children(process.pid), "the first worker is started")
        os.kill(children(process.pid)[0], signal.SIGKILL)
        assert process.code() == 3
        assert process.errors == "corsproxy: worker 1 was ended by SIGKILL during its start"


@pytest.mark.slow
def test_workers_share_a_unix_socket(file: Path, upstream: Origin, tmp_path: Path) -> None:
    """It is one for all, accepts while one of them is dead, and is gone afterwards (P4)."""
    sock = tmp_path / "s"
    file.write_text(config(upstream.port, server=TWO).replace("127.0.0.1:0", f"unix:{sock}", 1))
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        os.kill(children(process.pid)[0], signal.SIGKILL)
        with closing(connect(80)) as client:
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.connect(str(sock))
            assert ask(client).status == 200
        assert process.end() == 0
    assert not sock.exists()


@pytest.mark.slow
def test_lines_of_all_workers_are_complete(file: Path, upstream: Origin) -> None:
    """Every request has its line in one access log, and no line is split (M5)."""
    with workers(file, upstream) as process, ExitStack() as stack:
        port = process.port
        load = stack.enter_context(Load(lambda: port, 8))
        until(lambda: load.total > 400, "the load goes on")
        load.stop()
        assert process.end() == 0
        lines = process.output.splitlines()
    assert Counter(bool(re.fullmatch(r"\{.*\}", line)) for line in lines) == {True: load.total}


# Takes the role that PID 1 has (prctl(2), PR_SET_CHILD_SUBREAPER), leaves an orphan that waits for
# a file, and becomes the proxy.
_ADOPTING = """
import ctypes, os, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if not os.fork():
    if os.fork():
        os._exit(0)
    while not os.path.exists(sys.argv[-1] + ".go"):
        time.sleep(0.01)
    os._exit(0)
os.execv(sys.executable, [sys.executable, "-m", "corsproxy", *sys.argv[1:]])
"""


@pytest.mark.slow
def test_orphans_are_reaped(file: Path, upstream: Origin) -> None:
    """As PID 1 of a container the supervisor inherits orphans, and no zombie stays (P5)."""
    file.write_text(config(upstream.port, server=TWO))
    with corsproxy("run", "-c", str(file), program=("-c", _ADOPTING)) as process:
        assert process.health_port
        until(lambda: len(children(process.pid)) == 3, "there are two workers and an orphan")
        orphan = min(children(process.pid))
        file.with_name(f"{file.name}.go").touch()
        until(lambda: is_gone(orphan), "the orphan is reaped")
        assert ready(process) == b"ok\n2 of 2 workers serve\n"
        assert process.end() == 0
