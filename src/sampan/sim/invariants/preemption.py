"""Invariants of preemption: nobody goes for nothing, nor for his equal, and the room is kept for whom it was made.

A deletion does not say for whom it is. So it must be right for at least one pod that waits, or waited when the
scheduler may have decided; the fewer wait, the sharper that is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sampan.apimachinery.object import Object, dig, is_being_deleted, namespace_of, uid_of
from sampan.sim.invariants.pods import NODES, is_scheduler
from sampan.sim.invariants.policies import BUDGETS, selects
from sampan.sim.invariants.room import (
    Amounts,
    add,
    allocatable,
    asked,
    copies,
    fits,
    group_key,
    group_of,
    least_of,
    may_preempt,
    priority_of,
    total,
)
from sampan.sim.invariants.waiting import Wait, Waiting
from sampan.sim.world import PODS, Change, World, is_finished, node_of, title

ASKING_S: Final = 10.0
"""Victims are asked to go one after the other; the last of them, up to this much after the decision."""
GIVEN_UP_S: Final = 30.0
"""Room on a node that could not be used for a while may have been given up."""
TOLD_S: Final = 9.0
"""A pod's status names the node where room is made for it within this time."""
TAKEN_BACK_S: Final = 1.0
SEEN_S: Final = 6.0
"""A nomination is told after up to three seconds; one that was told so long ago is no news to the scheduler."""


def is_preempted(change: Change) -> bool:
    """Whether a scheduler has just asked a pod to go."""
    old, new = change.old, change.new
    if old is None or is_being_deleted(old) or is_finished(old) or not node_of(old):
        return False
    return change.cause.method == "DELETE" and is_scheduler(change.cause) and (new is None or is_being_deleted(new))


def is_troubled(world: World, component: str, now_s: float) -> bool:
    """Whether something is wrong between a component and the API server, or was until a short while ago."""
    return world.informed_until_of(component, now_s) < now_s - SEEN_S


class Victims:
    """Who is preempted is less important than a pod that waits, may preempt, and can be placed if all such go.

    The status of a victim says why, and that of the pod where room is made for it. Of a budget that allows no more
    nobody is taken while another node has room enough to make without.
    """

    name = "victims"
    resources = (PODS, BUDGETS, NODES)

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._due: list[tuple[float, Object, Change]] = []
        """By when the status of which pod has to name the node of which victim."""

    def check(self, world: World, change: Change) -> Iterator[str]:
        while self._due and self._due[0][0] <= change.at_s:
            _, preemptor, taken = self._due.pop(0)
            yield from self._told(world, preemptor, taken, change.at_s)
        if change.resource == PODS:
            self._waiting.follow(change)
            if is_preempted(change):
                yield from self._preempted(world, change)
        elif change.new is not None:
            self._note(world, change.resource == BUDGETS, change.new)

    def _note(self, world: World, is_budget: bool, obj: Object) -> None:
        if is_budget:
            world.note(uid_of(obj), "allowed", dig(obj, "status", "disruptionsAllowed", default=0))
        else:
            usable = not dig(obj, "spec", "unschedulable") and not dig(obj, "spec", "taints")
            world.note(uid_of(obj), "usable", usable)

    def _preempted(self, world: World, change: Change) -> Iterator[str]:
        victim = change.old
        assert victim is not None
        since = world.informed_until_s(change.cause) - ASKING_S
        above = priority_of(world, victim)
        lately = self._waiting.since(since)
        higher = [wait.pod for wait in lately if priority_of(world, wait.pod) > above]
        entitled = [pod for pod in higher if may_preempt(world, pod)]
        if not entitled:
            yield f"{title(victim)} of priority {above} was preempted, and nobody above it waits who may preempt"
            return
        newcomers = frozenset(uid_of(wait.pod) for wait in lately)
        if not any(_could_help(world, pod, victim, newcomers) for pod in entitled):
            names = ", ".join(title(pod) for pod in entitled[:4])
            yield f"{title(victim)} was preempted, and {names} could not be placed if everybody less important went"
        if not _says_why(victim):
            yield f"{title(victim)} was preempted, and its status does not say so"
        if len(entitled) == 1 and not group_key(entitled[0]):
            yield from self._protected(world, victim, entitled[0], since)
            if not group_key(victim):
                self._due.append((change.at_s + TOLD_S, entitled[0], change))

    def _told(self, world: World, preemptor: Object, taken: Change, now_s: float) -> Iterator[str]:
        """Whether the status of the pod, if it still waits, has said where room was made."""
        uid, life, victim = uid_of(preemptor), taken.cause.life, taken.obj
        if uid not in self._waiting.now or life.over or taken.cause.lost:
            return
        if is_troubled(world, life.component, now_s):
            return
        limit = priority_of(world, preemptor)
        if any(priority_of(world, one.pod) > limit for one in self._waiting.since(taken.at_s - ASKING_S)):
            return  # who is more important may have taken the room
        if node_of(victim) not in world.lately(uid, "nominated", taken.at_s):
            yield f"{title(victim)} was preempted for {title(preemptor)}, whose status does not name {node_of(victim)}"

    def _protected(self, world: World, victim: Object, preemptor: Object, since: float) -> Iterator[str]:
        """Whether there was a choice that no budget forbids."""
        budgets = [budget for budget in world.objects[BUDGETS].values() if selects(budget, victim)]
        exhausted = [one for one in budgets if max(world.lately(uid_of(one), "allowed", since), default=1) <= 0]
        others = [wait for wait in self._waiting.since(since) if wait.pod is not preemptor]
        limit = priority_of(world, preemptor)
        if not exhausted or any(priority_of(world, wait.pod) >= limit for wait in others):
            return
        for name, node in sorted(world.objects[NODES].items()):
            if name == node_of(victim) or world.lately(uid_of(node), "usable", since) != [True]:
                continue
            kept = [pod for pod in world.pods_on[name].values() if not _may_go(world, pod, limit, since)]
            if fits(add(total(kept), asked(preemptor)), allocatable(node)) and len(kept) < len(world.pods_on[name]):
                yield f"{title(victim)} was preempted against {title(exhausted[0])}, though {name} has others"
                return


