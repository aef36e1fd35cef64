"""What an object counts for in a ResourceQuota: its number, and for some kinds what it asks for.

Everything here is pure. Amounts are by the quota's names: `pods`, `count/deployments.apps`, `requests.cpu`,
`limits.memory`. Source: "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

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
    """Containers add up; an init container counts where it asks for more than all of them."""
    total: Usage = {}
    for container in dig(pod, "spec", "containers", default=()):
        for name, text in dig(container, "resources", section, default={}).items():
            total[name] = plus(total.get(name), Quantity.parse(text))
    for container in dig(pod, "spec", "initContainers", default=()):
        for name, text in dig(container, "resources", section, default={}).items():
            amount = Quantity.parse(text)
            if name not in total or amount > total[name]:
                total[name] = amount
    for name, text in dig(pod, "spec", "overhead", default={}).items():
        total[name] = plus(total.get(name), Quantity.parse(text))
    return total


def _service(service: Object) -> Usage:
    kind, ports = dig(service, "spec", "type", default=""), len(dig(service, "spec", "ports", default=()))
    found: Usage = {}
    if kind == "LoadBalancer":
        found["services.loadbalancers"] = _ONE
    if kind == "NodePort" or (
        kind == "LoadBalancer" and dig(service, "spec", "allocateLoadBalancerNodePorts") is not False
    ):
        found["services.nodeports"] = Quantity.of(ports)
    return found


def _claim(claim: Object) -> Usage:
    found: Usage = {}
    size = dig(claim, "spec", "resources", "requests", "storage")
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
    """Whether a quota counts this object: quotas with scopes count only pods that are in all of them."""
    scopes = list(dig(quota, "spec", "scopes", default=()))
    selector = dig(quota, "spec", "scopeSelector", "matchExpressions", default=())
    if not scopes and not selector:
        return True
    if resource.plural != "pods" or resource.group:
        return False
    return all(_in(scope, "Exists", (), obj) for scope in scopes) and all(
        _in(one.get("scopeName", ""), one.get("operator", ""), one.get("values") or (), obj) for one in selector
    )


def _in(scope: str, operator: str, values: object, pod: Object) -> bool:
    spec = pod.get("spec") or {}
    if scope in ("Terminating", "NotTerminating"):
        return (spec.get("activeDeadlineSeconds") is not None) == (scope == "Terminating")
    if scope in ("BestEffort", "NotBestEffort"):
        stated = any(
            dig(one, "resources", section) for kind in ("containers", "initContainers") for one in spec.get(kind) or ()
            for section in ("requests", "limits")
        )
        return stated == (scope == "NotBestEffort")
    if scope == "PriorityClass":
        name = spec.get("priorityClassName", "")
        listed = isinstance(values, list | tuple) and name in values
        return {"Exists": bool(name), "DoesNotExist": not name, "In": listed, "NotIn": not listed}.get(operator, False)
    return False


ZERO: Final = Quantity(0, Format.DECIMAL_SI)
