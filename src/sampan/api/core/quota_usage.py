"""What an object counts for in a ResourceQuota: its number, and for some kinds what it asks for.

Everything here is pure. Amounts are by the quota's names: `pods`, `count/deployments.apps`, `requests.cpu`,
`limits.memory`, `gpu.deviceclass.resource.k8s.io/devices`. A pod counts for the most that its spec asks for and its
kubelet has given it, so that one that is being resized is never counted for too little; one that has ended, or should
have by now, is still one object but uses nothing. Source: "Resource Quotas" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
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
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DEVICE_CLASS: Final = ".deviceclass.resource.k8s.io/devices"
_IMPLICIT_DEVICES: Final = "deviceclass.resource.kubernetes.io/"
MOST_DEVICES: Final = 32
"""As many as one claim can be given."""
_ONE = Quantity.of(1)


def usage_of(resource: Resource, obj: Object, now: datetime) -> Usage:
    """What one object counts for. A pod that has ended asks for nothing any more."""
    found: Usage = {f"count/{resource.qualified}": _ONE}
    if resource.qualified == "resourceclaims.resource.k8s.io":
        return found | _devices(obj)
    if resource.group:
        return found
    if resource.plural == "pods":
        is_over = dig(obj, "status", "phase") in ("Succeeded", "Failed") or is_overdue(obj, now)
        return found if is_over else found | {"pods": _ONE} | _pod(obj)
    if resource.plural in _OWN_NAMES:
        found[resource.plural] = _ONE
    if resource.plural == "services":
        found |= _service(obj)
    elif resource.plural == "persistentvolumeclaims":
        found |= _claim(obj)
    return found


def counts_for(resource: Resource, name: str) -> bool:
    """Whether objects of `resource` are what a limit of this name is about."""
    if name == f"count/{resource.qualified}":
        return True
    if resource.qualified == "resourceclaims.resource.k8s.io":
        return name.endswith(_DEVICE_CLASS)
    if resource.group:
        return False
    if resource.plural == "services":
        return name in ("services", "services.nodeports", "services.loadbalancers")
    if resource.plural == "persistentvolumeclaims":
        names = ("persistentvolumeclaims", "requests.storage")
        return name in names or name.partition(_STORAGE_CLASS)[2] in names
    if resource.plural == "pods":
        bare = name.removeprefix("requests.").removeprefix("limits.")
        return name == "pods" or bare in _COMPUTE or bare.startswith("hugepages-") or (
            name.startswith("requests.") and _is_extended(bare)
        )
    return name == resource.plural and name in _OWN_NAMES


def is_overdue(obj: Object, now: datetime) -> bool:
    """Whether it should long be gone: a pod whose node was lost ends for nobody, and is not charged for ever."""
    deleted = dig(obj, "metadata", "deletionTimestamp")
    grace_s = dig(obj, "metadata", "deletionGracePeriodSeconds")
    if deleted is None or grace_s is None:
        return False
    return now > datetime.fromisoformat(deleted) + timedelta(seconds=int(grace_s))


def _pod(pod: Object) -> Usage:
    found: Usage = {}
    for name, amount in _total(pod, "limits").items():
        if name in _COMPUTE:
            found[f"limits.{name}"] = amount
    for name, amount in _total(pod, "requests").items():
        is_huge = name.startswith("hugepages-")
        if name in _COMPUTE or is_huge:
            found[name] = amount
        if name in _COMPUTE or is_huge or _is_extended(name):
            found[f"requests.{name}"] = amount
    return found


def _is_extended(name: str) -> bool:
    """Whether it is a resource of somebody else's domain, as `example.com/gpu`."""
    return name.startswith(_IMPLICIT_DEVICES) or ("/" in name and "kubernetes.io/" not in name)


def _total(pod: Object, section: str) -> Usage:
    """What the pod asks for at the moment when it asks for most, as the scheduler counts it.

    Containers and sidecars add up; an init container counts, with the sidecars before it, where that is more. What is
    stated for the pod as a whole comes before that, and the overhead of its runtime on top.
    """
    total: Usage = {}
    for container in dig(pod, "spec", "containers", default=()):
        _add(total, _asked(pod, container, "containerStatuses", section))
    sidecars: Usage = {}
    most: Usage = {}
    for container in dig(pod, "spec", "initContainers", default=()):
        asked = _asked(pod, container, "initContainerStatuses", section)
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


def _asked(pod: Object, container: Object, statuses: str, section: str) -> Mapping[str, str]:
    """What a container asks for, or has while that is more; a size that its node can never give does not count."""
    asked: Mapping[str, str] = dig(container, "resources", section, default={})
    reported = dig(pod, "status", statuses, default=())
    status = next((one for one in reported if one.get("name") == container.get("name")), None)
    if status is None or not status.get("resources"):
        return asked
    has = [dig(status, "resources", section, default={})]
    if section == "requests":
        has.append(status.get("allocatedResources") or {})
    if not _is_infeasible(pod):
        has.append(asked)
    most: dict[str, str] = {}
    for amounts in has:
        for name, text in amounts.items():
            most[name] = max(most.get(name, text), text, key=Quantity.parse)
    return most


def _is_infeasible(pod: Object) -> bool:
    return any(
        (one.get("type"), one.get("reason")) == ("PodResizePending", "Infeasible")
        for one in dig(pod, "status", "conditions", default=())
    )


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
    storage_class = dig(claim, "metadata", "annotations", _OLD_CLASS)
    if storage_class is None:
        storage_class = dig(claim, "spec", "storageClassName")
    if size is not None:
        found["requests.storage"] = Quantity.parse(size).rounded_up(0)
    if storage_class:
        found[f"{storage_class}{_STORAGE_CLASS}persistentvolumeclaims"] = _ONE
        if size is not None:
            found[f"{storage_class}{_STORAGE_CLASS}requests.storage"] = found["requests.storage"]
    return found


def _devices(claim: Object) -> Usage:
    """By device class, as many devices as the claim may be given at most."""
    found: Usage = {}
    for request in dig(claim, "spec", "devices", "requests", default=()):
        most: dict[str, int] = {}
        for one in request.get("firstAvailable") or ([request["exactly"]] if request.get("exactly") else ()):
            mode = one.get("allocationMode", "ExactCount")
            number = int(one.get("count", 1)) if mode == "ExactCount" else MOST_DEVICES if mode == "All" else 0
            name = f"{one.get('deviceClassName', '')}{_DEVICE_CLASS}"
            most[name] = max(most.get(name, 0), number)
        for name, number in most.items():
            found[name] = plus(found.get(name), Quantity.of(number))
    return found


def plus(one: Quantity | None, other: Quantity) -> Quantity:
    return other if one is None else Quantity(one.nanos + other.nanos, one.format)


def missing(pod: Object, hard: Mapping[str, str]) -> str:
    """Compute resources that a quota limits and containers do not state, as upstream lists them; "" for none.

    A pod that states something for itself as a whole need not.
    """
    if dig(pod, "spec", "resources", "requests") or dig(pod, "spec", "resources", "limits"):
        return ""
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


ZERO: Final = Quantity(0, Format.DECIMAL_SI)
