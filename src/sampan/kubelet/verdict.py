"""Why the kubelet itself ends a pod: refused, over its deadline, evicted."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.apimachinery.object import Object


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pod ends Failed for this reason, whatever its containers do."""

    reason: str
    message: str
    grace_s: int | None = None
    disrupts: bool = False
    """The node's trouble, not the pod's own doing: the condition DisruptionTarget says so."""

    @property
    def conditions(self) -> tuple[Object, ...]:
        if not self.disrupts:
            return ()
        return ({"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
                 "message": self.message},)