def _may_go(world: World, pod: Object, limit: int, since: float) -> bool:
    """Whether a pod has been a possible victim all the time, and no budget's."""
    if priority_of(world, pod) >= limit or world.known[uid_of(pod)].born_at_s >= since or is_being_deleted(pod):
        return False
    return not any(selects(budget, pod) for budget in world.objects[BUDGETS].values())


def _says_why(victim: Object) -> bool:
    """The reason may be somebody else's who wants the pod to go at the same time."""
    conditions = dig(victim, "status", "conditions", default=[])
    return any(one.get("type") == "DisruptionTarget" and one.get("status") == "True" for one in conditions)


def _could_help(world: World, preemptor: Object, victim: Object, newcomers: frozenset[str]) -> bool:
    """Whether there would be a place if all that are less important went. A victim that goes with its whole group may
    be anywhere; so may those of a gang. `newcomers` are uids of pods that waited when this may have been decided: where
    they are now they were not yet."""
    limit, wanted = priority_of(world, preemptor), asked(preemptor)
    group = group_of(world, preemptor)
    if group is not None and least_of(group) is not None:
        return _could_help_gang(world, group, preemptor, newcomers)
    together = dig(group_of(world, victim) or {}, "spec", "disruptionMode", "all") is not None
    nodes = list(world.objects[NODES]) if together else [node_of(victim)]
    return any(
        fits(add(_kept(world, node, limit, newcomers), wanted), allocatable(world.get(NODES, node))) for node in nodes
    )


def _could_help_gang(world: World, group: Object, member: Object, newcomers: frozenset[str]) -> bool:
    limit, wanted, key = priority_of(world, member), asked(member), group_key(member)
    there = [pod for pod in world.pods_in[namespace_of(member)].values() if group_key(pod) == key]
    placed = sum(1 for pod in there if node_of(pod))
    places = sum(
        copies(wanted, allocatable(node), _kept(world, name, limit, newcomers))
        for name, node in world.objects[NODES].items()
    )
    return places + placed >= (least_of(group) or 0)


