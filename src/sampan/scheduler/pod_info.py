"""A pod as the scheduler sees it: parsed once when it arrives, then only read.

What most pods do not have (affinity, spread constraints) is compiled only where it is present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object, is_being_deleted, key_of, labels_of, name_of, namespace_of, uid_of
from sampan.scheduler import node_selector
from sampan.scheduler.node_selector import NodeSelector, Preference
from sampan.scheduler.resources import Amounts, pod_requests, pod_requests_for_scoring

HostPort: TypeAlias = tuple[str, str, int]
"""(address, protocol, port); the address 0.0.0.0 stands for all."""

NamespaceLabels: TypeAlias = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """A PodAffinityTerm of a pod in some namespace."""

    selector: selectors.Selector
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: selectors.Selector
    weight: int = 0

    def matches(self, pod: PodInfo, namespaces: NamespaceLabels) -> bool:
        """Whether another pod is one of those that the term speaks of."""
        return (
            pod.namespace in self.namespaces
            or (
                not self.namespace_selector.selects_nothing
                and self.namespace_selector.matches(namespaces.get(pod.namespace, {}))
            )
        ) and self.selector.matches(pod.labels)


@dataclass(frozen=True, slots=True)
class PodAffinity:
    """All of a pod's terms about other pods."""

    required: tuple[AffinityTerm, ...] = ()
    required_anti: tuple[AffinityTerm, ...] = ()
    preferred: tuple[AffinityTerm, ...] = ()
    preferred_anti: tuple[AffinityTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required or self.required_anti or self.preferred or self.preferred_anti)


NO_AFFINITY = PodAffinity()


@dataclass(frozen=True, slots=True)
class PodInfo:
    """`obj` is the document; the rest is what the plugins ask of it."""

    obj: Object
    key: str
    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    priority: int
    node_name: str
    nominated_node: str
    terminating: bool
    requests: Amounts
    scoring_requests: Amounts
    ports: tuple[HostPort, ...]
    tolerations: tuple[Object, ...]
    selector: NodeSelector | None
    preferences: tuple[Preference, ...]
    affinity: PodAffinity
    spread: tuple[Object, ...]
    images: tuple[str, ...]
    gates: tuple[str, ...]

    def on(self, node_name: str) -> PodInfo:
        """The same pod, assumed to be on a node."""
        return replace(self, node_name=node_name)


def parse(pod: Object) -> PodInfo:
    """Everything that scheduling needs to know of a pod."""
    spec: Object = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return PodInfo(
        obj=pod,
        key=key_of(pod),
        name=name_of(pod),
        namespace=namespace_of(pod),
        uid=uid_of(pod),
        labels=labels_of(pod),
        priority=spec.get("priority") or 0,
        node_name=spec.get("nodeName") or "",
        nominated_node=(pod.get("status") or {}).get("nominatedNodeName") or "",
        terminating=is_being_deleted(pod),
        requests=pod_requests(pod),
        scoring_requests=pod_requests_for_scoring(pod),
        ports=_host_ports(spec),
        tolerations=tuple(spec.get("tolerations") or ()),
        selector=node_selector.required(spec),
        preferences=node_selector.preferred(spec),
        affinity=_affinity(spec.get("affinity") or {}, namespace_of(pod)),
        spread=tuple(spec.get("topologySpreadConstraints") or ()),
        images=tuple(container["image"] for container in containers if container.get("image")),
        gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
    )


def _host_ports(spec: Object) -> tuple[HostPort, ...]:
    """Ports that the pod takes on its node: of its containers and of its sidecars."""
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    return tuple(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in [*(spec.get("containers") or []), *sidecars]
        for port in container.get("ports") or []
        if port.get("hostPort")
    )


def _affinity(affinity: Object, namespace: str) -> PodAffinity:
    with_pods, against_pods = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    if not with_pods and not against_pods:
        return NO_AFFINITY
    return PodAffinity(
        _required(with_pods, namespace), _required(against_pods, namespace),
        _preferred(with_pods, namespace), _preferred(against_pods, namespace),
    )


def _required(terms: Object, namespace: str) -> tuple[AffinityTerm, ...]:
    found = terms.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    return tuple(_term(term, namespace) for term in found)


def _preferred(terms: Object, namespace: str) -> tuple[AffinityTerm, ...]:
    found = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return tuple(_term(term["podAffinityTerm"], namespace, term["weight"]) for term in found if term.get("weight"))


def _term(term: Object, namespace: str, weight: int = 0) -> AffinityTerm:
    """Without namespaces and namespaceSelector a term speaks of the pod's own namespace."""
    named = frozenset(term.get("namespaces") or ())
    namespace_selector = selectors.from_document(term.get("namespaceSelector"))
    if not named and term.get("namespaceSelector") is None:
        named = frozenset((namespace,))
    return AffinityTerm(
        selectors.from_document(term.get("labelSelector")), term["topologyKey"], named, namespace_selector, weight
    )
