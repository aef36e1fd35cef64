"""What a pod asks for: the arithmetic of requests (KEP-753 sidecars, pod overhead, KEP-2837 pod-level resources).

Amounts are plain integers: CPU in thousandths of a core, everything else in whole units (bytes for memory).
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sampan.apimachinery import quantity
from sampan.apimachinery.object import Object

Amounts: TypeAlias = dict[str, int]

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"

DEFAULT_CPU = 100
"""What scoring assumes of a container that asks for no CPU: a tenth of a core."""
DEFAULT_MEMORY = 200 * 1024 * 1024


def amounts(quantities: Any) -> Amounts:
    """A ResourceList as integers."""
    return {
        name: quantity.milli_value(text) if name == CPU else quantity.value(text)
        for name, text in (quantities or {}).items()
    }


def pod_requests(pod: Object, *, assumed: Amounts | None = None) -> Amounts:
    """What must be free on a node for the pod: the larger of what runs and what any init step needs, and overhead.

    `assumed` is what a container counts for where it names no request (for scoring only).
    """
    spec = pod.get("spec") or {}
    total: Amounts = {}
    for container in spec.get("containers") or []:
        _add(total, _container_requests(container, assumed))
    sidecars: Amounts = {}
    initial: Amounts = {}
    for container in spec.get("initContainers") or []:
        asked = _container_requests(container, assumed)
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            asked = dict(sidecars)
        else:
            _add(asked, sidecars)
        _raise(initial, asked)
    _raise(total, initial)
    pod_level = amounts((spec.get("resources") or {}).get("requests"))
    total |= {name: amount for name, amount in pod_level.items() if _may_be_pod_level(name)}
    _add(total, amounts(spec.get("overhead")))
    return total


def pod_requests_for_scoring(pod: Object) -> Amounts:
    """As `pod_requests`, but a container that names no CPU or memory counts as small instead of nothing."""
    return pod_requests(pod, assumed={CPU: DEFAULT_CPU, MEMORY: DEFAULT_MEMORY})


def _container_requests(container: Object, assumed: Amounts | None) -> Amounts:
    asked = amounts((container.get("resources") or {}).get("requests"))
    return {**assumed, **asked} if assumed else asked


def _may_be_pod_level(name: str) -> bool:
    return name in (CPU, MEMORY) or name.startswith("hugepages-")


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)
