"""Resizing a pod in place: what was asked for, what the node granted, and what containers have (KEP-1287).

The API's spec holds what is asked for. The kubelet grants it when the node has room, and works on with a pod whose
containers have what was granted; until then the condition PodResizePending says why not. While a container has not what
was granted, PodResizeInProgress is true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson

from sampan.apimachinery.object import Object, dig
from sampan.kubelet import spec
from sampan.kubelet.admission import shortage
from sampan.kubelet.container_config import RESOURCES, resources_text
from sampan.kubelet.pod_state import PodContainer, PodState

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"


class Grant:
    """The resources that one pod's containers were granted; at first what its status says they have, or its spec."""

    def __init__(self, pod: Object) -> None:
        reported = {
            item["name"]: item["resources"] for item in dig(pod, "status", "containerStatuses", default=[])
            if item.get("containerID") and item.get("resources") is not None
        }
        self._granted = {
            item["name"]: reported.get(item["name"], item.get("resources") or {}) for item in _resizable(pod)
        }
        self.pending: tuple[str, str] | None = None

    def of(self, pod: Object) -> Object:
        """The pod with what was granted in place of what is asked for."""
        if not self.differs(pod):
            return pod
        chosen = dict(pod["spec"])
        for key in ("initContainers", "containers"):
            if chosen.get(key):
                chosen[key] = [
                    {**item, "resources": self._granted.get(item["name"], item.get("resources") or {})}
                    for item in chosen[key]
                ]
        return {**pod, "spec": chosen}

    def differs(self, pod: Object) -> bool:
        return any(
            (item.get("resources") or {}) != self._granted.get(item["name"]) for item in _resizable(pod)
            if item["name"] in self._granted
        )

    def decide(self, pod: Object, node: Object, others: Sequence[Object]) -> bool:
        """Grant what is asked for if there is room beside `others`; whether the grant changed."""
        if not self.differs(pod):
            self.pending = None
            return False
        self.pending = refusal(pod, node, others)
        if self.pending is not None:
            return False
        self._granted = {item["name"]: item.get("resources") or {} for item in _resizable(pod)}
        return True


class Applied:
    """What running containers have: what they were started with, or what was changed since."""

    def __init__(self) -> None:
        self._changed: dict[str, str] = {}

    def note(self, container: Object, run: PodContainer) -> None:
        """The run has now what its container was granted."""
        self._changed[run.id] = resources_text(container)

    def resources(self, run: PodContainer) -> Object | None:
        """What a run has; None if that is not on record."""
        text = self._text(run)
        return dict(orjson.loads(text)) if text else None

    def unfinished(self, pod: Object, state: PodState) -> list[tuple[Object, PodContainer]]:
        """Running containers that have not what they were granted."""
        found = []
        for container in [*spec.sidecars(pod), *spec.containers(pod)]:
            run = state.latest(container["name"])
            if run is not None and run.is_running and self._text(run) not in ("", resources_text(container)):
                found.append((container, run))
        return found

    def _text(self, run: PodContainer) -> str:
        return self._changed.get(run.id, run.status.annotations.get(RESOURCES, ""))


def refusal(pod: Object, node: Object, others: Sequence[Object]) -> tuple[str, str] | None:
    """(Infeasible or Deferred, why), None when there is room."""
    alone = shortage(pod, node, [])
    if alone is not None:
        return "Infeasible", alone.message.replace("enough resource:", "enough capacity:").replace(" used: 0,", "")
    beside = shortage(pod, node, list(others))
    return None if beside is None else ("Deferred", beside.message)


def conditions(pending: tuple[str, str] | None, *, in_progress: bool) -> tuple[Object, ...]:
    """Those of the two that hold."""
    found: list[Object] = []
    if pending is not None:
        found.append({"type": PENDING, "status": "True", "reason": pending[0], "message": pending[1]})
    if in_progress:
        found.append({"type": IN_PROGRESS, "status": "True"})
    return tuple(found)


def _resizable(pod: Object) -> Iterator[Object]:
    yield from spec.init_containers(pod)
    yield from spec.containers(pod)
