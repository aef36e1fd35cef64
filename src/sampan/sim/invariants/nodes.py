"""Invariants of nodes: whose pods are told to go, how fast one node after the other, and which pods really must."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sampan import effects
from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, name_of, namespace_of, uid_of
from sampan.sim.invariants.pods import NODES
from sampan.sim.world import PODS, Change, GroupResource, World, is_ready, node_of, title

LEASES: Final[GroupResource] = ("coordination.k8s.io", "leases")
OF_NODES: Final = "kube-node-lease"
BY: Final = "node-controller"
LOST: Final = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
ZONE: Final = "topology.kubernetes.io/zone"
PACE_S: Final = 10.0
"""One node of a zone after the other, not faster."""
SMALL: Final = 50
"""A zone of so many nodes stands still when most of it is lost."""
GRACE_S: Final = 45.0
"""Somewhat less than the time for which a node has to be silent."""
ROUNDED_S: Final = 1.5
"""Times in taints are whole seconds."""


class Silence:
    """A node whose Lease is renewed is not said to be silent, whatever the clocks of nodes show."""

    name = "silence"
    resources = (NODES, LEASES)

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if new is None:
            return
        if change.resource == LEASES:
            if namespace_of(new) == OF_NODES:
                world.note(f"lease {name_of(new)}", "renewed", dig(new, "spec", "renewTime"))
        elif change.old is not None and change.cause.by == BY and _is_unknown(new) and not _is_unknown(change.old):
            lease, sent_at_s = f"lease {name_of(new)}", change.cause.sent_at_s
            known = world.lately(lease, "renewed", world.informed_until_s(change.cause))
            lately = world.lately(lease, "renewed", sent_at_s - GRACE_S)
            if len(lately) > len(known):
                yield f"{title(new)} was said to be silent, and had renewed its Lease less than {GRACE_S:g} s before"


class Evacuations:
    """A node's pods are told to go only when it is lost, in turn, and not where so much is lost that it cannot be."""

    name = "evacuations"
    resources = (NODES,)

    def __init__(self) -> None:
        self._last: dict[str, Change] = {}
        """Of each zone, the last node that began."""
        self._removed_at_s = -1.0

    def check(self, world: World, change: Change) -> Iterator[str]:
        new, old = change.new, change.old
        if new is None:
            self._removed_at_s = change.at_s
            return
        world.note(uid_of(new), "ready", is_ready(new))
        if old is None or change.cause.by != BY or _is_leaving(old) or not _is_leaving(new):
            return
        for problem in (*self._untrue(world, change, new), *self._too_fast(change, new)):
            yield f"the pods of {title(new)} were told to go, {problem}"
        self._last[_zone(new)] = change

    def _untrue(self, world: World, change: Change, node: Object) -> Iterator[str]:
        informed = world.informed_until_s(change.cause)
        if all(world.lately(uid_of(node), "ready", informed)):
            yield "and it was ready all the time"
        zones: defaultdict[str, list[list[bool]]] = defaultdict(list)
        for one in world.all(*NODES):
            if world.known[uid_of(one)].born_at_s >= informed or self._removed_at_s >= informed:
                return
            zones[_zone(one)].append(world.lately(uid_of(one), "ready", informed))
        if not any(any(known) for zone in zones.values() for known in zone):
            yield "and no node anywhere is ready"
        mine = zones[_zone(node)]
        lost, doubtful = sum(not any(known) for known in mine), any(len(set(known)) > 1 for known in mine)
        if not doubtful and len(mine) <= SMALL and 2 < lost < len(mine) and lost / len(mine) >= 0.55:
            yield f"and {lost} of the {len(mine)} nodes of its zone are lost, and not all"

    def _too_fast(self, change: Change, node: Object) -> Iterator[str]:
        last = self._last.get(_zone(node))
        if last is None or last.cause.life is not change.cause.life or not last.cause.acknowledged:
            return
        apart_s = change.cause.sent_at_s - last.cause.sent_at_s
        if apart_s < PACE_S - 0.1:
            yield f"{apart_s:.1f} s after those of {title(last.obj)} in its zone"


