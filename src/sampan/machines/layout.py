"""Where a local cluster lives on a machine: every name and path that sampan makes there, in one place.

A cluster's traces are found again, also after a crash, because each carries the cluster's name: namespaces are called
`sampan-CLUSTER-…`, files lie below two directories, cgroups below one path, and every process has `SAMPAN_CLUSTER` in
its environment. docs/ARCHITECTURE.md ("A local cluster") has the table that this module follows.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

NETNS_DIR = Path("/run/netns")
CGROUP_ROOT = Path("/sys/fs/cgroup")
CNI_CACHE = Path("/var/lib/cni/results")
CLUSTER_VARIABLE = "SAMPAN_CLUSTER"
"""Every process of a cluster has this in its environment; `sweep` finds strays by it."""

NODE_RANGE = ipaddress.IPv4Network("172.30.0.0/24")
POD_RANGE = ipaddress.IPv4Network("10.244.0.0/16")
SERVICE_RANGE = ipaddress.IPv4Network("10.96.0.0/16")
FABRIC_ADDRESS = NODE_RANGE[1]
FIRST_NODE_OFFSET = 10
MAX_NODES = 240


@dataclass(frozen=True, slots=True)
class Layout:
    """The names and paths of the cluster called `name`; the roots differ only in tests."""

    name: str
    state_root: Path = Path("/var/lib/sampan")
    run_root: Path = Path("/run/sampan")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise ValueError(f"cluster name {self.name!r} must be a lower-case DNS label of at most 40 characters")

    @property
    def state(self) -> Path:
        return self.state_root / self.name

    @property
    def run(self) -> Path:
        return self.run_root / self.name

    @property
    def pids(self) -> Path:
        """One file a process, `NAME.json`, with its `pid` and `start_time` (clock ticks since boot)."""
        return self.run / "pids"

    @property
    def machines(self) -> Path:
        """One empty file a node, so that `sweep` finds nodes whose names do not follow the custom."""
        return self.run / "machines"

    @property
    def fabric(self) -> str:
        """The network namespace that links the nodes."""
        return f"sampan-{self.name}-fabric"

    @property
    def network(self) -> str:
        """The name of the pods' network in its CNI configuration."""
        return f"sampan-{self.name}"

    @property
    def cgroup(self) -> str:
        """Below every controller's root (cgroup v1) or the one root (v2)."""
        return f"sampan/{self.name}"

    def node_name(self, index: int) -> str:
        """The customary name of the node with this number, counted from 1."""
        return f"{self.name}-{index}"

    def namespace(self, node: str) -> str:
        """The network namespace that is the node."""
        return f"sampan-{self.name}-{node}"

    def node_state(self, node: str) -> Path:
        return self.state / "nodes" / node

    def node_run(self, node: str) -> Path:
        return self.run / "nodes" / node

    def namespaces(self) -> list[str]:
        """The cluster's node and fabric namespaces that exist now, by custom or by record."""
        nodes = re.compile(rf"sampan-{re.escape(self.name)}-(fabric|{re.escape(self.name)}-\d+)")
        recorded = {self.namespace(p.name) for p in self.machines.iterdir()} if self.machines.is_dir() else set()
        present = sorted(p.name for p in NETNS_DIR.iterdir()) if NETNS_DIR.is_dir() else []
        return [name for name in present if nodes.fullmatch(name) or name in recorded]


def node_address(index: int) -> ipaddress.IPv4Address:
    """The address of the node with this number, counted from 1: 172.30.0.11 is the first."""
    if not 1 <= index <= MAX_NODES:
        raise ValueError(f"node number {index} must be between 1 and {MAX_NODES}")
    return NODE_RANGE[FIRST_NODE_OFFSET + index]
