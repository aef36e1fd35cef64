"""The cgroups above the containers: one for each QoS class and each pod, on cgroup v1 and v2.

    ROOT/                 the node's pods
      podUID/             Guaranteed
      burstable/podUID/
      besteffort/podUID/

The runtime puts containers below the pod's path. v1 has this tree under each controller; v2 has it once, with its
controllers enabled on the way down. Writing a limit is best effort: what a kernel refuses is logged, never fatal.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from sampan.apimachinery.object import Object, uid_of
from sampan.apimachinery.quantity import ZERO
from sampan.kubelet import resources
from sampan.kubelet.resources import CPU_PERIOD_US, PodLimits

log = logging.getLogger(__name__)

V1_CONTROLLERS = ("cpu", "memory", "pids")
V2_CONTROLLERS = "+cpu +memory +pids"


def weight_of(shares: int) -> int:
    """cgroup v2's cpu.weight for v1's cpu.shares."""
    return max(1, min(10000, 1 + (shares - 2) * 9999 // 262142))


class Cgroups:
    """The tree below `root` (as `/sampan/x/kubepods`). An empty root means: leave cgroups to the runtime."""

    def __init__(self, root: str, *, pids_limit: int = 0, mount: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root.rstrip("/")
        self._pids_limit = pids_limit
        self._mount = mount
        self._is_v2 = (mount / "cgroup.controllers").exists()
        self._warned: set[str] = set()
        self._burstable_shares = 0

    def prepare(self) -> None:
        """Create the root and the QoS classes' cgroups."""
        if self._root:
            for part in ("", "/burstable", "/besteffort"):
                self._create(self._root + part)
            self._write(f"{self._root}/besteffort", "cpu", PodLimits(resources.MIN_SHARES, 0, 0))

    def balance(self, pods: Iterable[Object]) -> None:
        """Give the Burstable class the CPU shares that its pods request together, as upstream does once a minute."""
        if not self._root:
            return
        burstable = [pod for pod in pods if resources.qos_class(pod) == "Burstable"]
        milli_cpu = sum(resources.pod_requests(pod).get("cpu", ZERO).milli_value for pod in burstable)
        shares = resources.shares(milli_cpu)
        if shares != self._burstable_shares:
            self._burstable_shares = shares
            self._write(f"{self._root}/burstable", "cpu", PodLimits(shares, 0, 0))

    def pod_path(self, pod: Object) -> str:
        """The parent that the runtime is told."""
        if not self._root:
            return ""
        qos = resources.qos_class(pod)
        middle = "" if qos == "Guaranteed" else f"/{qos.lower()}"
        return f"{self._root}{middle}/pod{uid_of(pod)}"

    def ensure_pod(self, pod: Object) -> str:
        """Create the pod's cgroup with its limits; its path."""
        path = self.pod_path(pod)
        if path:
            self._create(path)
            self._write(path, "pod", resources.pod_limits(pod))
        return path

    def remove_pod(self, uid: str) -> None:
        """Remove a pod's cgroup, wherever its class put it."""
        if self._root:
            for middle in ("", "/burstable", "/besteffort"):
                for directory in self._directories(f"{self._root}{middle}/pod{uid}"):
                    _remove_tree(directory)

    def pod_uids(self) -> set[str]:
        """Pods that have a cgroup."""
        if not self._root:
            return set()
        found: set[str] = set()
        base = self._mount if self._is_v2 else self._mount / "memory"
        for middle in ("", "/burstable", "/besteffort"):
            directory = Path(f"{base}{self._root}{middle}")
            if directory.is_dir():
                found |= {item.name[3:] for item in directory.iterdir() if item.name.startswith("pod")}
        return found

    def memory_file(self, path: str, name: str) -> Path:
        """A file of the memory controller, for statistics."""
        return Path(f"{self._mount}{'' if self._is_v2 else '/memory'}{path}/{name}")

    def _directories(self, path: str) -> Iterable[Path]:
        """The cgroup in every hierarchy where it exists."""
        bases = [self._mount] if self._is_v2 else [self._mount / name for name in sorted(os.listdir(self._mount))]
        return [found for base in bases if (found := Path(f"{base}{path}")).is_dir()]

    def _create(self, path: str) -> None:
        if not self._is_v2:
            for controller in V1_CONTROLLERS:
                if (self._mount / controller).is_dir():
                    os.makedirs(f"{self._mount}/{controller}{path}", exist_ok=True)
            return
        current = self._mount
        for part in path.strip("/").split("/"):
            self._put(current / "cgroup.subtree_control", V2_CONTROLLERS)
            current = current / part
            current.mkdir(exist_ok=True)
        self._put(current / "cgroup.subtree_control", V2_CONTROLLERS)

    def _write(self, path: str, level: str, limits: PodLimits) -> None:
        if self._is_v2:
            base = Path(f"{self._mount}{path}")
            values = {base / "cpu.weight": str(weight_of(limits.cpu_shares))}
            if level == "pod":
                values[base / "cpu.max"] = f"{limits.cpu_quota_us or 'max'} {CPU_PERIOD_US}"
                values[base / "memory.max"] = str(limits.memory_limit_bytes or "max")
                values[base / "pids.max"] = str(self._pids_limit or "max")
        else:
            values = {Path(f"{self._mount}/cpu{path}/cpu.shares"): str(limits.cpu_shares)}
            if level == "pod":
                values[Path(f"{self._mount}/cpu{path}/cpu.cfs_quota_us")] = str(limits.cpu_quota_us or -1)
                values[Path(f"{self._mount}/memory{path}/memory.limit_in_bytes")] = str(
                    limits.memory_limit_bytes or -1
                )
                values[Path(f"{self._mount}/pids{path}/pids.max")] = str(self._pids_limit or "max")
        for file, value in values.items():
            self._put(file, value)

    def _put(self, file: Path, value: str) -> None:
        try:
            file.write_text(value)
        except OSError as error:
            if file.name not in self._warned:
                self._warned.add(file.name)
                log.warning("cgroup: %s cannot be set to %s: %s", file, value, error)


def _remove_tree(directory: Path) -> None:
    """rmdir from the leaves up; a cgroup that still has processes stays, and is tried again later."""
    for child, _, _ in os.walk(directory, topdown=False):
        try:
            os.rmdir(child)
        except OSError as error:
            log.debug("cgroup %s stays: %s", child, error)
