"""Whether the node takes a pod that was bound to it: upstream's admission at the kubelet, with its reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.apimachinery.quantity import ZERO, Quantity
from sampan.kubelet import resources, spec, sysctls
from sampan.kubelet.refusal import Refusal


def admit(
    pod: Object, node: Object, others: Iterable[Object], unsafe_sysctls: Sequence[str] = ()
) -> Refusal | None:
    """None if the node takes the pod beside `others`, its other active pods. Static pods are always taken."""
    if spec.is_static(pod):
        return None
    neighbours = list(others)
    return (
        sysctls.refusal(pod, unsafe_sysctls)
        or _group_policy(pod)
        or shortage(pod, node, neighbours)
        or _affinity(pod, node)
        or _ports(pod, neighbours)
        or _taints(pod, node)
        or _operating_system(pod)
    )


def shortage(pod: Object, node: Object, others: list[Object]) -> Refusal | None:
    """What of the node's resources does not suffice for the pod beside others."""
    allocatable: Mapping[str, str] = dig(node, "status", "allocatable", default={})
    if "pods" in allocatable and len(others) + 1 > int(allocatable["pods"]):
        return _out_of("pods", "1", str(len(others)), allocatable["pods"])
    used: dict[str, Quantity] = {}
    for other in others:
        for name, amount in resources.pod_requests(other).items():
            used[name] = used.get(name, ZERO) + amount
    for name, amount in resources.pod_requests(pod).items():
        if name not in ("cpu", "memory", "ephemeral-storage") and name not in allocatable:
            continue  # extended resources that this node does not count
        total = Quantity.parse(allocatable.get(name, "0"))
        if amount and amount + used.get(name, ZERO) > total:
            in_units = _milli if name == "cpu" else _whole
            return _out_of(name, in_units(amount), in_units(used.get(name, ZERO)), in_units(total))
    return None


def _milli(amount: Quantity) -> str:
    return str(amount.milli_value)


def _whole(amount: Quantity) -> str:
    return str(amount.value)


def _out_of(resource: str, requested: str, used: str, capacity: str) -> Refusal:
    return Refusal(
        f"OutOf{resource}",
        f"Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}",
    )


def _affinity(pod: Object, node: Object) -> Refusal | None:
    labels = labels_of(node)
    selector = pod["spec"].get("nodeSelector") or {}
    required = dig(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
    )
    fits = all(labels.get(key) == value for key, value in selector.items())
    if fits and required is not None:
        fits = any(_term_matches(term, labels, name_of(node)) for term in required)
    if fits:
        return None
    return Refusal("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")


def _term_matches(term: Object, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_expression_matches(item, labels) for item in expressions) and all(
        _expression_matches(item, {"metadata.name": name}) for item in fields
    )


def _expression_matches(expression: Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    operator = expression["operator"]
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.lstrip("-").isdigit() or not values:
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def _ports(pod: Object, others: list[Object]) -> Refusal | None:
    taken = {port for other in others for port in _host_ports(other)}
    for port, protocol, ip in _host_ports(pod):
        for other_port, other_protocol, other_ip in taken:
            same = port == other_port and protocol == other_protocol
            if same and (ip == other_ip or "0.0.0.0" in (ip, other_ip)):
                return Refusal(
                    "NodePorts",
                    "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
                )
    return None


def _host_ports(pod: Object) -> set[tuple[int, str, str]]:
    return {
        (port["hostPort"], port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0")
        for container in [*spec.containers(pod), *spec.sidecars(pod)]
        for port in container.get("ports") or [] if port.get("hostPort")
    }


def _taints(pod: Object, node: Object) -> Refusal | None:
    tolerations = pod["spec"].get("tolerations") or []
    for taint in dig(node, "spec", "taints", default=[]):
        if taint.get("effect") == "NoExecute" and not any(_tolerates(item, taint) for item in tolerations):
            shown = f"{{{taint['key']}: {taint.get('value', '')}}}"
            return Refusal(
                "TaintToleration",
                f"Predicate TaintToleration failed: node(s) had untolerated taint {shown}",
            )
    return None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if (toleration.get("operator") or "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def _operating_system(pod: Object) -> Refusal | None:
    wanted = dig(pod, "spec", "os", "name")
    if wanted and wanted != "linux":
        return Refusal("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def _group_policy(pod: Object) -> Refusal | None:
    """containerd before 2.0 always merges the image's groups in, so Strict cannot be kept."""
    if dig(pod, "spec", "securityContext", "supplementalGroupsPolicy") == "Strict":
        return Refusal(
            "SupplementalGroupsPolicyNotSupported", "SupplementalGroupsPolicy=Strict is not supported in this node"
        )
    return None
