"""PrioritySort: pods of higher priority first, then those that have waited longest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.pod_info import PodInfo


class PrioritySort:
    name: ClassVar[str] = "PrioritySort"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset()

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def sort_key(self, pod: PodInfo, queued_at: float) -> tuple[int, float]:
        return (-pod.priority, queued_at)
