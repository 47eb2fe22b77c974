"""A running proxy reloads its file, whole or not at all, and no client notices (P2)."""

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.origin import BODY, Load, Origin, ask, connect, get, origin, read
from tests.support.service import ServiceProcess, config, corsproxy, until

RELOADED = r"configuration reloaded"
NOT_RELOADED = r"configuration not reloaded"


@contextmanager
def serving(file: Path) -> Iterator[ServiceProcess]:
    """Run the proxy with a file; at the end it has to stop by itself, with exit code 0."""
    with corsproxy("run", "-c", str(file)) as process:
        assert process.health_port
        yield process
        assert process.end() == 0
        assert "Traceback" not in process.errors


def reload(process: ServiceProcess, expected: str = RELOADED) -> None:
    """Request a reload, and wait until the log reports it."""
    seen = process.said()
    process.send(signal.SIGHUP)
    process.wait_for(expected, seen)


@pytest.fixture
def two() -> Iterator[tuple[Origin, Origin]]:
    """Return two origin servers with different responses."""
    with origin() as first, origin() as second:
        yield first, second


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the configuration is."""
    return tmp_path / "config.yaml"


def test_sighup_applies_the_file(file: Path, two: tuple[Origin, Origin]) -> None:
    """After SIGHUP later requests are served by the new file, on connections that stay open (P2)."""
    first, second = two
    file.write_text(config(first.port))
    with serving(file) as process, closing(connect(process.port)) as client:
        assert ask(client).body.endswith(b"%d" % first.port)
        ours = client.sock
        file.write_text(config(second.port))
        reload(process)
        assert ask(client).body.endswith(b"%d" % second.port)
        assert client.sock is ours


def test_a_rewritten_file_is_noticed(file: Path, two: tuple[Origin, Origin]) -> None:
    """Without a signal a changed file is in force within seconds (R7)."""
    first, second = two
    file.write_text(config(first.port))
    with serving(file) as process:
        file.write_text(config(second.port))
        process.wait_for(RELOADED)
        assert get(process.port).body.endswith(b"%d" % second.port)


def test_a_swapped_link_is_noticed(tmp_path: Path, two: tuple[Origin, Origin]) -> None:
    """A ConfigMap is updated by replacing a link to a folder; the file's own link stays (R7)."""
    for name, server in zip(("..1", "..2"), two, strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(config(server.port))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    with serving(tmp_path / "config.yaml") as process:
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")
        process.wait_for(RELOADED)
        assert get(process.port).body.endswith(b"%d" % two[1].port)


def test_a_broken_file_changes_nothing(file: Path, two: tuple[Origin, Origin]) -> None:
    """The previous configuration stays, each problem is logged with its place, /readyz reports it (P2)."""
    good = config(two[0].port)
    file.write_text(good)
    with serving(file) as process:
        assert get(process.health_port, "/readyz")[2] == b"ok\n"
        file.write_text(good.replace("version: 1", "version: 7\nnonsense: 1"))
        reload(process, NOT_RELOADED)
        assert "config.yaml:1:10: E" in process.errors
        assert "config.yaml:2:1: E" in process.errors
        assert get(process.port).status == 200
        ready = get(process.health_port, "/readyz")
        assert (ready.status, ready.body) == (
            200,
            b"ok\nthe last reload failed: the previous configuration is in force\n",
        )
        assert (
            b"corsproxy_config_last_reload_successful 0.0"
            in get(process.health_port, "/metrics").body
        )
        file.write_text(good)
        reload(process)
        assert get(process.health_port, "/readyz").body == b"ok\n"
        assert (
            b"corsproxy_config_last_reload_successful 1.0"
            in get(process.health_port, "/metrics").body
        )


def test_a_file_that_is_gone_changes_nothing(file: Path, two: tuple[Origin, Origin]) -> None:
    """A reload without a file logs that it cannot be read, and changes nothing (P2)."""
    file.write_text(config(two[0].port))
    with serving(file) as process:
        file.unlink()
        reload(process, NOT_RELOADED)
        assert get(process.port).status == 200


def test_changes_that_need_a_restart_are_logged_at_each_reload(
    file: Path, two: tuple[Origin, Origin]
) -> None:
    """The rest of the file is applied; each reload lists the keys that need a restart (R7)."""
    plain = config(two[0].port)
    moved = config(two[1].port).replace("127.0.0.1:0", "127.0.0.2:0")
    waits = r"restart to apply these changes: server\.listen, health\.listen"
    file.write_text(plain)
    with serving(file) as process:
        file.write_text(moved)
        reload(process, waits)
        assert get(process.port).body.endswith(b"%d" % two[1].port)
        reload(process, waits)
        file.write_text(plain)
        until(lambda: re.search(RELOADED, process.errors.splitlines()[-1]), "nothing waits")


def test_a_request_in_flight_ends_under_its_old_plan(
    file: Path, two: tuple[Origin, Origin]
) -> None:
    """Its upstream and its policy are those it began with; the next one has the new ones (P2)."""
    first, second = two
    file.write_text(config(first.port))
    with serving(file) as process, closing(connect(process.port)) as client:
        client.request("GET", "/held", headers={"Origin": "https://app.example"})
        assert first.arrived.wait(10)
        file.write_text(config(second.port).replace("https://app.example", "https://other.example"))
        reload(process)
        first.release.set()
        response = read(client.getresponse())
        assert response.body == BODY + b" from %d" % first.port
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        later = ask(client)
        assert later.body.endswith(b"%d" % second.port)
        assert "access-control-allow-origin" not in later.headers


def reload_under_load(file: Path, two: tuple[Origin, Origin], times: int, clients: int = 8) -> None:
    """Swap the upstream `times` times under load; each request succeeds, on one connection per client."""
    file.write_text(config(two[0].port))
    with serving(file) as process, ExitStack() as stack:
        port = process.port
        load = stack.enter_context(Load(lambda: port, clients))
        for number in range(times):
            before = load.total
            file.write_text(config(two[number % 2].port, server=f"drain: {number + 1}s"))
            reload(process)
            until(lambda: load.total > before, "the load goes on")  # noqa: B023 - called at once
        load.stop()
        assert load.failures == []
        assert set(load.answers) == {200}
        assert load.connections == clients


def test_reloads_under_load_fail_no_request(file: Path, two: tuple[Origin, Origin]) -> None:
    """10 reloads: no failed request, no lost connection (P2; 100 of them in the slow suite)."""
    reload_under_load(file, two, 10)


@pytest.mark.slow
def test_a_hundred_reloads_under_load_fail_no_request(
    file: Path, two: tuple[Origin, Origin]
) -> None:
    """100 reloads: no failed request, no lost connection (P2)."""
    reload_under_load(file, two, 100)
