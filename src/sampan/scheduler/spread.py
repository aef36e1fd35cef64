"""Topology spread constraints, compiled: those of the pod, or the cluster's default ones.

A pod without constraints of its own that belongs to a Service, ReplicaSet or StatefulSet is spread softly over hosts
and zones, as upstream's system default does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, meta, uid_of
from sampan.apimachinery.selectors import Requirement, Selector
from sampan.scheduler.framework.interface import ListObjects
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.taints import tolerated

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"

DO_NOT_SCHEDULE = "DoNotSchedule"
SCHEDULE_ANYWAY = "ScheduleAnyway"


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """One constraint. `honors_affinity` and `honors_taints` say which nodes count at all."""

    topology_key: str
    max_skew: int
    selector: Selector
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False

    def counts_node(self, pod: PodInfo, node: NodeInfo) -> bool:
        """Whether the node's pods belong to the picture."""
        if self.honors_affinity and pod.selector is not None and not pod.selector.matches(node.name, node.labels):
            return False
        return not self.honors_taints or all(
            taint.get("effect") == "PreferNoSchedule" or tolerated(taint, pod.tolerations) for taint in node.taints
        )

    def matches(self, pod: PodInfo, namespace: str) -> bool:
        return not pod.terminating and pod.namespace == namespace and self.selector.matches(pod.labels)


def own_constraints(pod: PodInfo, action: str) -> list[SpreadConstraint]:
    """The pod's constraints with this `whenUnsatisfiable`."""
    return [_compiled(item, pod) for item in pod.spread if item.get("whenUnsatisfiable") == action]


def default_constraints(pod: PodInfo, services: ListObjects, owners: ListObjects) -> list[SpreadConstraint]:
    """The soft constraints of a pod that has none of its own; none if nothing tells which pods it belongs with."""
    if pod.spread:
        return []
    selector = _default_selector(pod, services(pod.namespace), owners(pod.namespace))
    if selector.selects_everything:
        return []
    return [SpreadConstraint(HOSTNAME, 3, selector), SpreadConstraint(ZONE, 5, selector)]


def _compiled(item: Object, pod: PodInfo) -> SpreadConstraint:
    selector = selectors.from_document(item.get("labelSelector"))
    extra = [
        Requirement(key, "in", (pod.labels[key],)) for key in item.get("matchLabelKeys") or [] if key in pod.labels
    ]
    if extra and not selector.selects_nothing:
        selector = Selector([*selector.requirements, *extra])
    return SpreadConstraint(
        item["topologyKey"], item["maxSkew"], selector, item.get("minDomains") or 1,
        (item.get("nodeAffinityPolicy") or "Honor") == "Honor", item.get("nodeTaintsPolicy") == "Honor",
    )


def _default_selector(pod: PodInfo, services: Sequence[Object], owners: Sequence[Object]) -> Selector:
    """What the Services that select the pod and the controller that owns it select, all at once."""
    requirements: list[Requirement] = []
    for service in services:
        wanted = (service.get("spec") or {}).get("selector") or {}
        if wanted and wanted.items() <= pod.labels.items():
            requirements += selectors.from_labels(wanted).requirements
    references = meta(pod.obj).get("ownerReferences") or []
    controller = next((reference.get("uid") for reference in references if reference.get("controller")), None)
    for owner in owners:
        if controller and uid_of(owner) == controller:
            requirements += selectors.from_document((owner.get("spec") or {}).get("selector")).requirements
    return Selector(list(dict.fromkeys(requirements)))
