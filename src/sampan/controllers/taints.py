"""Taints that the control plane puts on nodes, and which tolerations answer them.

Names are those of the reference "Well-Known Labels, Annotations and Taints".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sampan.apimachinery.object import Object

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"

BY_CONDITION: Mapping[str, Mapping[str, str]] = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
}
"""The NoSchedule taint for each status of a node's condition."""

MANAGED_NO_SCHEDULE = frozenset(
    {UNSCHEDULABLE, *(key for statuses in BY_CONDITION.values() for key in statuses.values())}
)
MANAGED_NO_EXECUTE = frozenset({NOT_READY, UNREACHABLE})


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether a toleration answers a taint: by effect, key and value, each unless it is left empty."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Equal":
        return bool((toleration.get("value") or "") == (taint.get("value") or ""))
    return bool(operator == "Exists")


def untolerated(taints: Iterable[Object], tolerations: Sequence[Object]) -> list[Object]:
    return [taint for taint in taints if not any(tolerates(one, taint) for one in tolerations)]
