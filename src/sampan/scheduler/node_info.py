"""A node as the scheduler sees it: what it offers, and running sums of what its pods take.

The sums are kept, not recomputed: adding or removing a pod costs what that pod asks for. The same sums of all nodes are
columns of the node table; here they serve whoever looks at one node, and trials on a copy of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.apimachinery.object import Object, labels_of, name_of
from sampan.scheduler.pod_info import HostPort, PodInfo
from sampan.scheduler.resources import CPU, MEMORY, PODS, Amounts, amounts

_EVERYWHERE = "0.0.0.0"


class NodeInfo:
    """One node and the pods on it, assumed ones included. `node` is None while only its pods are known."""

    __slots__ = (
        "allocatable", "images", "labels", "max_pods", "name", "node", "pods", "ports", "requested", "row",
        "scoring_requested", "taints", "unschedulable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.row = -1
        """Its row in the node table."""
        self.node: Object | None = None
        self.labels: Mapping[str, str] = {}
        self.taints: tuple[Object, ...] = ()
        self.unschedulable = False
        self.allocatable: Amounts = {}
        self.max_pods = 0
        self.images: dict[str, int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.scoring_requested: Amounts = {CPU: 0, MEMORY: 0}
        self.ports: dict[HostPort, int] = {}

    def set_node(self, node: Object | None) -> None:
        """Take over the node's document; None when the node is gone and only its pods are left."""
        self.node = node
        spec: Object = (node or {}).get("spec") or {}
        status: Object = (node or {}).get("status") or {}
        self.labels = labels_of(node) if node else {}
        self.taints = tuple(spec.get("taints") or ())
        self.unschedulable = bool(spec.get("unschedulable"))
        self.allocatable = amounts(status.get("allocatable") or status.get("capacity"))
        self.max_pods = self.allocatable.get(PODS, 0)
        self.images = {
            name: image.get("sizeBytes") or 0
            for image in status.get("images") or [] for name in image.get("names") or []
        }
        assert node is None or name_of(node) == self.name, f"{self.name}: this is {name_of(node or {})}"

    def add(self, pod: PodInfo) -> None:
        assert pod.key not in self.pods, f"{pod.key} is on {self.name} already"
        self.pods[pod.key] = pod
        self._count(pod, 1)

    def remove(self, key: str) -> PodInfo | None:
        """Take a pod off the node; what it was."""
        pod = self.pods.pop(key, None)
        if pod is None:
            return None
        self._count(pod, -1)
        return pod

    def copy(self) -> NodeInfo:
        """For trying what would be if other pods were here."""
        twin = NodeInfo(self.name)
        for slot in self.__slots__:
            value = getattr(self, slot)
            setattr(twin, slot, dict(value) if isinstance(value, dict) and slot not in ("node", "labels") else value)
        return twin

    def has_port_conflict(self, wanted: HostPort) -> bool:
        """Whether a pod here holds the port on the same address, or either of them on all addresses."""
        address, protocol, port = wanted
        if not self.ports:
            return False
        if address != _EVERYWHERE:
            return wanted in self.ports or (_EVERYWHERE, protocol, port) in self.ports
        return any(held[1] == protocol and held[2] == port for held in self.ports)

    def _count(self, pod: PodInfo, sign: int) -> None:
        signature, requested, scoring = pod.signature, self.requested, self.scoring_requested
        for name, amount in signature.requests.items():
            requested[name] = requested.get(name, 0) + sign * amount
        for name in (CPU, MEMORY):
            scoring[name] += sign * signature.scoring_requests.get(name, 0)
        for port in signature.ports:
            held = self.ports.get(port, 0) + sign
            if held:
                self.ports[port] = held
            else:
                del self.ports[port]
