"""Requests and limits: a pod's QoS class, its cgroup figures, and the OOM score of each container. Pure.

Rules: a pod is Guaranteed when every container has equal requests and limits for CPU and memory, BestEffort when none
has any, Burstable otherwise. CPU requests become shares (1024 a core, at least 2), limits a quota per 100 ms period.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.quantity import ZERO, Quantity
from sampan.cri.runtime import Resources
from sampan.kubelet import spec

QOSClass: TypeAlias = Literal["Guaranteed", "Burstable", "BestEffort"]

CPU_PERIOD_US = 100_000
MIN_QUOTA_US = 1000
MIN_SHARES = 2
MAX_SHARES = 262_144

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000


def quantity(container: Object, section: str, resource: str) -> Quantity | None:
    """`resources.requests.cpu` and the like; None where it is not set."""
    text = dig(container, "resources", section, resource)
    return None if text is None else Quantity.parse(text)


def request(container: Object, resource: str) -> Quantity:
    """The request, which a limit alone implies."""
    return quantity(container, "requests", resource) or quantity(container, "limits", resource) or ZERO


def qos_class(pod: Object) -> QOSClass:
    """Upstream's GetPodQOS; pod-level resources, where set, decide alone."""
    owners = [pod["spec"]] if pod["spec"].get("resources") else [*spec.containers(pod), *spec.init_containers(pod)]
    anything, guaranteed = False, True
    for owner in owners:
        for resource in ("cpu", "memory"):
            asked, limit = quantity(owner, "requests", resource), quantity(owner, "limits", resource)
            anything = anything or bool(asked) or bool(limit)
            if not limit or (asked is not None and asked != limit):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def shares(milli_cpu: int) -> int:
    """cpu.shares of a request."""
    if milli_cpu == 0:
        return MIN_SHARES
    return max(MIN_SHARES, min(MAX_SHARES, milli_cpu * 1024 // 1000))


def quota_us(milli_cpu: int) -> int:
    """cpu.cfs_quota_us of a limit; 0 for none."""
    return max(MIN_QUOTA_US, milli_cpu * CPU_PERIOD_US // 1000) if milli_cpu else 0


def oom_score_adj(pod: Object, container: Object, memory_capacity_bytes: int) -> int:
    """The kernel's preference for killing this container first; a small request makes it likelier."""
    if pod["spec"].get("priorityClassName") == "system-node-critical":
        return GUARANTEED_OOM_SCORE
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if qos == "BestEffort":
        return BEST_EFFORT_OOM_SCORE
    score = 1000 - 1000 * request(container, "memory").value // max(memory_capacity_bytes, 1)
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def container_resources(pod: Object, container: Object, memory_capacity_bytes: int) -> Resources:
    """A container's cgroup limits."""
    cpu_limit = (quantity(container, "limits", "cpu") or ZERO).milli_value
    return Resources(
        cpu_period_us=CPU_PERIOD_US if cpu_limit else 0,
        cpu_quota_us=quota_us(cpu_limit),
        cpu_shares=shares(request(container, "cpu").milli_value),
        memory_limit_bytes=(quantity(container, "limits", "memory") or ZERO).value,
        oom_score_adj=oom_score_adj(pod, container, memory_capacity_bytes),
    )


@dataclass(frozen=True, slots=True)
class PodLimits:
    """A pod cgroup's figures; 0 means unlimited."""

    cpu_shares: int
    cpu_quota_us: int
    memory_limit_bytes: int


def pod_requests(pod: Object) -> dict[str, Quantity]:
    """What a pod takes of a node: the larger of its containers together and each init step, plus overhead."""
    running = _totals(pod, _requests)
    own = dig(pod, "spec", "resources", "requests", default={})
    running.update({name: Quantity.parse(text) for name, text in own.items()})
    _add(running, {name: Quantity.parse(text) for name, text in (pod["spec"].get("overhead") or {}).items()})
    return running


def _totals(pod: Object, amounts: Callable[[Object], Mapping[str, Quantity]]) -> dict[str, Quantity]:
    """The larger of all containers (with sidecars) together and each init step with the sidecars before it."""
    running: dict[str, Quantity] = {}
    for container in spec.containers(pod):
        _add(running, amounts(container))
    peak: dict[str, Quantity] = {}
    beside: dict[str, Quantity] = {}
    for container in spec.init_containers(pod):
        step = dict(beside)
        _add(step, amounts(container))
        _raise(peak, step)
        if spec.is_sidecar(container):
            beside = step
    _add(running, beside)
    _raise(running, peak)
    return running


def _limits(container: Object) -> dict[str, Quantity]:
    return {name: Quantity.parse(text) for name, text in dig(container, "resources", "limits", default={}).items()}


def _requests(container: Object) -> dict[str, Quantity]:
    names = {*dig(container, "resources", "requests", default={}), *dig(container, "resources", "limits", default={})}
    return {name: request(container, name) for name in names}


def _add(total: dict[str, Quantity], more: Mapping[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, ZERO) + amount


def _raise(total: dict[str, Quantity], floor: Mapping[str, Quantity]) -> None:
    for name, amount in floor.items():
        total[name] = max(total.get(name, ZERO), amount)


def pod_limit(pod: Object, resource: str) -> Quantity | None:
    """The sum of the containers' limits of a resource; None where none has one."""
    return _totals(pod, _limits).get(resource)


def pod_limits(pod: Object) -> PodLimits:
    """The pod cgroup: shares of all requests; a quota or memory limit only if every container has one, and overhead."""
    totals, overhead = _totals(pod, _limits), pod["spec"].get("overhead") or {}
    containers = [*spec.containers(pod), *spec.init_containers(pod)]

    def of_all(name: str) -> Quantity:
        limited = all(quantity(item, "limits", name) for item in containers)
        found = quantity(pod["spec"], "limits", name) or (totals.get(name, ZERO) if limited else ZERO)
        return found + Quantity.parse(overhead.get(name, "0")) if found else found

    return PodLimits(
        shares(pod_requests(pod).get("cpu", ZERO).milli_value), quota_us(of_all("cpu").milli_value),
        of_all("memory").value,
    )
