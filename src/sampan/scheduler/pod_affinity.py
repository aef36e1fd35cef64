"""A pod's terms about other pods, compiled: required and preferred, to be near them or away from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sampan.apimachinery import selectors
from sampan.apimachinery.object import Object

Labels: TypeAlias = Mapping[str, str]
NamespaceLabels: TypeAlias = Mapping[str, Labels]


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """A PodAffinityTerm of a pod in some namespace, matchLabelKeys and mismatchLabelKeys resolved."""

    selector: selectors.Selector
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: selectors.Selector
    weight: int = 0

    def matches(self, namespace: str, labels: Labels, namespaces: NamespaceLabels) -> bool:
        """Whether a pod of that namespace with those labels is one that the term speaks of."""
        return (
            namespace in self.namespaces
            or (
                not self.namespace_selector.selects_nothing
                and self.namespace_selector.matches(namespaces.get(namespace, {}))
            )
        ) and self.selector.matches(labels)


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


def compile_affinity(affinity: Object, namespace: str, labels: Labels) -> PodAffinity:
    """From `spec.affinity` of a pod with that namespace and those labels."""
    with_pods, against_pods = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    if not with_pods and not against_pods:
        return NO_AFFINITY
    return PodAffinity(
        _required(with_pods, namespace, labels), _required(against_pods, namespace, labels),
        _preferred(with_pods, namespace, labels), _preferred(against_pods, namespace, labels),
    )


def with_keys(
    selector: selectors.Selector, labels: Labels, keys: Iterable[str], *, excluded: bool = False
) -> selectors.Selector:
    """The selector that also demands (or excludes) the pod's own values of these label keys (KEP-3243, KEP-3633)."""
    operator = "notin" if excluded else "in"
    extra = [selectors.Requirement(key, operator, (labels[key],)) for key in keys if key in labels]
    if not extra or selector.selects_nothing:
        return selector
    present = set(selector.requirements)  # the API server writes them into the selector already
    return selectors.Selector([*selector.requirements, *(one for one in extra if one not in present)])


def _required(terms: Object, namespace: str, labels: Labels) -> tuple[AffinityTerm, ...]:
    found = terms.get("requiredDuringSchedulingIgnoredDuringExecution") or []
    return tuple(_term(term, namespace, labels) for term in found)


def _preferred(terms: Object, namespace: str, labels: Labels) -> tuple[AffinityTerm, ...]:
    found = terms.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    return tuple(
        _term(term["podAffinityTerm"], namespace, labels, term["weight"]) for term in found if term.get("weight")
    )


def _term(term: Object, namespace: str, labels: Labels, weight: int = 0) -> AffinityTerm:
    """Without namespaces and namespaceSelector a term speaks of the pod's own namespace."""
    named = frozenset(term.get("namespaces") or ())
    namespace_selector = selectors.from_document(term.get("namespaceSelector"))
    if not named and term.get("namespaceSelector") is None:
        named = frozenset((namespace,))
    selector = selectors.from_document(term.get("labelSelector"))
    selector = with_keys(selector, labels, term.get("matchLabelKeys") or ())
    selector = with_keys(selector, labels, term.get("mismatchLabelKeys") or (), excluded=True)
    return AffinityTerm(selector, term["topologyKey"], named, namespace_selector, weight)
