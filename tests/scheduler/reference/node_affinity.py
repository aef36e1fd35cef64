"""nodeSelector and required node affinity must both hold; preferred terms that match add their weights.

The plugin's `addedAffinity` is demanded of every pod besides.
Terms are alternatives, what is in a term must hold together, an empty term matches no node.
"""

from __future__ import annotations

from tests.scheduler.reference import normalize, selectors
from tests.scheduler.reference.cluster import Cluster, Document, labels, name

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    added = cluster.argument("NodeAffinity", "addedAffinity", {}).get(REQUIRED)
    return (added is None or selector_matches(added, node)) and is_wanted(pod, node)


def is_wanted(pod: Document, node: Document) -> bool:
    """What the pod itself says."""
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels(node).get(key) != value for key, value in wanted.items()):
        return False
    required = _affinity(pod).get(REQUIRED)
    return required is None or selector_matches(required, node)


def selector_matches(selector: Document, node: Document) -> bool:
    return any(term_matches(term, node) for term in selector["nodeSelectorTerms"])


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    added = cluster.argument("NodeAffinity", "addedAffinity", {})
    preferred = [*(added.get(PREFERRED) or []), *(_affinity(pod).get(PREFERRED) or [])]
    return normalize.share({
        name(node): sum(wish["weight"] for wish in preferred if term_matches(wish["preference"], node))
        for node in nodes
    })


def term_matches(term: Document, node: Document) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return (
        all(selectors.requirement_holds(one, labels(node)) for one in expressions)
        and all(selectors.requirement_holds(one, {"metadata.name": name(node)}) for one in fields)
    )


def _affinity(pod: Document) -> Document:
    return (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
