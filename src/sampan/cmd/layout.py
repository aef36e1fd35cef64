"""Where a local cluster lives and what it is made of: names, paths, ranges. One value that every process reads.

`sampan up` writes it to `cluster.json` in the state directory; the processes get the cluster's name and load it.
State survives `up` and reboots; the run directory is only good until the next boot.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sampan.controllers.names import WITH_BOOTSTRAP
from sampan.machines import layout as machines

STATE_ROOT = Path(os.environ.get("SAMPAN_STATE_ROOT", "/var/lib/sampan"))
RUN_ROOT = Path(os.environ.get("SAMPAN_RUN_ROOT", "/run/sampan"))

ProcessMode: TypeAlias = Literal["combined", "separate", "static-pods"]
StoreKind: TypeAlias = Literal["sqlite", "etcd"]

GIVEN_FLAGS = (
    "controllers", "cluster-cidr", "service-cluster-ip-range", "allocate-node-cidrs", "root-ca-file",
    "service-account-private-key-file", "cluster-signing-cert-file", "cluster-signing-key-file", "leader-elect",
    "leader-elect-resource-name", "leader-elect-resource-namespace",
)
"""Flags of the controller manager that a local cluster gives itself, and of nobody else."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?")


class InvalidClusterName(ValueError):
    """The name cannot be part of namespaces and paths."""


def checked_name(name: str) -> str:
    """The name, if it is a DNS label of at most 20 characters. Raises InvalidClusterName."""
    if not _NAME.fullmatch(name):
        raise InvalidClusterName(
            f'"{name}" is no cluster name: use at most 20 lower-case letters, digits and "-", '
            "beginning and ending with a letter or digit"
        )
    return name


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """One node: a network namespace with an address on the fabric, and directories of its own."""

    machines: machines.Layout
    index: int

    @property
    def name(self) -> str:
        return self.machines.node_name(self.index)

    @property
    def namespace(self) -> str:
        return self.machines.namespace(self.name)

    @property
    def address(self) -> str:
        return str(machines.node_address(self.index))

    @property
    def state_dir(self) -> Path:
        return self.machines.node_state(self.name)

    @property
    def run_dir(self) -> Path:
        return self.machines.node_run(self.name)

    @property
    def containerd_root(self) -> Path:
        return self.state_dir / "containerd"

    @property
    def containerd_state(self) -> Path:
        return self.run_dir / "containerd"

    @property
    def containerd_socket(self) -> Path:
        return self.containerd_state / "containerd.sock"

    @property
    def cni_conf_dir(self) -> Path:
        return self.state_dir / "cni"

    @property
    def kubelet_dir(self) -> Path:
        return self.state_dir / "kubelet"

    @property
    def volume_dir(self) -> Path:
        """The volumes of the default StorageClass."""
        return self.state_dir / "volumes"

    @property
    def manifest_dir(self) -> Path:
        """Static pods: every manifest in here runs on this node."""
        return self.state_dir / "manifests"


@dataclass(frozen=True, slots=True)
class ClusterLayout:
    """A local cluster. Ranges follow kubeadm's habits; `api_port` is on the host's loopback."""

    name: str
    api_port: int
    node_count: int = 1
    processes: ProcessMode = "combined"
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"
    domain: str = "cluster.local"
    controllers: str = WITH_BOOTSTRAP
    """Which control loops run, as `--controllers` of upstream's controller manager says it."""
    controller_manager_args: tuple[str, ...] = ()
    """Other flags of the controller manager, as `--node-monitor-grace-period=20s`."""
    node_port: int = 6443
    """The API server's port on the first node's address."""
    store: StoreKind = "sqlite"

    @property
    def machines(self) -> machines.Layout:
        """Names and paths of what is made on the machine."""
        return machines.Layout(self.name, STATE_ROOT, RUN_ROOT)

    @property
    def state_dir(self) -> Path:
        return self.machines.state

    @property
    def run_dir(self) -> Path:
        return self.machines.run

    @property
    def pki_dir(self) -> Path:
        return self.state_dir / "pki"

    @property
    def log_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def store_file(self) -> Path:
        return self.state_dir / "store" / "store.db"

    @property
    def etcd_dir(self) -> Path:
        return self.state_dir / "etcd"

    @property
    def etcd_url(self) -> str:
        """Where etcd serves clients, on the first node."""
        return f"https://{self.first_node.address}:2379"

    @property
    def kubeconfig(self) -> Path:
        return self.state_dir / "kubeconfig"

    @property
    def nodes(self) -> tuple[NodeLayout, ...]:
        return tuple(NodeLayout(self.machines, index) for index in range(1, self.node_count + 1))

    @property
    def first_node(self) -> NodeLayout:
        return NodeLayout(self.machines, 1)

    @property
    def host_url(self) -> str:
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def node_url(self) -> str:
        return f"https://{self.first_node.address}:{self.node_port}"

    @property
    def kubernetes_address(self) -> str:
        """The first service address: `kubernetes.default`."""
        return str(ipaddress.ip_network(self.service_range)[1])

    @property
    def dns_address(self) -> str:
        """The tenth service address: cluster DNS."""
        return str(ipaddress.ip_network(self.service_range)[10])

    def health_socket(self, process: str) -> Path:
        """Where a process answers what it is doing (see `cmd.process`)."""
        return self.run_dir / "health" / f"{process}.sock"

    @property
    def handover_socket(self) -> Path:
        """Where the supervisor hands its listening sockets to static pods (see `cmd.handover`)."""
        return self.run_dir / "handover" / "listeners.sock"

    def save(self) -> None:
        """Write cluster.json, atomically."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        target = self.state_dir / "cluster.json"
        draft = target.with_suffix(".json.new")
        draft.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
        draft.replace(target)


def context_name(name: str) -> str:
    """What the cluster is called in a kubeconfig."""
    return name if name == "sampan" else f"sampan-{name}"


def load(name: str) -> ClusterLayout | None:
    """The cluster that `up` wrote down, or None."""
    path = STATE_ROOT / checked_name(name) / "cluster.json"
    if not path.exists():
        return None
    fields = json.loads(path.read_text())
    fields["controller_manager_args"] = tuple(fields.get("controller_manager_args", ()))
    return ClusterLayout(**fields)


def existing() -> list[ClusterLayout]:
    """Every cluster on this machine, by name."""
    names = sorted(path.parent.name for path in STATE_ROOT.glob("*/cluster.json"))
    return [layout for layout in map(load, names) if layout is not None]
