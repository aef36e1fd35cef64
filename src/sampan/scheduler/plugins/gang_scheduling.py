"""GangScheduling: no pod of a gang is tried before the gang has as many pods as it needs (KEP-4671).

Then all that wait are decided on together (`gang_cycle.py`), so that two gangs never hold what the other one lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sampan.api.resources import POD_GROUPS
from sampan.apimachinery.object import dig, key_of
from sampan.scheduler.framework.events import ClusterEvent
from sampan.scheduler.framework.handle import Handle
from sampan.scheduler.framework.status import Status, unresolvable
from sampan.scheduler.pod_groups import group_of
from sampan.scheduler.pod_info import PodInfo

_TOO_FEW = unresolvable("waiting for minCount pods from a gang to appear in scheduling queue")


class GangScheduling:
    name: ClassVar[str] = "GangScheduling"
    events: ClassVar[frozenset[ClusterEvent]] = frozenset(
        (ClusterEvent.POD_WAITING, ClusterEvent.POD_PLACED, ClusterEvent.WORKLOAD)
    )

    def __init__(self, handle: Handle, arguments: Mapping[str, Any]) -> None:
        self._groups = handle.groups
        handle.groups.find = handle.listen(POD_GROUPS, ClusterEvent.WORKLOAD).get_by_key

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        key = group_of(pod)
        if not key:
            return None
        group = self._groups.find(key)
        if group is None:
            name = key.partition("/")[2]
            return unresolvable(f'waiting for pod\'s pod group "{name}" to appear in scheduling queue')
        least = dig(group, "spec", "schedulingPolicy", "gang", "minCount")
        return _TOO_FEW if least is not None and self._groups.count(key) < int(least) else None

    def hint(self, pod: PodInfo, event: ClusterEvent, old: Any, new: Any) -> bool:
        """Only what happens to the pod's own group helps: a pod more, its object, a lower minimum."""
        key = group_of(pod)
        if event is not ClusterEvent.WORKLOAD:
            return new is not None and group_of(new) == key and new.key != pod.key
        if new is None or key_of(new) != key:
            return False
        before, after = (dig(obj or {}, "spec", "schedulingPolicy", "gang", "minCount") for obj in (old, new))
        return old is None or (before is not None and after is not None and after < before)
