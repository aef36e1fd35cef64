"""Taints NoSchedule and NoExecute keep pods away that do not tolerate them; each PreferNoSchedule costs."""

from __future__ import annotations

from tests.scheduler.reference import normalize
from tests.scheduler.reference.cluster import Cluster, Document, name


def fits(cluster: Cluster, pod: Document, node: Document) -> bool:
    return all(
        taint["effect"] == "PreferNoSchedule" or tolerates(pod, taint) for taint in node["spec"].get("taints") or []
    )


def scores(cluster: Cluster, pod: Document, nodes: list[Document]) -> dict[str, int]:
    """The fewer soft taints that the pod does not tolerate, the better."""
    return normalize.reversed_share({
        name(node): sum(
            taint["effect"] == "PreferNoSchedule" and not tolerates(pod, taint)
            for taint in node["spec"].get("taints") or []
        )
        for node in nodes
    })


def tolerates(pod: Document, taint: Document) -> bool:
    """An empty effect tolerates every effect; an empty key with Exists every taint."""
    for toleration in pod["spec"].get("tolerations") or []:
        if toleration.get("effect") not in (None, "", taint["effect"]):
            continue
        if toleration.get("key") not in (None, "", taint["key"]):
            continue
        if toleration.get("operator") == "Exists":
            return True
        if (toleration.get("value") or "") == (taint.get("value") or ""):
            return True
    return False
