"""Invariants of gangs: enough is bound or nothing, in one domain; a group that goes as a whole goes whole.

A gang is decided on at once, but bound pod by pod. So for a moment only some of it is bound, and it stays so if the
scheduler is killed meanwhile, or cut off, or a binding fails: nobody takes pods back that may run. The next scheduler
counts those as placed and binds what is missing as soon as it fits. That, and nothing else, may leave a gang below its
minimum: if the scheduler that bound a pod lives on and nothing is wrong between it and the API server, then seconds
later as many are bound as the gang needs. Members that were deleted or ended meanwhile count, they were part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, labels_of, uid_of
from sampan.sim.invariants.objects import EVERYTHING
from sampan.sim.invariants.pods import NODES, is_scheduler
from sampan.sim.invariants.preemption import ASKING_S, is_preempted, is_troubled
from sampan.sim.invariants.room import GROUPS, group_key, least_of
from sampan.sim.world import PODS, Change, World, is_finished, node_of, title

BINDING_S: Final = 6.0
"""All bindings of one decision are done within this time, if nothing goes wrong."""


@dataclass(slots=True)
class _Member:
    """A pod of a gang: when it was bound (None: not yet), when it was gone or had ended (None: it has not)."""

    bound_at_s: float | None = None
    gone_at_s: float | None = None


class Gangs:
    """See above."""

    name = "gangs"
    resources = EVERYTHING

    def __init__(self) -> None:
        self._members: defaultdict[str, dict[str, _Member]] = defaultdict(dict)
        """Group's uid → pod's uid."""
        self._due: list[tuple[float, str, Change]] = []

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.resource == GROUPS and change.new is not None:
            world.note(uid_of(change.new), "least", least_of(change.new) or 0)
        elif change.resource == PODS and group_key(change.obj):
            yield from self._changed(world, change)
        while self._due and self._due[0][0] <= change.at_s:
            _, group, bind = self._due.pop(0)
            yield from self._enough(world, group, bind, change.at_s)

    def _changed(self, world: World, change: Change) -> Iterator[str]:
        pod, group = change.obj, world.get(GROUPS, group_key(change.obj))
        if group is None or least_of(group) is None:
            return
        member = self._members[uid_of(group)].setdefault(uid_of(pod), _Member())
        if (change.new is None or is_finished(pod)) and member.gone_at_s is None:
            member.gone_at_s = change.at_s
        if change.new is None or not node_of(pod) or member.bound_at_s is not None:
            return
        member.bound_at_s = change.at_s
        if is_scheduler(change.cause):
            self._due.append((change.at_s + BINDING_S, uid_of(group), change))
            yield from self._in_one_place(world, group, change)

    def _enough(self, world: World, group: str, bind: Change, now_s: float) -> Iterator[str]:
        life, present = bind.cause.life, world.get(GROUPS, group_key(bind.obj))
        if life.over or bind.cause.lost or is_troubled(world, life.component, now_s):
            return
        if present is None or uid_of(present) != group:
            return  # it was dissolved while it was being bound
        began = bind.at_s - BINDING_S
        part = [
            one for one in self._members[group].values()
            if (one.gone_at_s is None and one.bound_at_s is not None) or (one.gone_at_s or 0.0) >= began
        ]
        least = min(world.lately(group, "least", began))
        if len(part) < least:
            yield f"{title(bind.obj)} was bound with {len(part) - 1} others of its gang, which needs {least}"

    def _in_one_place(self, world: World, group: Object, change: Change) -> Iterator[str]:
        """A gang with a topology constraint is in one domain."""
        constraints = dig(group, "spec", "schedulingConstraints", "topology", default=[])
        if not constraints or change.cause.lost:
            return
        key, mine = constraints[0]["key"], group_key(change.obj)
        there = [pod for pod in world.all(*PODS) if group_key(pod) == mine and node_of(pod) and not is_finished(pod)]
        domains = {labels_of(world.get(NODES, node_of(pod)) or {}).get(key) for pod in there} - {None}
        if len(domains) > 1:
            yield f"{title(change.obj)} of a gang for one {key} makes it be in {sorted(map(str, domains))}"


class WholeGroups:
    """When one of a group that is disrupted as a whole is preempted, all are that ran when this was decided."""

    name = "whole groups"
    resources = EVERYTHING

    def __init__(self) -> None:
        self._bound_at_s: dict[str, float] = {}
        """By the pod's uid."""
        self._due: list[tuple[float, str, Change]] = []

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.resource == PODS and group_key(change.obj):
            if node_of(change.obj):
                self._bound_at_s.setdefault(uid_of(change.obj), change.at_s)
            group = world.get(GROUPS, group_key(change.obj))
            if is_preempted(change) and dig(group or {}, "spec", "disruptionMode", "all") is not None:
                self._due.append((change.at_s + ASKING_S, group_key(change.obj), change))
        while self._due and self._due[0][0] <= change.at_s:
            _, key, first = self._due.pop(0)
            yield from self._whole(world, key, first, change.at_s)

    def _whole(self, world: World, key: str, first: Change, now_s: float) -> Iterator[str]:
        life, began = first.cause.life, first.at_s - ASKING_S
        if life.over or is_troubled(world, life.component, now_s):
            return
        for pod in world.all(*PODS):
            ran = group_key(pod) == key and self._bound_at_s.get(uid_of(pod), first.at_s) < began
            if ran and not is_being_deleted(pod) and not is_finished(pod):
                yield f"{title(first.obj)} was preempted, and {title(pod)} was not, which goes with it or not at all"
