"""Which addresses and sockets are bound, and which are left alone: forwarding.md P7, configuration.md L22."""

import fcntl
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from corsproxy.policy.compiled import Address, TcpAddress, UnixAddress
from corsproxy.runtime import sockets
from corsproxy.runtime.sockets import CannotStart, ListenSockets
from tests.support.origin import origin
from tests.support.service import config, corsproxy, until


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@contextmanager
def listening(*addresses: Address, shares: int = 1) -> Iterator[ListenSockets]:
    """Bind these addresses."""
    listeners = ListenSockets(shares, addresses)
    try:
        for address in addresses:
            listeners.bind(address)
        yield listeners
    finally:
        listeners.close()


def free_port() -> int:
    """Return a port that is free on every address."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        return int(sock.getsockname()[1])


def connects(host: str, port: int) -> bool:
    """Return whether a program listens there."""
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


# --- TCP -----------------------------------------------------------------------------------


@needs_ipv6
@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("order", [("0.0.0.0", "::"), ("::", "0.0.0.0"), ("0:0::0", "127.0.0.1")])
def test_both_families_are_served_in_any_order(order: tuple[str, str], shares: int) -> None:
    """P7: the IPv6 wildcard leaves IPv4 to the listener that has the same port."""
    port = free_port()
    with listening(*(TcpAddress(host, port) for host in order), shares=shares):
        assert connects("127.0.0.1", port)
        assert connects("::1", port)


@needs_ipv6
def test_the_ipv6_wildcard_alone_serves_both() -> None:
    """P7: also if there is an IPv4 listener with another port."""
    port, other = free_port(), free_port()
    with listening(TcpAddress("::", port), TcpAddress("127.0.0.1", other)):
        assert connects("127.0.0.1", port)
        assert connects("::1", port)


@needs_ipv6
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("order", ["'0.0.0.0:{0}', '[::]:{0}'", "'[::]:{0}', '0.0.0.0:{0}'"])
def test_what_is_announced_is_served(order: str, workers: int, tmp_path: Path) -> None:
    """P7: by a process as users start it, with several workers too."""
    path, port = tmp_path / "config.yaml", free_port()
    with origin() as server:
        text = config(server.port, server=f"workers: {workers}, drain_delay: 0")
        path.write_text(text.replace("'127.0.0.1:0'", f"[{order.format(port)}]", 1))
        with corsproxy("run", "-c", str(path)) as process:
            process.wait_for("health on")
            assert len(re.findall("listening on", process.errors)) == 2
            assert connects("127.0.0.1", port)
            assert connects("::1", port)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_bound_is_not_announced(workers: int, tmp_path: Path) -> None:
    """P7: a name for an address within another one of this file is one line and exit 3."""
    path, port = tmp_path / "config.yaml", free_port()
    listen = f"['127.1:{port}', '0.0.0.0:{port}']"
    text = config(1, server=f"workers: {workers}")
    path.write_text(text.replace("'127.0.0.1:0'", listen, 1))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert process.errors == (
        f"corsproxy: cannot listen on 0.0.0.0:{port}: address already in use; another program, or "
        f"this one on 127.1:{port}, listens there; stop it, or choose another address"
    )


def test_what_is_bound_listens() -> None:
    """P7: a socket that is merely bound would let another program have the same address."""
    with listening(TcpAddress("127.0.0.1", 0)) as listeners:
        (bound,) = listeners._bound
        with pytest.raises(CannotStart, match="another program listens there"):
            ListenSockets().bind(bound.address)


# --- unix sockets --------------------------------------------------------------------------


def abandoned(path: Path) -> None:
    """Leave a socket at `path` that no process listens on."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    "kind", ["file", "directory", "link to a file", "link to a socket", "nowhere"]
)
def test_what_is_not_a_socket_stays(kind: str, tmp_path: Path) -> None:
    """P7: only a socket is ever unlinked, and never through a symbolic link."""
    path, target = tmp_path / "listen", tmp_path / "target"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(target)
        if kind == "link to a file":
            target.write_text("precious")
        elif kind == "link to a socket":
            abandoned(target)
    before = {one.name: one.lstat() for one in tmp_path.iterdir()}
    words = {"file": "a file that is not a socket", "directory": "a directory"}
    found = words.get(kind, "a symbolic link")
    with pytest.raises(CannotStart) as failed:
        ListenSockets().bind(UnixAddress(str(path)))
    assert str(failed.value) == (
        f"cannot listen on unix:{path}: {found} is there; move it away, or choose another path"
    )
    after = {one.name: one.lstat() for one in tmp_path.iterdir()}
    assert {name: found.st_ino for name, found in after.items()} == {
        name: found.st_ino for name, found in before.items()
    }


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("section", ["server", "health"])
def test_a_file_in_the_way_is_one_line_and_exit_3(
    section: str, workers: int, tmp_path: Path
) -> None:
    """P7: for either listener, with and without workers; the file is unchanged."""
    path, precious = tmp_path / "config.yaml", tmp_path / "precious"
    precious.write_text("precious")
    place = f"{section}: {{listen: "
    text = config(1, server=f"workers: {workers}")
    path.write_text(text.replace(f"{place}'127.0.0.1:0'", f"{place}'unix:{precious}'", 1))
    with corsproxy("run", "-c", str(path)) as process:
        assert process.code() == 3
    assert process.errors.startswith(f"corsproxy: cannot listen on unix:{precious}: a file that")
    assert len(process.errors.splitlines()) == 1
    assert precious.read_text() == "precious"


