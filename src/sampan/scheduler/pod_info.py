"""A pod as the scheduler sees it: its signature, and the little in which it differs from others of its template.

The document is kept only while the pod waits to be placed; of a placed pod nothing asks for it, and a hundred thousand
of them would fill the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sampan.apimachinery.object import Object, is_being_deleted, key_of, name_of, resource_version_of, uid_of
from sampan.scheduler.node_selector import NodeSelector, Preference
from sampan.scheduler.pod_affinity import NamespaceLabels, PodAffinity
from sampan.scheduler.resources import Amounts
from sampan.scheduler.signature import HostPort, Signature, signature_of

__all__ = ["HostPort", "NamespaceLabels", "PodInfo", "parse"]


@dataclass(slots=True, eq=False)
class PodInfo:
    """Not to be changed: what is derived from it would not follow. `obj` is None for a pod that is on a node."""

    signature: Signature
    key: str
    name: str
    uid: str
    resource_version: str
    node_name: str
    nominated_node: str
    terminating: bool
    started: str
    """`status.startTime`, empty before."""
    obj: Object | None

    @property
    def namespace(self) -> str:
        return self.signature.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        return self.signature.labels

    @property
    def spec(self) -> Object:
        """What scheduling may read of the spec."""
        return self.signature.spec

    @property
    def priority(self) -> int:
        return self.signature.priority

    @property
    def requests(self) -> Amounts:
        return self.signature.requests

    @property
    def scoring_requests(self) -> Amounts:
        return self.signature.scoring_requests

    @property
    def ports(self) -> tuple[HostPort, ...]:
        return self.signature.ports

    @property
    def tolerations(self) -> tuple[Object, ...]:
        return self.signature.tolerations

    @property
    def selector(self) -> NodeSelector | None:
        return self.signature.selector

    @property
    def preferences(self) -> tuple[Preference, ...]:
        return self.signature.preferences

    @property
    def affinity(self) -> PodAffinity:
        return self.signature.affinity

    @property
    def spread(self) -> tuple[Object, ...]:
        return self.signature.spread

    @property
    def images(self) -> tuple[str, ...]:
        return self.signature.images

    @property
    def gates(self) -> tuple[str, ...]:
        return self.signature.gates

    @property
    def reference(self) -> Object:
        """An ObjectReference, for events."""
        return {
            "kind": "Pod", "namespace": self.namespace, "name": self.name, "uid": self.uid, "apiVersion": "v1",
            "resourceVersion": self.resource_version,
        }

    def on(self, node_name: str) -> PodInfo:
        """The same pod, assumed to be on a node."""
        return replace(self, node_name=node_name, obj=None)


def parse(pod: Object) -> PodInfo:
    """Everything that scheduling needs to know of a pod."""
    node_name = (pod.get("spec") or {}).get("nodeName") or ""
    status = pod.get("status") or {}
    return PodInfo(
        signature_of(pod), key_of(pod), name_of(pod), uid_of(pod), resource_version_of(pod), node_name,
        status.get("nominatedNodeName") or "", is_being_deleted(pod), status.get("startTime") or "",
        None if node_name else pod,
    )
