"""What a kubelet is told at its start, as one frozen value. Field names follow upstream's KubeletConfiguration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sampan.apimachinery.object import Object

KUBELET_VERSION = "v1.37.0+sampan"


@dataclass(frozen=True, slots=True)
class Eviction:
    """Hard thresholds as upstream's defaults, and what is freed beyond them."""

    memory_available_bytes: int = 100 * 1024 * 1024
    nodefs_available_fraction: float = 0.10
    nodefs_inodes_free_fraction: float = 0.05
    interval_s: float = 10.0
    pressure_transition_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ImageGC:
    """Images are removed once the image filesystem is `high` full, until it is `low` full."""

    high_fraction: float = 0.85
    low_fraction: float = 0.80
    minimum_age_s: float = 120.0
    interval_s: float = 300.0


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """The node API's certificate, and the CA whose client certificates it accepts."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path


@dataclass(frozen=True, slots=True)
class KubeletConfig:
    """One node. `root_dir` holds everything the kubelet writes; logs go to `log_dir` (default root_dir/logs)."""

    node_name: str
    node_ip: str
    runtime_socket: str
    root_dir: Path
    log_dir: Path | None = None
    static_pod_dir: Path | None = None
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    host_resolv_conf: Path = Path("/etc/resolv.conf")
    host_etc_hosts: Path = Path("/etc/hosts")
    tls: ServerTLS | None = None
    server_address: str = ""
    server_port: int = 10250
    cgroup_root: str = "/sampan/kubepods"
    node_labels: Mapping[str, str] = field(default_factory=dict)
    node_taints: tuple[Object, ...] = ()
    provider_id: str = ""
    max_pods: int = 110
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    status_update_interval_s: float = 10.0
    status_report_interval_s: float = 300.0
    lease_duration_s: int = 40
    lease_renew_interval_s: float = 10.0
    sync_interval_s: float = 60.0
    relist_interval_s: float = 1.0
    relist_interval_with_events_s: float = 60.0
    volume_refresh_interval_s: float = 60.0
    backoff_initial_s: float = 10.0
    backoff_limit_s: float = 300.0
    log_max_size_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    pod_pids_limit: int = 0
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    eviction: Eviction = Eviction()
    image_gc: ImageGC = ImageGC()

    @property
    def pods_dir(self) -> Path:
        return self.root_dir / "pods"

    @property
    def pod_logs_dir(self) -> Path:
        return (self.log_dir or self.root_dir / "logs") / "pods"

    def pod_dir(self, uid: str) -> Path:
        return self.pods_dir / uid
