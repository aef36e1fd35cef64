"""Invariants of what limits others: quotas, disruption budgets, leadership, volumes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from sampan import effects
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, labels_of, meta, namespace_of, uid_of
from sampan.apimachinery.selectors import from_document
from sampan.sim.invariants.numbers import share
from sampan.sim.invariants.objects import EVERYTHING
from sampan.sim.invariants.pods import amount, requested
from sampan.sim.invariants.replicas import size
from sampan.sim.world import (
    PODS,
    Change,
    GroupResource,
    World,
    controller_uid,
    is_active,
    is_finished,
    is_ready,
    title,
)

QUOTAS: Final[GroupResource] = ("core", "resourcequotas")
BUDGETS: Final[GroupResource] = ("policy", "poddisruptionbudgets")
LEASES: Final[GroupResource] = ("coordination.k8s.io", "leases")
VOLUMES: Final[GroupResource] = ("core", "persistentvolumes")
CLAIMS: Final[GroupResource] = ("core", "persistentvolumeclaims")
LEADERS: Final = {
    "controllers-": "kube-system/kube-controller-manager", "scheduler-": "kube-system/kube-scheduler",
}
"""Whose replicas, by how their names begin, hold which Lease."""


class Quotas:
    """What is made never takes a namespace beyond its quota."""

    name = "quotas"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        new = change.new
        if change.resource == QUOTAS:
            if new is not None:
                world.note(uid_of(new), "hard", dig(new, "spec", "hard", default={}))
            return
        if new is None or change.old is not None or not world.objects[QUOTAS]:
            return
        namespace = namespace_of(new)
        for quota in world.objects[QUOTAS].values():
            if namespace_of(quota) == namespace:
                yield from self._exceeded(world, change, quota)

    def _exceeded(self, world: World, change: Change, quota: Object) -> Iterator[str]:
        lately = world.lately(uid_of(quota), "hard", change.at_s - 5)
        for what in dig(quota, "spec", "hard", default={}):
            used = self._used(world, change, namespace_of(quota), what)
            hard = max((amount(one[what]) for one in lately if what in one), default=None)
            if used is not None and hard is not None and used > hard:
                yield f"{title(quota)} allows {hard / 1e9:g} {what}, with {title(change.obj)} it is {used / 1e9:g}"

    def _used(self, world: World, change: Change, namespace: str, what: str) -> int | None:
        """None if the change does not concern it."""
        return quota_usage(world, namespace, what) if change.resource == _counted(what) else None


def _counted(what: str) -> GroupResource:
    """The resource whose objects use up something that a quota limits."""
    if what in ("pods", "requests.cpu", "cpu", "requests.memory", "memory"):
        return PODS
    plural, _, group = what.removeprefix("count/").partition(".")
    return group or "core", plural


def quota_usage(world: World, namespace: str, what: str) -> int | None:
    """How much of it is used, in units of 10⁻⁹."""
    if _counted(what) == PODS:
        resource = what.removeprefix("requests.")
        there = (pod for pod in world.pods_in[namespace].values() if not (is_finished(pod) or _is_overdue(pod)))
        return sum(requested(pod, resource) for pod in there)
    return amount("1") * sum(1 for obj in world.objects[_counted(what)].values() if namespace_of(obj) == namespace)


def _is_overdue(pod: Object) -> bool:
    """It was to be gone by its deletion's time, and its grace has passed once more: nobody is charged for it."""
    deleted, grace_s = meta(pod).get("deletionTimestamp"), meta(pod).get("deletionGracePeriodSeconds")
    if deleted is None or grace_s is None:
        return False
    return effects.now() > datetime.fromisoformat(deleted) + timedelta(seconds=grace_s)


