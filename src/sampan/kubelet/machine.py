"""Facts about the machine under the node: processors, memory, disks, kernel. Read once or cheaply again."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the kubelet runs."""

    cpus: int
    memory_bytes: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system's room."""

    capacity_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def read_machine() -> Machine:
    """Ask the kernel and /etc."""
    os_release = dict(
        line.split("=", 1) for line in _text("/etc/os-release").splitlines() if "=" in line
    )
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory()[0],
        machine_id=_text("/etc/machine-id"),
        system_uuid=_text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=os_release.get("PRETTY_NAME", "Linux").strip('"'),
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def memory() -> tuple[int, int]:
    """(total, available) bytes."""
    values = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            values[name] = int(rest.split()[0]) * 1024
    return values.get("MemTotal", 0), values.get("MemAvailable", 0)


def disk(path: Path) -> Disk:
    """The file system that holds `path`."""
    found = os.statvfs(path)
    return Disk(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, found.f_files, found.f_ffree)


def pids() -> tuple[int, int]:
    """(limit, in use)."""
    limit = int(_text("/proc/sys/kernel/pid_max") or 32768)
    fields = _text("/proc/loadavg").split()
    return limit, int(fields[3].split("/")[1]) if len(fields) > 3 else 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
