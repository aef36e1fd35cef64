"""What an object counts for in a ResourceQuota: its number, and for some kinds what it asks for.

Everything here is pure. Amounts are by the quota's names: `pods`, `count/deployments.apps`, `requests.cpu`,
`limits.memory`. Source: "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from sampan.api.core.qos import qos_class
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import Format, Quantity
from sampan.apimachinery.resource import Resource

Usage: TypeAlias = dict[str, Quantity]

_OWN_NAMES: Final = frozenset({
    "pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
})
_COMPUTE: Final = ("cpu", "memory", "ephemeral-storage")
_STORAGE_CLASS: Final = ".storageclass.storage.k8s.io/"
_ONE = Quantity.of(1)


def usage_of(resource: Resource, obj: Object) -> Usage:
    """What one object counts for. A pod that has ended asks for nothing any more."""
    found: Usage = {f"count/{resource.qualified}": _ONE}
    if resource.group:
        return found
    if resource.plural in _OWN_NAMES:
        found[resource.plural] = _ONE
    if resource.plural == "pods":
        if dig(obj, "status", "phase") in ("Succeeded", "Failed"):
            return {f"count/{resource.qualified}": _ONE}
        found |= _pod(obj)
    elif resource.plural == "services":
        found |= _service(obj)
    elif resource.plural == "persistentvolumeclaims":
        found |= _claim(obj)
    return found


def _pod(pod: Object) -> Usage:
    found: Usage = {}
    for section in ("requests", "limits"):
        for name, amount in _total(pod, section).items():
            if name in _COMPUTE:
                found[f"{section}.{name}"] = amount
                if section == "requests":
                    found[name] = amount
            elif section == "requests" and ("/" in name or name.startswith("hugepages-")):
                found[f"requests.{name}"] = amount
    return found


def _total(pod: Object, section: str) -> Usage:
    """What the pod asks for at the moment when it asks for most, as the scheduler counts it.

    Containers and sidecars add up; an init container counts, with the sidecars before it, where that is more. What is
    stated for the pod as a whole comes before that, and the overhead of its runtime on top.
    """
    total: Usage = {}
    for container in dig(pod, "spec", "containers", default=()):
        _add(total, dig(container, "resources", section, default={}))
    sidecars: Usage = {}
    most: Usage = {}
    for container in dig(pod, "spec", "initContainers", default=()):
        asked = dig(container, "resources", section, default={})
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            moment = sidecars
        else:
            moment = dict(sidecars)
            _add(moment, asked)
        for name, amount in moment.items():
            most[name] = max(most.get(name, amount), amount)
    for name, amount in most.items():
        total[name] = max(total.get(name, amount), amount)
    for name, text in dig(pod, "spec", "resources", section, default={}).items():
        total[name] = Quantity.parse(text)
    overhead = dig(pod, "spec", "overhead", default={})
    _add(total, {name: text for name, text in overhead.items() if section == "requests" or name in total})
    return total


def _add(total: Usage, asked: Mapping[str, str]) -> None:
    for name, text in asked.items():
        total[name] = plus(total.get(name), Quantity.parse(text))


def _service(service: Object) -> Usage:
    kind, ports = dig(service, "spec", "type", default=""), dig(service, "spec", "ports", default=())
    if kind == "LoadBalancer" and dig(service, "spec", "allocateLoadBalancerNodePorts") is False:
        numbers = sum(bool(port.get("nodePort")) for port in ports)
    else:
        numbers = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    found: Usage = {"services.loadbalancers": _ONE} if kind == "LoadBalancer" else {}
    return found | ({"services.nodeports": Quantity.of(numbers)} if numbers else {})


def _claim(claim: Object) -> Usage:
    found: Usage = {}
    size = dig(claim, "spec", "resources", "requests", "storage")
    granted = dig(claim, "status", "allocatedResources", "storage")
    if size is not None and granted is not None:  # a smaller size does not count before it is reached
        size = max(size, granted, key=Quantity.parse)
    storage_class = dig(claim, "spec", "storageClassName", default="")
    if size is not None:
        found["requests.storage"] = Quantity.parse(size)
    if storage_class:
        found[f"{storage_class}{_STORAGE_CLASS}persistentvolumeclaims"] = _ONE
        if size is not None:
            found[f"{storage_class}{_STORAGE_CLASS}requests.storage"] = Quantity.parse(size)
    return found


def plus(one: Quantity | None, other: Quantity) -> Quantity:
    return other if one is None else Quantity(one.nanos + other.nanos, one.format)


def missing(pod: Object, hard: Mapping[str, str]) -> str:
    """Compute resources that a quota limits and containers do not state, as upstream lists them; "" for none."""
    lines: dict[str, list[str]] = {}
    containers = [one for kind in ("containers", "initContainers") for one in dig(pod, "spec", kind, default=())]
    for name in sorted(hard):
        section, _, compute = name.rpartition(".") if "." in name else ("requests", "", name)
        if compute not in ("cpu", "memory") or section not in ("requests", "limits"):
            continue
        without = [
            str(one.get("name", "")) for one in containers if compute not in dig(one, "resources", section, default={})
        ]
        if without:
            lines[name] = sorted(without)
    return "; ".join(f"{name} for: {','.join(names)}" for name, names in lines.items())


def in_scope(quota: Object, resource: Resource, obj: Object) -> bool:
    """Whether a quota counts this object: one with scopes counts only pods, or claims, that are in all of them."""
    scopes = list(dig(quota, "spec", "scopes", default=()))
    selector = dig(quota, "spec", "scopeSelector", "matchExpressions", default=())
    if not scopes and not selector:
        return True
    asked = [*((scope, "Exists", ()) for scope in scopes),
             *((one.get("scopeName", ""), one.get("operator", ""), one.get("values") or ()) for one in selector)]
    if (resource.group, resource.plural) == ("", "persistentvolumeclaims"):
        return all(_claim_in(*one, obj) for one in asked)
    return (resource.group, resource.plural) == ("", "pods") and all(_in(*one, obj) for one in asked)


def _in(scope: str, operator: str, values: Collection[str], pod: Object) -> bool:
    spec = pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        return (qos_class(pod) == "BestEffort") == (scope == "BestEffort")
    if scope == "PriorityClass":
        return _matches({spec["priorityClassName"]} if spec.get("priorityClassName") else set(), operator, values)
    return scope == "CrossNamespacePodAffinity" and _looks_elsewhere(spec)


def _claim_in(scope: str, operator: str, values: Collection[str], claim: Object) -> bool:
    names = (
        dig(claim, "spec", "volumeAttributesClassName"), dig(claim, "status", "currentVolumeAttributesClassName"),
        dig(claim, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return scope == "VolumeAttributesClass" and _matches({name for name in names if name}, operator, values)


def _matches(names: set[str], operator: str, values: Collection[str]) -> bool:
    listed = not names.isdisjoint(values)
    return {"Exists": bool(names), "DoesNotExist": not names, "In": listed, "NotIn": not listed}.get(operator, False)


def _looks_elsewhere(spec: Object) -> bool:
    """Whether an affinity term of the pod is about pods of other namespaces."""
    for kind in ("podAffinity", "podAntiAffinity"):
        found = dig(spec, "affinity", kind, default={})
        terms = list(found.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = found.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [one.get("podAffinityTerm") or {} for one in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


ZERO: Final = Quantity(0, Format.DECIMAL_SI)
