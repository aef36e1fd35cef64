"""ControllerManagerConfig: what may be set of the controller manager. Names and defaults follow upstream's flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.leader_election import DEFAULT_TIMES, LeaseTimes
from sampan.controllers.autoscaling.hpa_settings import DEFAULTS, AutoscalingSettings
from sampan.controllers.names import WITH_BOOTSTRAP


@dataclass(frozen=True, slots=True)
class ControllerManagerConfig:
    """Settings of all controllers.

    `controllers` selects loops as upstream's flag does: `*` all that are on by default, `name` on, `-name` off, the
    first that speaks of a loop counts; a name may leave out its ending `-controller`.
    """

    controllers: str = WITH_BOOTSTRAP
    leader_elect: bool = False
    identity: str = "sampan"
    leader_namespace: str = "kube-system"
    leader_name: str = "kube-controller-manager"
    lease: LeaseTimes = DEFAULT_TIMES
    workers: Mapping[str, int] = field(default_factory=dict)
    """How many keys the loop of that name works on at a time, if not as many as the table says."""
    autoscaling: AutoscalingSettings = DEFAULTS
    client_for: Callable[[str], Client] | None = field(default=None, compare=False)
    """A client that acts as the ServiceAccount of that name in kube-system; without it all loops act as the manager."""
    root_ca: bytes = b""
    """PEM of the CA that signed the API server's certificate; published to every namespace if given."""
    signing_cert: Path | None = None
    signing_key: Path | None = None
    """PEM files of the CA that signs approved CertificateSigningRequests; without them nothing is signed."""
    signing_duration_s: float = 365 * 86400.0
    """How long a certificate holds at most, and if its request does not say."""
    service_account_key: Path | None = None
    """PEM file of the key that signs tokens kept in Secrets; without it none are made."""
    check_policy: Callable[[Object], Sequence[Object]] | None = field(default=None, compare=False)
    """The type checker of ValidatingAdmissionPolicies: its warnings about one."""
    cluster_cidr: str = "10.244.0.0/16"
    """Where pods have their addresses: one range, or an IPv4 and an IPv6 range with a comma between."""
    service_cidr: str = ""
    """Where Services have theirs: no node gets any of these."""
    node_cidr_mask_size: int = 0
    """The size of a node's subnet in a single-stack cluster, instead of its family's."""
    node_cidr_mask_size_ipv4: int = 24
    node_cidr_mask_size_ipv6: int = 64
    allocate_node_cidrs: bool = True
    node_monitor_grace_s: float = 50.0
    """How long a node may be silent before it counts as unknown."""
    node_startup_grace_s: float = 60.0
    node_monitor_period_s: float = 5.0
    node_eviction_per_s: float = 0.1
    """Nodes a second of one zone whose pods may begin to be evicted."""
    secondary_node_eviction_per_s: float = 0.01
    """The same for a large zone that has lost most of its nodes; a small one stops."""
    large_cluster_size: int = 50
    unhealthy_zone_threshold: float = 0.55
    disable_force_detach_on_timeout: bool = False
    """Whether a volume stays with a node that is not ready until it is unmounted, or the node is out of service."""
    recycler_image: str = "registry.k8s.io/build-image/debian-base:bookworm-v1.0.6"
    """What empties volumes whose reclaim policy is Recycle: an image with /bin/sh, find and ls."""
    terminated_pod_threshold: int = 12500
    """Finished pods beyond this number are deleted, oldest first; 0 keeps all."""
    pod_gc_period_s: float = 20.0
    pod_gc_quarantine_s: float = 40.0
    """How long a node must be missing before its pods are deleted."""

    def signing_authority(self) -> tuple[Path, Path]:
        """Certificate and key of the signing CA, which must be configured."""
        assert self.signing_cert is not None and self.signing_key is not None
        return self.signing_cert, self.signing_key

    def token_key(self) -> Path:
        """The key that signs tokens, which must be configured."""
        assert self.service_account_key is not None
        return self.service_account_key
