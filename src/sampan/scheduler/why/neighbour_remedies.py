"""Remedies for what other pods do to a node: too many of a sort in its topology, one too near, one too far.

Who is where is looked up once per term (`Neighbours`), not once per node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.apimachinery.object import Object
from sampan.scheduler.framework.status import Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_affinity import AffinityTerm, NamespaceLabels
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.spread import DO_NOT_SCHEDULE, SpreadConstraint, own_constraints
from sampan.scheduler.why.node_remedies import labelled
from sampan.scheduler.why.remedy import LARGE, MEDIUM, Edit, Remedy

_NAMED = 3


class Neighbours:
    """The pods that matter to one pod's rules about others, by topology domain."""

    def __init__(self, snapshot: Snapshot, pod: PodInfo, namespaces: NamespaceLabels) -> None:
        self._snapshot = snapshot
        self._pod = pod
        self._namespaces = namespaces
        self._found: dict[object, dict[str, list[str]]] = {}

    def spread(self, pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
        """PodTopologySpread: the skew that the node would bring, or the label that it lacks."""
        for position, constraint in enumerate(own_constraints(pod.signature, DO_NOT_SCHEDULE)):
            key = constraint.topology_key
            value = node.labels.get(key)
            if value is None:
                yield labelled(key, "…")
                continue
            skew = self._skew(constraint, value)
            if skew > constraint.max_skew:
                least = f"maxSkew {skew} instead of {constraint.max_skew} over {key}"
                text = f"{least}, or more of these pods outside of {value}"
                yield Remedy(text, MEDIUM, pod=_skewed(position, skew))

    def affinity(self, pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
        """InterPodAffinity: which pods are in the way, or missing."""
        for term in pod.affinity.required:
            value = node.labels.get(term.topology_key)
            if value is None:
                yield labelled(term.topology_key, "…")
            elif not self._of(term, self._spoken_of(term), term.topology_key).get(value):
                yield Remedy(f"a pod with {term.selector or 'any labels'} in {term.topology_key}={value}", LARGE)
        for term in pod.affinity.required_anti:
            yield from self._away(term, self._spoken_of(term), node, "its own rule keeps it from")
        for term in self._against():
            holds = _holding(term)
            yield from self._away((term, "against"), holds, node, "kept away by the rule of")

    def _away(
        self, key: AffinityTerm | tuple[AffinityTerm, str], which: Callable[[PodInfo], bool], node: NodeInfo, words: str
    ) -> Iterator[Remedy]:
        term = key if isinstance(key, AffinityTerm) else key[0]
        value = node.labels.get(term.topology_key)
        pods = self._of(key, which, term.topology_key).get(value or "", [])
        if value is not None and pods:
            more = f" and {len(pods) - _NAMED} more" if len(pods) > _NAMED else ""
            names = ", ".join(pods[:_NAMED]) + more
            yield Remedy(f"{term.topology_key}={value} without {names} ({words} these)", LARGE)

    def _skew(self, constraint: SpreadConstraint, value: str) -> int:
        """What the skew would be with the pod in that domain."""
        key, namespace = constraint.topology_key, self._pod.namespace
        counted = self._of(constraint, lambda other: constraint.matches(other, namespace), key)
        nodes = [node for node in self._snapshot.nodes() if constraint.counts_node(self._pod.signature, node)]
        domains = {node.labels[key] for node in nodes if key in node.labels}
        least = min((len(counted.get(domain, ())) for domain in domains), default=0)
        if len(domains) < constraint.min_domains:
            least = 0
        return len(counted.get(value, ())) + constraint.selector.matches(self._pod.labels) - least

    def _spoken_of(self, term: AffinityTerm) -> Callable[[PodInfo], bool]:
        return lambda other: term.matches(other.namespace, other.labels, self._namespaces)

    def _against(self) -> list[AffinityTerm]:
        """Terms of placed pods that keep this pod away."""
        terms = {
            term: None for node in self._snapshot.nodes() for other in node.pods.values()
            for term in other.affinity.required_anti
            if term.matches(self._pod.namespace, self._pod.labels, self._namespaces)
        }
        return list(terms)

    def _of(self, key: object, which: Callable[[PodInfo], bool], topology_key: str) -> dict[str, list[str]]:
        """By domain, the pods that `which` selects."""
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = {}
            for node in self._snapshot.nodes():
                value = node.labels.get(topology_key)
                if value is not None:
                    found.setdefault(value, []).extend(other.key for other in node.pods.values() if which(other))
        return found


def _holding(term: AffinityTerm) -> Callable[[PodInfo], bool]:
    return lambda other: term in other.affinity.required_anti


def _skewed(position: int, skew: int) -> Edit:
    def edit(pod: Object) -> None:
        hard = [c for c in pod["spec"]["topologySpreadConstraints"] if c.get("whenUnsatisfiable") == DO_NOT_SCHEDULE]
        hard[position]["maxSkew"] = skew

    return edit