def _kept(world: World, node: str, limit: int, newcomers: frozenset[str]) -> Amounts:
    """What those use that need not go for this priority, and were there before."""
    return total(
        pod for pod in world.pods_on[node].values()
        if not is_finished(pod) and priority_of(world, pod) >= limit and uid_of(pod) not in newcomers
    )


@dataclass(slots=True)
class _Taken:
    pod: Object
    at_s: float


class Spared:
    """When a pod comes where others were preempted, it would not have fitted beside even the smallest of them; and
    nobody was preempted elsewhere for it, too."""

    name = "spared"
    resources = (PODS,)

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._everybody: list[_Taken] = []
        self._taken: defaultdict[str, list[_Taken]] = defaultdict(list)
        """By node, in the order in which they went."""
        self._left: defaultdict[str, list[_Taken]] = defaultdict(list)
        """By node, who has left it otherwise."""

    def check(self, world: World, change: Change) -> Iterator[str]:
        ended, old, new = self._waiting.follow(change), change.old, change.new
        if is_preempted(change):
            assert old is not None
            self._taken[node_of(old)].append(_Taken(old, change.at_s))
            self._everybody.append(self._taken[node_of(old)][-1])
        elif old is not None and node_of(old) and not is_finished(old) and (
            new is None or is_finished(new) or (is_being_deleted(new) and not is_being_deleted(old))
        ):
            self._left[node_of(old)].append(_Taken(old, change.at_s))
        if ended is not None and ended.bound_to and is_scheduler(change.cause):
            yield from self._came(world, change, ended)

    def _came(self, world: World, change: Change, wait: Wait) -> Iterator[str]:
        node, limit = wait.bound_to, priority_of(world, wait.pod)
        taken = [one for one in self._taken.pop(node, ()) if one.at_s > wait.since_s]
        if not taken or not may_preempt(world, wait.pod) or group_key(wait.pod):
            return
        began = taken[0].at_s - ASKING_S
        if world.informed_until_s(change.cause) < change.at_s - ASKING_S / 2 or self._is_unclear(world, taken, limit):
            return
        yield from self._twice(world, wait, taken)
        victims = {uid_of(one.pod) for one in taken}
        there = {uid_of(pod): pod for pod in world.pods_on[node].values() if not is_finished(pod)}
        there |= {uid_of(one.pod): one.pod for one in self._left[node] if one.at_s >= began}
        there |= {
            uid_of(one.pod): one.pod for one in self._waiting.since(began)
            if one.bound_to in ("", node) or node in world.lately(uid_of(one.pod), "nominated", began)
        }
        there[uid_of(wait.pod)] = wait.pod
        used = total(pod for uid, pod in there.items() if uid not in victims and self._counts(world, pod, node, taken))
        for one in taken:
            if fits(add(used, asked(one.pod)), allocatable(world.get(NODES, node))):
                names = ", ".join(title(other.pod) for other in taken)
                yield f"{title(wait.pod)} took {node}, for which {names} had to go; {title(one.pod)} need not have"
                return

    def _twice(self, world: World, wait: Wait, here: Sequence[_Taken]) -> Iterator[str]:
        """Whether there were victims on other nodes that can only have been its own, too."""
        began = here[0].at_s - ASKING_S
        nodes = [wait.bound_to, *(node_of(one.pod) for one in self._everybody if one.at_s > wait.since_s)]
        known = (world.get(NODES, node) for node in nodes)
        if any(node is None or world.lately(uid_of(node), "usable", wait.since_s) != [True] for node in known):
            return
        began = min(began, *(one.at_s for one in self._everybody if one.at_s > wait.since_s))
        if any(one.bound_to in nodes for one in self._waiting.since(began) if one is not wait):
            return  # somebody else may have taken the room
        mine = [one for one in self._everybody if one.at_s > wait.since_s and self._is_only_for(world, one, wait)]
        if {node_of(one.pod) for one in mine} > {wait.bound_to}:
            places = ", ".join(f"{title(one.pod)} on {node_of(one.pod)}" for one in mine)
            yield f"{title(wait.pod)} took {wait.bound_to}, and room was made for it more than once: {places}"

    def _is_only_for(self, world: World, one: _Taken, wait: Wait) -> bool:
        above = priority_of(world, one.pod)
        others = (other.pod for other in self._waiting.since(one.at_s - ASKING_S) if other is not wait)
        return not any(priority_of(world, pod) > above and may_preempt(world, pod) for pod in others)

    def _counts(self, world: World, pod: Object, node: str, taken: Sequence[_Taken]) -> bool:
        """Who waits counts only if it may have been on its way here when the victims were chosen, or one was for it."""
        if node_of(pod):
            return True
        born_at_s, priority = world.known[uid_of(pod)].born_at_s, priority_of(world, pod)
        return born_at_s < taken[0].at_s or any(
            born_at_s < one.at_s and priority_of(world, one.pod) < priority for one in taken
        )

    def _is_unclear(self, world: World, taken: Sequence[_Taken], limit: int) -> bool:
        """Some of them went for somebody else, or with their groups."""
        return any(group_key(one.pod) or priority_of(world, one.pod) >= limit for one in taken)