def test_advice_about_a_path_names_no_address(tmp_path: Path) -> None:
    """P7: a missing directory, a file in place of one, a socket that takes datagrams."""
    of_another_kind = "protocol wrong type for socket; a socket of another kind is there"
    (tmp_path / "file").touch()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.bind(str(tmp_path / "datagrams"))
        for name, advice in (
            ("none/s", "no such file or directory; create its directory, or choose another path"),
            (
                "file/s",
                "not a directory; a directory of the path is a file; choose another path",
            ),
            ("datagrams", f"{of_another_kind}; move it away, or choose another path"),
        ):
            path = tmp_path / name
            with pytest.raises(CannotStart) as failed:
                ListenSockets().bind(UnixAddress(str(path)))
            assert str(failed.value) == f"cannot listen on unix:{path}: {advice}"


def test_of_two_that_start_one_has_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: also if there is an abandoned socket: neither removes what the other has just created."""
    path = tmp_path / "s"
    abandoned(path)
    second, is_over, real = ListenSockets(), threading.Event(), os.unlink
    results: list[object] = []

    def start_second() -> None:
        try:
            results.append(second.bind(UnixAddress(str(path))))
        except CannotStart as failed:
            results.append(failed)
        is_over.set()

    starting = threading.Thread(target=start_second)

    def unlink(at: str) -> None:
        monkeypatch.setattr(os, "unlink", real)
        starting.start()
        is_over.wait(0.5)  # it comes first, unless it has to wait for this one
        real(at)

    monkeypatch.setattr(os, "unlink", unlink)
    with listening(UnixAddress(str(path))):
        starting.join(10)
        (result,) = results
        assert isinstance(result, CannotStart)
        assert "another program listens there; stop it, or choose another path" in str(result)
    second.close()


def test_a_folder_that_is_locked_for_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P7: every user who may read a folder may lock it, which must not prevent the start."""
    monkeypatch.setattr(sockets, "_LOCK_TIMEOUT", 0.1)
    path = tmp_path / "s"
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with listening(UnixAddress(str(path))):
            assert path.is_socket()
    finally:
        os.close(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a socket another user's")
def test_a_socket_of_another_user_stays(tmp_path: Path) -> None:
    """P7: it is not this user's, even for a user who may remove it."""
    path = tmp_path / "s"
    abandoned(path)
    os.chown(path, 12345, 12345)
    with pytest.raises(CannotStart, match=f"unix:{path}: a socket of user 12345 is there; have it"):
        ListenSockets().bind(UnixAddress(str(path)))
    assert stat.S_ISSOCK(path.lstat().st_mode)


def test_a_socket_whose_queue_is_full_is_served(tmp_path: Path) -> None:
    """P7: a busy process listens there; the start neither waits for it nor takes the path."""
    path = str(tmp_path / "s")
    with closing(socket.socket(socket.AF_UNIX)) as busy, ExitStack() as stack:
        busy.bind(path)
        busy.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket(socket.AF_UNIX)))
            waiting.setblocking(False)  # noqa: FBT003 - the socket module's own signature
            waiting.connect_ex(path)
        with pytest.raises(CannotStart, match="another program listens there"):
            ListenSockets().bind(UnixAddress(path))
        assert os.path.lexists(path)


def test_only_the_socket_that_was_made_is_removed(tmp_path: Path) -> None:
    """P7: what another process has put there since stays when this one closes."""
    path = tmp_path / "s"
    with listening(UnixAddress(str(path))):
        path.unlink()
        path.write_text("precious")
    assert path.read_text() == "precious"
    path.unlink()
    with listening(UnixAddress(str(path))), listening_elsewhere(path):
        pass
    assert stat.S_ISSOCK(path.lstat().st_mode)
    with listening(UnixAddress(str(path))):
        pass
    assert not path.exists()


@contextmanager
def listening_elsewhere(path: Path) -> Iterator[None]:
    """Let another program take over the path, and keep running."""
    first = path.lstat()
    path.rename(path.with_suffix(".old"))
    abandoned(path)
    assert path.lstat().st_ino != first.st_ino
    yield


def test_workers_leave_the_socket_to_their_supervisor(tmp_path: Path) -> None:
    """P7, P4: it is there as long as the supervisor serves, and gone afterwards."""
    path, at = tmp_path / "config.yaml", tmp_path / "s"
    with origin() as server:
        text = config(server.port, server="workers: 2, drain_delay: 0")
        path.write_text(text.replace("'127.0.0.1:0'", f"'unix:{at}'", 1))
        with corsproxy("run", "-c", str(path)) as process:
            process.wait_for("health on")
            ours = at.lstat().st_ino
            os.kill(
                int(
                    Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
                ),
                9,
            )
            process.wait_for(r"worker \d \(process \d+\) serves")
            assert at.lstat().st_ino == ours
            assert process.end() == 0
    until(lambda: not at.exists(), "the socket is removed")
