"""Near these pods, away from those, in topologies given by node labels.

Required: every affinity term needs, in the node's topology, a pod that all terms speak of; the first of a group that
wants to be together may go anywhere, if it matches its own terms. No anti-affinity term may find a pod in the node's
topology, neither the pod's own terms nor those of pods that are there. Preferred: weights of terms that find a pod in
the topology add up, of both sides; a pod that is there and requires the incoming one counts with weight 1,
or `hardPodAffinityWeight`. With `ignorePreferredTermsOfExistingPods` the others' side counts only for pods that have
preferences themselves.
"""

from __future__ import annotations

from tests.scheduler.reference import selectors
from tests.scheduler.reference.cluster import Cluster, Document, labels, name, namespace

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    return is_near(cluster, pod, node) and not is_forbidden(cluster, pod, node)


def is_near(cluster: Cluster, pod: Document, node: Document) -> bool:
    terms = required(pod, "podAffinity")
    if any(term["topologyKey"] not in labels(node) for term in terms):
        return False
    if all(
        any(together(cluster, term, node, other) and all_match(cluster, terms, pod, other)
            for other in cluster.pods.values())
        for term in terms
    ):
        return True
    some_where = any(
        has_topology(cluster, term, other) and all_match(cluster, terms, pod, other)
        for term in terms for other in cluster.pods.values()
    )
    return not some_where and all_match(cluster, terms, pod, pod)


def is_forbidden(cluster: Cluster, pod: Document, node: Document) -> bool:
    return any(
        any(together(cluster, term, node, other) and speaks_of(cluster, term, pod, other)
            for term in required(pod, "podAntiAffinity"))
        or any(together(cluster, term, node, other) and speaks_of(cluster, term, other, pod)
               for term in required(other, "podAntiAffinity"))
        for other in cluster.pods.values()
    )


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    ignores = cluster.argument("InterPodAffinity", "ignorePreferredTermsOfExistingPods", False)
    if ignores and not any(preferred(pod, kind) for kind in ("podAffinity", "podAntiAffinity")):
        return {name(node): 0 for node in nodes}
    raw = {name(node): sum(_pull(cluster, pod, node, other) for other in cluster.pods.values()) for node in nodes}
    least, most = min(raw.values()), max(raw.values())
    return {node: int(100 * ((score - least) / (most - least))) if most > least else 0 for node, score in raw.items()}


def _pull(cluster: Cluster, pod: Document, node: Document, other: Document) -> int:
    """What one pod that is somewhere adds to the score of a node."""
    hard_weight = cluster.argument("InterPodAffinity", "hardPodAffinityWeight", 1)
    sides = [
        (pod, other, preferred(pod, "podAffinity"), 1), (pod, other, preferred(pod, "podAntiAffinity"), -1),
        (other, pod, preferred(other, "podAffinity"), 1), (other, pod, preferred(other, "podAntiAffinity"), -1),
        (other, pod, [(hard_weight, term) for term in required(other, "podAffinity")], 1),
    ]
    return sum(
        sign * weight
        for owner, about, terms, sign in sides for weight, term in terms
        if together(cluster, term, node, other) and speaks_of(cluster, term, owner, about)
    )


def speaks_of(cluster: Cluster, term: Document, owner: Document, other: Document) -> bool:
    """Whether `other` is in the term's namespaces and matches its selector.

    Without namespaces and namespaceSelector, the owner's namespace is meant; an empty namespaceSelector means all.
    """
    listed, selector = term.get("namespaces") or [], term.get("namespaceSelector")
    if not listed and selector is None:
        listed = [namespace(owner)]
    here = namespace(other) in listed or selectors.matches(selector, cluster.namespaces.get(namespace(other), {}))
    return here and selectors.matches(term.get("labelSelector"), labels(other))


def all_match(cluster: Cluster, terms: list[Document], owner: Document, other: Document) -> bool:
    return all(speaks_of(cluster, term, owner, other) for term in terms)


def has_topology(cluster: Cluster, term: Document, placed: Document) -> bool:
    its_node = cluster.node_of(placed)
    return its_node is not None and term["topologyKey"] in labels(its_node)


def together(cluster: Cluster, term: Document, node: Document, placed: Document) -> bool:
    """Whether a placed pod is in the same topology as a node."""
    its_node, key = cluster.node_of(placed), term["topologyKey"]
    return (
        its_node is not None and key in labels(node) and key in labels(its_node)
        and labels(node)[key] == labels(its_node)[key]
    )


def required(pod: Document, kind: str) -> list[Document]:
    return ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(REQUIRED) or []


def preferred(pod: Document, kind: str) -> list[tuple[int, Document]]:
    wishes = ((pod["spec"].get("affinity") or {}).get(kind) or {}).get(PREFERRED) or []
    return [(wish["weight"], wish["podAffinityTerm"]) for wish in wishes]