@dataclass(frozen=True, slots=True)
class _Added:
    """When a taint was added, and by how much the wall clock was ahead of the steady one then."""

    at_s: float
    ahead_s: float


class TaintEvictions:
    """A pod goes from a node for a taint that it does not tolerate, or has tolerated for as long as it is to."""

    name = "taint evictions"
    resources = (NODES, PODS)

    def __init__(self) -> None:
        self._added: dict[tuple[str, str], _Added] = {}
        """By node's uid and taint's key."""

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if change.resource == NODES:
            if new is not None:
                self._note(world, new)
        elif old is not None and not is_being_deleted(old) and (change.cause.by, change.cause.method) == (BY, "DELETE"):
            yield from self._judged(world, change, old)

    def _note(self, world: World, node: Object) -> None:
        found = _no_execute(node)
        world.note(uid_of(node), "no execute", found)
        there = {str(taint["key"]) for taint in found}
        for key in there:
            self._added.setdefault((uid_of(node), key), _Added(effects.monotonic(), _ahead_s()))
        for uid, key in [known for known in self._added if known[0] == uid_of(node) and known[1] not in there]:
            del self._added[(uid, key)]

    def _judged(self, world: World, change: Change, pod: Object) -> Iterator[str]:
        node = world.get(NODES, node_of(pod))
        if node is None:
            return
        had = world.lately(uid_of(node), "no execute", world.informed_until_s(change.cause))
        if not any(had):
            yield f"{title(pod)} was taken from {title(node)}, which had no taint that evicts"
        elif had == [had[-1]] and (waits_s := self._waits_s(node, pod, had[-1], change)) > ROUNDED_S:
            yield f"{title(pod)} was taken from {title(node)} {waits_s:.0f} s before its tolerations end"

    def _waits_s(self, node: Object, pod: Object, taints: Sequence[Object], change: Change) -> float:
        """How long it may stay yet; nothing if that cannot be told."""
        ends = []
        for taint in taints:
            added = self._added[(uid_of(node), str(taint["key"]))]
            used = [one for one in dig(pod, "spec", "tolerations", default=()) if _tolerates(one, taint)]
            if not used or abs(added.ahead_s - _ahead_s()) > 1.0:
                return 0.0
            if used[0].get("tolerationSeconds") is not None:
                ends.append(added.at_s + used[0]["tolerationSeconds"])
        return min(ends, default=float("inf")) - change.at_s


def _ahead_s() -> float:
    return effects.now().timestamp() - effects.monotonic()


def _zone(node: Object) -> str:
    return str(labels_of(node).get(ZONE, ""))


def _no_execute(node: Object) -> list[Object]:
    return [taint for taint in dig(node, "spec", "taints", default=()) if taint.get("effect") == "NoExecute"]


def _is_unknown(node: Object) -> bool:
    conditions = dig(node, "status", "conditions", default=())
    return any(one.get("type") == "Ready" and one.get("status") == "Unknown" for one in conditions)


def _is_leaving(node: Object) -> bool:
    return any(taint.get("key") in LOST for taint in _no_execute(node))


def _tolerates(toleration: Object, taint: Object) -> bool:
    """Whether it answers the taint; simulated pods tolerate keys, whatever their value."""
    return toleration.get("key") in (None, "", taint["key"]) and toleration.get("effect") in (None, "", "NoExecute")


def unsettled(node: Object) -> Iterator[str]:
    """What of a node does not say yet that it is well."""
    if not is_ready(node):
        yield "is not ready"
    elif stale := [taint["key"] for taint in dig(node, "spec", "taints", default=()) if taint.get("key") in LOST]:
        yield f"is ready, and still has the taint {stale[0]}"


