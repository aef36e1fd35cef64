"""SchedulingGates: a pod with `spec.schedulingGates` is not considered until the last gate is removed (KEP-3521)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.pod_info import PodInfo


class SchedulingGates:
    name: ClassVar[str] = "SchedulingGates"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        if not pod.gates:
            return None
        return unresolvable(f"waiting for scheduling gates: [{' '.join(pod.gates)}]")
