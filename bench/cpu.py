"""Measures a process tree from /proc: CPU seconds, resident bytes and their peak."""

import os
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Positions in /proc/PID/stat behind the command's closing parenthesis (proc(5)).
_PARENT, _USER, _SYSTEM, _RESIDENT = 1, 11, 12, 21


def _stat(pid: int) -> list[str]:
    # A process may end between listing and reading: it then has no figures.
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _tree(root: int) -> dict[int, list[str]]:
    stats = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if not stats.get(pid):
            continue
        found[pid] = stats[pid]
        waiting += [child for child, stat in stats.items() if stat and int(stat[_PARENT]) == pid]
    return found


def processes(root: int) -> list[int]:
    """Return the ids of `root` and its living descendants, `root` first."""
    return list(_tree(root))


def cpu_seconds(root: int) -> float:
    """Return user plus system seconds that `root` and its living descendants have used so far."""
    ticks = sum(int(stat[_USER]) + int(stat[_SYSTEM]) for stat in _tree(root).values())
    return ticks / _TICKS_A_SECOND


def resident_bytes(root: int) -> int:
    """Return the resident memory of `root` and its descendants, in bytes; shared pages count each time."""
    return sum(int(stat[_RESIDENT]) for stat in _tree(root).values()) * _PAGE


def forget_peak(root: int) -> None:
    """Reset the kernel's peaks of `root` and its descendants (proc(5), clear_refs)."""
    for pid in processes(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(root: int) -> int:
    """Return the sum of the peaks of resident memory of `root` and its descendants, in bytes."""
    status = [Path(f"/proc/{pid}/status").read_text() for pid in processes(root)]
    return sum(int(text.partition("VmHWM:")[2].split()[0]) for text in status) * 1024


def cores() -> tuple[str, str]:
    """Return the cores for the proxy and for everything else, as `taskset -c` takes them.

    Raises RuntimeError if there is only one core: the proxy would share it with the load tool.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise RuntimeError(
            f"only core {usable[0]} may be used: the benchmark needs two, one for the proxy and "
            "one for the load tool and the upstream; run it on another machine",
        )
    return str(usable[0]), ",".join(map(str, usable[1:]))
