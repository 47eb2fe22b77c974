"""Counts the cores that this process may use, within the CPU limit of its container."""

import math
import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cpus(quota: Path = _QUOTA) -> int:
    """Return the number of cores that this process may run on, within its container's CPU limit.

    `quota` is the control group's file cpu.max (cgroup v2): microseconds of a period, or max.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        return max(1, min(cores, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError):
        return cores  # no control group, or "max"