class Budgets:
    """An eviction leaves as many healthy pods as the budget asks for, unless something else has just taken one."""

    name = "budgets"
    resources = (PODS, BUDGETS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if change.resource == BUDGETS:
            if new is not None and change.cause.by == "disruption-controller":
                world.note(uid_of(new), "counted", change.cause.sent_at_s)
            return
        if old is None or not (is_active(old) and is_ready(old)):
            return
        gone = new is None or is_being_deleted(new)
        if not gone or not change.cause.path.endswith("/eviction"):
            if gone or not (new is not None and is_active(new) and is_ready(new)):
                self._note_disturbance(world, change)
            return
        for budget in world.objects[BUDGETS].values():
            if selects(budget, old):
                yield from self._exceeded(world, change, budget)

    def _exceeded(self, world: World, change: Change, budget: Object) -> Iterator[str]:
        counted = world.lately(uid_of(budget), "counted", change.at_s)[:1]
        informed = min([world.informed_until_s(change.cause), *(at - 5 for at in counted)])
        if world.disturbed_at_s.get(f"budget {uid_of(budget)}", float("-inf")) >= informed:
            return
        pods = [pod for pod in world.pods_in[namespace_of(budget)].values() if selects(budget, pod)]
        healthy = sum(1 for pod in pods if is_active(pod) and is_ready(pod))
        expected = self._expected(world, pods)
        most, fewest = dig(budget, "spec", "maxUnavailable"), dig(budget, "spec", "minAvailable")
        must = expected - share(most, expected, up=True) if most is not None else share(fewest or 0, expected, up=True)
        if healthy < must:
            yield f"evicting {title(change.obj)} leaves {healthy} healthy, {title(budget)} asks for {must}"

    def _expected(self, world: World, pods: list[Object]) -> int:
        """The sizes of what controls the pods; the pods themselves where nothing does."""
        owners = {controller_uid(pod) for pod in pods}
        total = sum(1 for pod in pods if not controller_uid(pod))
        for uid in sorted(owner for owner in owners if owner):
            known = world.known.get(uid)
            owner = world.get(known.resource, known.key) if known is not None else None
            total += size(owner) if owner is not None else 0
        return total

    def _note_disturbance(self, world: World, change: Change) -> None:
        for budget in world.objects[BUDGETS].values():
            if selects(budget, change.obj):
                world.disturbed_at_s[f"budget {uid_of(budget)}"] = change.at_s


def selects(budget: Object, pod: Object) -> bool:
    selector = dig(budget, "spec", "selector")
    if selector is None or namespace_of(budget) != namespace_of(pod):
        return False
    return from_document(selector).matches(labels_of(pod))


class Leadership:
    """Of several controller managers, or schedulers, only the Lease's holder writes."""

    name = "leadership"
    resources = EVERYTHING

    def check(self, world: World, change: Change) -> Iterator[str]:
        if change.resource == LEASES:
            if change.key in LEADERS.values() and change.new is not None:
                world.note(change.key, "holder", dig(change.new, "spec", "holderIdentity", default=""))
            return
        who = change.cause.life.component
        lease = LEADERS.get(who.rstrip("0123456789"))
        if lease is None:
            return
        holders = world.lately(lease, "holder", change.cause.sent_at_s)
        if who not in holders[:1]:
            yield f"{who} wrote {title(change.obj)} while {holders[0] if holders else 'nobody'} was leader"


class VolumeBinding:
    """A volume has one claim, a claim one volume, for life; a claim goes after the pods that use it."""

    name = "volume binding"
    resources = (VOLUMES, CLAIMS)

    def check(self, world: World, change: Change) -> Iterator[str]:
        old, new = change.old, change.new
        if change.resource == CLAIMS and new is None and old is not None:
            yield from self._still_used(world, old)
        if new is None:
            return
        if change.resource == VOLUMES:
            before, now = (dig(one, "spec", "claimRef", "uid") if one else None for one in (old, new))
            if before and now and before != now and dig(old, "status", "phase") == "Bound":
                yield f"{title(new)} went from one claim to another"
            return
        before, now = (dig(one, "spec", "volumeName", default="") if one else "" for one in (old, new))
        if before and now != before:
            yield f"{title(new)} went from {before} to {now or 'no volume'}"
        if not now or dig(new, "status", "phase") != "Bound":
            return
        for other in world.all(*CLAIMS):
            if other is new or dig(other, "spec", "volumeName") != now:
                continue
            if dig(other, "status", "phase") == "Bound":
                yield f"{title(new)} and {title(other)} are both bound to {now}"

    def _still_used(self, world: World, claim: Object) -> Iterator[str]:
        for pod in world.pods_in[namespace_of(claim)].values():
            if is_finished(pod) or not dig(pod, "spec", "nodeName"):
                continue
            for volume in dig(pod, "spec", "volumes", default=[]):
                name = dig(volume, "persistentVolumeClaim", "claimName")
                if f"{namespace_of(claim)}/{name}" == key_of(claim):
                    yield f"{title(claim)} was removed while {title(pod)} uses it"
