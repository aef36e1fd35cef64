"""TTL: tells every kubelet how long it may go on using Secrets and ConfigMaps that it has read.

Observed: the nodes. Desired: the time that fits their number; where another is written, it is changed. It is the node's
annotation `node.alpha.kubernetes.io/ttl`, in seconds: 0 in a small cluster, more the more nodes ask. The steps up and
down are apart, so that a node that comes and goes does not change every other.
"""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api.resources import NODES
from sampan.apimachinery.object import Object, annotations_of, is_being_deleted, meta, name_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Patch, Plan

ANNOTATION = "node.alpha.kubernetes.io/ttl"


@dataclass(frozen=True, slots=True)
class Step:
    """The time for clusters of `least` to `most` nodes."""

    least: int
    most: float
    ttl_s: int


STEPS = (
    Step(0, 100, 0), Step(90, 500, 15), Step(450, 1000, 30), Step(900, 2000, 60), Step(1800, float("inf"), 300)
)


def step_for(count: int, present: int) -> int:
    """Which step holds for `count` nodes, coming from step `present`."""
    while count > STEPS[present].most:
        present += 1
    while count < STEPS[present].least:
        present -= 1
    return present


def plan(node: Object, ttl_s: int) -> Plan:
    """Write the time on the node."""
    if is_being_deleted(node) or annotations_of(node).get(ANNOTATION) == str(ttl_s):
        return NOTHING
    metadata = {"uid": meta(node).get("uid"), "annotations": {ANNOTATION: str(ttl_s)}}
    return Plan((Patch(NODES, name_of(node), "", {"metadata": metadata}, "merge", missing_ok=True),))


class NodeTTLReconciler:
    """Keys are nodes; when the step changes, all of them."""

    def __init__(self, wiring: Wiring) -> None:
        self._queue = wiring.queue
        self._nodes = wiring.watch(NODES)
        self._step = 0

    async def reconcile(self, key: str) -> Plan:
        step = step_for(len(self._nodes), self._step)
        if step != self._step:
            self._step = step
            for name in sorted(map(name_of, self._nodes.list())):
                self._queue.add(name)
        node = self._nodes.get(key)
        return NOTHING if node is None else plan(node, STEPS[self._step].ttl_s)
