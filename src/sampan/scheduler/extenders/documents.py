"""The documents of the extender API (k8s.io/kube-scheduler/extender/v1): what is sent, and what comes back.

Upstream's types have no JSON names, so fields are written as Go writes them (`NodeNames`), and read whatever their
case, as Go reads them: extenders exist in many languages and spell them in many ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sampan.apimachinery.object import Object, name_of
from sampan.scheduler.pod_info import PodInfo


class BadAnswer(ValueError):
    """An extender answered something that is not of its API."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """The nodes that are left, and why others are not; preemption may help with `failed` ones."""

    nodes: frozenset[str]
    failed: Mapping[str, str]
    unresolvable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Victims:
    """Pods that would have to leave a node, by uid."""

    uids: tuple[str, ...]
    violations: int


def arguments(pod: Object, nodes: Mapping[str, Object], *, names_only: bool) -> Object:
    """ExtenderArgs. One of Nodes and NodeNames is null."""
    if names_only:
        return {"Pod": pod, "Nodes": None, "NodeNames": list(nodes)}
    return {"Pod": pod, "Nodes": {"metadata": {}, "items": list(nodes.values())}, "NodeNames": None}


def binding(pod: PodInfo, node_name: str) -> Object:
    """ExtenderBindingArgs."""
    return {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node_name}


def preemption(pod: Object, victims: Mapping[str, tuple[Iterable[Object], int]], *, names_only: bool) -> Object:
    """ExtenderPreemptionArgs: by node the documents of the victims, or only their uids, and violated budgets."""
    if names_only:
        metas = {
            node: {"Pods": [{"UID": pod["metadata"]["uid"]} for pod in pods], "NumPDBViolations": violations}
            for node, (pods, violations) in victims.items()
        }
        return {"Pod": pod, "NodeNameToVictims": None, "NodeNameToMetaVictims": metas}
    whole = {
        node: {"Pods": list(pods), "NumPDBViolations": violations} for node, (pods, violations) in victims.items()
    }
    return {"Pod": pod, "NodeNameToVictims": whole, "NodeNameToMetaVictims": None}


def error_of(answer: Any) -> str:
    """What the extender says went wrong, empty if nothing did."""
    return str(_field(answer, "error") or "") if isinstance(answer, dict) else ""


def filtered(answer: Any, asked: Mapping[str, Object]) -> Filtered:
    """An ExtenderFilterResult. Raises BadAnswer."""
    names, nodes = _field(answer, "nodenames"), _field(answer, "nodes")
    if names is None:
        names = [name_of(node) for node in (_field(nodes, "items") or [])] if nodes is not None else []
    for name in names:
        if name not in asked:
            raise BadAnswer(f'it claims a filtered node "{name}" which is not found in the input node list')
    return Filtered(
        frozenset(names), dict(_field(answer, "failednodes") or {}),
        dict(_field(answer, "failedandunresolvablenodes") or {}),
    )


def priorities(answer: Any) -> dict[str, int]:
    """A HostPriorityList. Raises BadAnswer."""
    if not isinstance(answer, list):
        raise BadAnswer("it did not answer with a list of hosts and scores")
    return {str(_field(item, "host")): int(_field(item, "score") or 0) for item in answer}


def victims(answer: Any) -> dict[str, Victims]:
    """An ExtenderPreemptionResult. Raises BadAnswer."""
    found = _field(answer, "nodenametometavictims") or {}
    return {
        node: Victims(
            tuple(str(_field(pod, "uid")) for pod in _field(item, "pods") or []),
            int(_field(item, "numpdbviolations") or 0),
        )
        for node, item in found.items()
    }


def _field(document: Any, name: str) -> Any:
    """The value of a field, whatever the case of its name."""
    if not isinstance(document, dict):
        raise BadAnswer(f"it answered {type(document).__name__} where an object with {name} was expected")
    return next((value for key, value in document.items() if key.lower() == name), None)
