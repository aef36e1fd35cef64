"""What processes cost: proportional memory and CPU time, read from /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SCHED = 2
"""In the number of a process' clock (clock_getcpuclockid(3)): what the scheduler has accounted, in nanoseconds."""


def pss_mib(pid: int) -> float:
    """Proportional set size: private memory and a fair share of what is shared."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss of {pid}")


def rss_mib(pid: int) -> float:
    """Resident set size."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no resident size of {pid}")


def cpu_s(pid: int) -> float:
    """User and system time so far, of all threads: the process' CPU clock, since /proc counts ticks of 10 ms."""
    return time.clock_gettime(~pid << 3 | _SCHED)


def is_python(pid: int) -> bool:
    return "python" in os.path.basename(os.readlink(f"/proc/{pid}/exe"))


def cluster_cpu_s(cluster: str) -> dict[str, float]:
    """CPU seconds so far by kind of process: those of the cluster, and what they waited for (runc, CNI plugins).

    Processes are found by the cluster's mark in their environment, or by their cgroup (containers).
    """
    found: dict[str, float] = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            name = _name_in_cluster(directory, cluster)
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if name:
            for what, ticks in ((name, fields[11:13]), (f"{name}'s children", fields[13:15])):
                found[what] = found.get(what, 0.0) + sum(map(int, ticks)) / TICKS_PER_S
    return found


def _name_in_cluster(process: Path, cluster: str) -> str:
    """containerd, containerd-shim, control_plane, node, … or containers; empty when it is none of the cluster's."""
    words = (process / "cmdline").read_bytes().split(b"\0")
    modules = [word.decode() for word in words if word.startswith(b"sampan.cmd.")]
    if f"/sampan/{cluster}/" in (process / "cgroup").read_text():
        return "containers"
    if f"SAMPAN_CLUSTER={cluster}".encode() not in (process / "environ").read_bytes().split(b"\0"):
        return ""
    return modules[0].removeprefix("sampan.cmd.") if modules else (process / "comm").read_text().strip()
