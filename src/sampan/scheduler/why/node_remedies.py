"""Remedies for what the node itself lacks: room, a label, a name, a tolerated taint, a free port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sampan.apimachinery.object import Object
from sampan.scheduler.framework.status import Status
from sampan.scheduler.node_info import NodeInfo
from sampan.scheduler.pod_info import PodInfo
from sampan.scheduler.resources import CPU, MEMORY, PODS
from sampan.scheduler.taints import tolerated
from sampan.scheduler.why.remedy import BEYOND, LARGE, MEDIUM, SMALL, Edit, Remedy

_CONDITIONS = {
    "node.kubernetes.io/not-ready": "the node to become Ready",
    "node.kubernetes.io/unreachable": "the node to be reachable again",
    "node.kubernetes.io/memory-pressure": "the node to have free memory again",
    "node.kubernetes.io/disk-pressure": "the node to have free disk space again",
    "node.kubernetes.io/pid-pressure": "the node to have free process ids again",
    "node.kubernetes.io/network-unavailable": "the node's network to be set up",
}
_CORDON = "node.kubernetes.io/unschedulable"
_HARD = ("NoSchedule", "NoExecute")


def room(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """NodeResourcesFit: how much is missing, and which pod would make room by going."""
    if len(node.pods) + 1 > node.max_pods:
        text = f"a place more: {len(node.pods)} of {node.max_pods} pods"
        yield Remedy(text, MEDIUM, node=_more(PODS, len(node.pods) + 1))
    for name, asked in pod.requests.items():
        capacity = node.allocatable.get(name, 0)
        free = capacity - node.requested.get(name, 0)
        if asked <= max(free, 0):
            continue
        text = f"{shown(name, asked - free)} {name} more: {shown(name, asked)} asked, " \
               f"{shown(name, max(free, 0))} of {shown(name, capacity)} free"
        leaving = _leaving(node, name, asked - free, pod.priority)
        if leaving:
            text += f"; {leaving} holds as much"
        share = (asked - free) / asked
        weight = BEYOND if asked > capacity else MEDIUM * share + SMALL
        yield Remedy(text, weight, node=_more(name, node.requested.get(name, 0) + asked))


def taints(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """TaintToleration: every taint that is not tolerated."""
    for taint in node.taints:
        if taint.get("effect") not in _HARD or tolerated(taint, pod.tolerations):
            continue
        key, value, effect = str(taint["key"]), taint.get("value") or "", str(taint["effect"])
        if key == _CORDON:
            yield uncordon(node)
        elif key in _CONDITIONS:
            yield Remedy(_CONDITIONS[key], LARGE, pod=_tolerating(taint))
        else:
            yield Remedy(f"tolerate {key}{f'={value}' if value else ''}:{effect}", SMALL, pod=_tolerating(taint))


def schedulable(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """NodeUnschedulable."""
    yield uncordon(node)


def uncordon(node: NodeInfo) -> Remedy:
    return Remedy(f"kubectl uncordon {node.name}", SMALL, node=_uncordoned)


def labels(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """NodeAffinity: the labels that the node selector and the most nearly fitting term ask for."""
    for key, value in (pod.spec.get("nodeSelector") or {}).items():
        if node.labels.get(key) != value:
            yield labelled(key, value)
    affinity = (pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = [_missing(term, node) for term in required.get("nodeSelectorTerms") or ()]
    if terms and all(terms):
        yield from min(terms, key=lambda missing: sum(remedy.weight for remedy in missing))


def name(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """NodeName."""
    yield Remedy(f"spec.nodeName to be {node.name} or empty", LARGE)


def ports(pod: PodInfo, node: NodeInfo, refusal: Status) -> Iterator[Remedy]:
    """NodePorts: who has the port."""
    for port in pod.ports:
        single = NodeInfo("")
        holders = []
        for other in node.pods.values():
            single.add(other)
            if single.has_port_conflict(port):
                holders.append(other.key)
            single.remove(other.key)
        if holders:
            yield Remedy(f"host port {port[2]}/{port[1]}, which {', '.join(holders)} has", LARGE)


def labelled(key: str, value: str) -> Remedy:
    def edit(node: Object) -> None:
        node.setdefault("metadata", {}).setdefault("labels", {})[key] = value

    return Remedy(f"the label {key}={value} on the node", SMALL, node=edit)


def shown(name: str, amount: int) -> str:
    """An amount as a person writes it: `1500m`, `2`, `512Mi`."""
    if name == CPU:
        return f"{amount // 1000}" if amount % 1000 == 0 else f"{amount}m"
    if name != MEMORY and "storage" not in name and not name.startswith("hugepages-"):
        return str(amount)
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if amount >= size:
            return f"{amount / size:.4g}{unit}"
    return str(amount)


def _leaving(node: NodeInfo, name: str, missing: int, priority: int) -> str:
    """The smallest pod, no more important, that holds at least what is missing; empty if no single one does."""
    holders = [
        (other.requests.get(name, 0), other.key) for other in node.pods.values()
        if other.requests.get(name, 0) >= missing and other.priority <= priority
    ]
    return min(holders)[1] if holders else ""


def _missing(term: Mapping[str, Sequence[Object]], node: NodeInfo) -> list[Remedy]:
    """What the node lacks to match a term of node affinity."""
    found: list[Remedy] = []
    for expression in term.get("matchExpressions") or ():
        remedy = _for_expression(expression, node)
        if remedy is not None:
            found.append(remedy)
    found += [
        Remedy("another node, by the pod's own affinity", BEYOND) for field in term.get("matchFields") or ()
        if (node.name in (field.get("values") or ())) != (field.get("operator") == "In")
    ]
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return [Remedy("a term that matches something: an empty one never does", LARGE)]
    return found


def _for_expression(expression: Object, node: NodeInfo) -> Remedy | None:
    key, operator = str(expression.get("key")), expression.get("operator")
    values = [str(value) for value in expression.get("values") or ()]
    present = node.labels.get(key)
    match operator:
        case "In" if present not in values:
            return labelled(key, values[0])
        case "Exists" if present is None:
            return labelled(key, "")
        case "NotIn" if present in values:
            return _without(key)
        case "DoesNotExist" if present is not None:
            return _without(key)
        case "Gt" | "Lt":
            more = operator == "Gt"
            number = int(present) if present is not None and present.lstrip("-").isdigit() else None
            if number is None or (number <= int(values[0]) if more else number >= int(values[0])):
                return labelled(key, str(int(values[0]) + (1 if more else -1)))
    return None


def _without(key: str) -> Remedy:
    def edit(node: Object) -> None:
        node.get("metadata", {}).get("labels", {}).pop(key, None)

    return Remedy(f"the node without the label {key}", SMALL, node=edit)


def _tolerating(taint: Object) -> Edit:
    def edit(pod: Object) -> None:
        toleration = {"key": taint["key"], "operator": "Exists", "effect": taint["effect"]}
        pod["spec"].setdefault("tolerations", []).append(toleration)

    return edit


def _more(name: str, needed: int) -> Edit:
    def edit(node: Object) -> None:
        status = node.setdefault("status", {})
        allocatable = dict(status.get("allocatable") or status.get("capacity") or {})
        allocatable[name] = f"{needed}m" if name == CPU else str(needed)
        status["allocatable"] = allocatable

    return edit


def _uncordoned(node: Object) -> None:
    spec = node.setdefault("spec", {})
    spec["unschedulable"] = False
    spec["taints"] = [taint for taint in spec.get("taints") or () if taint.get("key") != _CORDON]
