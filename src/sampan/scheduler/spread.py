"""Topology spread constraints, compiled: those of the pod, or the cluster's default ones.

A pod without constraints of its own that belongs to a Service, ReplicaSet or StatefulSet is spread by the profile's
default constraints; as upstream's system default these are soft ones over hosts and zones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, uid_of
from sampan.apimachinery.selectors import Requirement, Selector
from sampan.scheduler.framework.handle import ListObjects
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_affinity import with_keys
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.signature import Signature
from sampan.scheduler.taints import tolerated

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"

DO_NOT_SCHEDULE = "DoNotSchedule"
SCHEDULE_ANYWAY = "ScheduleAnyway"

SYSTEM_DEFAULTS: tuple[Object, ...] = (
    {"topologyKey": HOSTNAME, "maxSkew": 3, "whenUnsatisfiable": SCHEDULE_ANYWAY},
    {"topologyKey": ZONE, "maxSkew": 5, "whenUnsatisfiable": SCHEDULE_ANYWAY},
)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One constraint. `honors_affinity` and `honors_taints` say which nodes count at all."""

    topology_key: str
    max_skew: int
    selector: Selector
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False

    def counts_node(self, pod: Signature, node: NodeInfo) -> bool:
        """Whether the node's pods belong to the picture."""
        if self.honors_affinity and pod.selector is not None and not pod.selector.matches(node.name, node.labels):
            return False
        return not self.honors_taints or all(
            taint.get("effect") == "PreferNoSchedule" or tolerated(taint, pod.tolerations) for taint in node.taints
        )

    def counts_every_node(self, pod: Signature) -> bool:
        """Whether `counts_node` is true of all nodes, whatever they are."""
        return not self.honors_taints and not (self.honors_affinity and pod.selector is not None)

    def matches(self, other: PodInfo, namespace: str) -> bool:
        return not other.terminating and other.namespace == namespace and self.selector.matches(other.labels)


def own_constraints(pod: Signature, action: str) -> list[SpreadConstraint]:
    """The pod's constraints with this `whenUnsatisfiable`."""
    return [_compiled(item, pod) for item in pod.spread if item.get("whenUnsatisfiable") == action]


def default_constraints(
    pod: Signature, defaults: Sequence[Object], action: str, services: ListObjects, owners: ListObjects
) -> list[SpreadConstraint]:
    """Those of a pod that has none of its own; none if nothing tells which pods it belongs with."""
    wanted = [item for item in defaults if item.get("whenUnsatisfiable") == action]
    if pod.spread or not wanted:
        return []
    selector = _default_selector(pod, services(pod.namespace), owners(pod.namespace))
    if selector.selects_everything:
        return []
    return [replace(_compiled(item, pod), selector=selector) for item in wanted]


def _compiled(item: Object, pod: Signature) -> SpreadConstraint:
    selector = with_keys(
        selectors.from_document(item.get("labelSelector")), pod.labels, item.get("matchLabelKeys") or ()
    )
    return SpreadConstraint(
        item["topologyKey"], item["maxSkew"], selector, item.get("minDomains") or 1,
        (item.get("nodeAffinityPolicy") or "Honor") == "Honor", item.get("nodeTaintsPolicy") == "Honor",
    )


def _selector_of(owner: Object) -> Selector:
    """A ReplicationController's selector is a mapping of labels, everybody else's a LabelSelector."""
    document = (owner.get("spec") or {}).get("selector") or {}
    if document.keys() <= {"matchLabels", "matchExpressions"}:
        return selectors.from_document(document or None)
    return selectors.from_labels(document)


def _default_selector(pod: Signature, services: Sequence[Object], owners: Sequence[Object]) -> Selector:
    """What the Services that select the pod and the controller that owns it select, all at once."""
    requirements: list[Requirement] = []
    for service in services:
        wanted = (service.get("spec") or {}).get("selector") or {}
        if wanted and wanted.items() <= pod.labels.items():
            requirements += selectors.from_labels(wanted).requirements
    for owner in owners if pod.owner_uid else ():
        if uid_of(owner) == pod.owner_uid:
            requirements += _selector_of(owner).requirements
    return Selector(list(dict.fromkeys(requirements)))