@dataclass(slots=True)
class _Crowd:
    """Somebody was bound where a pod that waits no longer fits, though room was made for it there."""

    waiting: Object
    node: str
    came: str
    """Who was bound, by uid."""
    before: frozenset[str]
    at_s: float
    message: str


class KeptRooms:
    """Where room has been made for a pod that waits, nobody less important takes it."""

    name = "kept rooms"
    resources = (PODS,)

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._crowds: list[_Crowd] = []

    def check(self, world: World, change: Change) -> Iterator[str]:
        ended, new = self._waiting.follow(change), change.new
        if new is not None and not node_of(new):
            world.note(uid_of(new), "nominated", dig(new, "status", "nominatedNodeName", default=""))
        if self._crowds:
            yield from self._still(world, change)
        if ended is not None and ended.bound_to and is_scheduler(change.cause):
            self._came(world, change, ended.pod, ended.bound_to)

    def _came(self, world: World, change: Change, pod: Object, node: str) -> None:
        informed = world.informed_until_s(change.cause)
        if change.cause.lost or informed < change.at_s - SEEN_S:
            return
        limit = priority_of(world, pod)
        kept = [
            one.pod for one in self._waiting.now.values()
            if world.lately(uid_of(one.pod), "nominated", informed - SEEN_S) == [node]
            and priority_of(world, one.pod) >= limit and not group_key(one.pod)
        ]
        there = [other for other in world.pods_on[node].values() if not is_finished(other)]
        found = world.get(NODES, node)
        if found is None or world.lately(uid_of(found), "usable", informed - GIVEN_UP_S) != [True]:
            return  # room on a node that could not be used was given up, and the status has yet to say so
        if kept and not fits(total([*there, *kept]), allocatable(world.get(NODES, node))):
            message = f"{title(pod)} took the room on {node} that was made for {', '.join(map(title, kept))}"
            before = frozenset(map(uid_of, there))
            self._crowds.append(_Crowd(kept[0], node, uid_of(pod), before, change.at_s, message))

    def _still(self, world: World, change: Change) -> Iterator[str]:
        """Only if the other goes on waiting, for it may itself have been on its way to somewhere else; and would fit
        now but for who came: somebody more important may have been on the way there, too. And only if its room is not
        taken back at once: then the scheduler had done so before, and its status says it a little later."""
        self._crowds = [
            one for one in self._crowds if uid_of(one.waiting) in self._waiting.now and (
                change.at_s > one.at_s + TAKEN_BACK_S
                or one.node in world.lately(uid_of(one.waiting), "nominated", change.at_s)
            )
        ]
        for one in [one for one in self._crowds if change.at_s > one.at_s + SEEN_S]:
            self._crowds.remove(one)
            limit = priority_of(world, one.waiting)
            others = [
                pod for pod in world.pods_on[one.node].values() if uid_of(pod) != one.came and not is_finished(pod)
                and (uid_of(pod) in one.before or priority_of(world, pod) >= limit)
            ]
            if fits(total([*others, one.waiting]), allocatable(world.get(NODES, one.node))):
                yield one.message
                return
