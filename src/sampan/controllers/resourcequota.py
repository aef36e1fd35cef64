"""ResourceQuota: keeps `status.used` true.

Observed: quotas, and the objects that they count. Desired: `used` is what there is; else it is written. Admission
counts for itself when something is created, so limits hold without this loop; but what is deleted, finishes or is
changed is counted only here. For each quota the objects of the kinds that it names are counted, those in its scopes
only. Pods, Services and claims are counted by content; everything else by number, so that metadata is enough, and the
copies of it are those that the garbage collector has anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.core.quota_usage import ZERO, in_scope, plus, usage_of
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, meta, namespace_of, split_key
from sampan.apimachinery.quantity import Quantity
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.client.lister import Lister
from sampan.controllers import times
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

RESYNC_S = 300.0
_COMPUTED = ("requests.", "limits.", "cpu", "memory", "ephemeral-storage", "services.", "pods")


def plan(quota: Object, objects: Mapping[Resource, Iterable[Object]], now: datetime) -> Plan:
    """Write what is used of the quota. `objects` are those of its namespace, by what they are."""
    hard: dict[str, str] = dig(quota, "spec", "hard", default={})
    used: dict[str, Quantity] = {}
    for resource, found in objects.items():
        for obj in found:
            if in_scope(quota, resource, obj) and not is_overdue(obj, now):
                for name, amount in usage_of(resource, obj).items():
                    used[name] = plus(used.get(name), amount)
    counted = {name: used.get(name, ZERO) for name in hard}
    known = quota.get("status") or {}
    same = known.get("hard") == hard and {
        name: Quantity.parse(text) for name, text in (known.get("used") or {}).items()
    } == counted
    if same:
        return Plan(requeue_after_s=RESYNC_S)
    status = {"hard": hard, "used": {name: str(amount) for name, amount in counted.items()}}
    update = Update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
    return Plan((update,), requeue_after_s=RESYNC_S)


def is_overdue(obj: Object, now: datetime) -> bool:
    """Whether it should long be gone: a pod whose node was lost ends for nobody, and is not charged for ever."""
    deleted, grace_s = meta(obj).get("deletionTimestamp"), meta(obj).get("deletionGracePeriodSeconds")
    if deleted is None or grace_s is None:
        return False
    return now > times.parse(deleted) + timedelta(seconds=int(grace_s))


def counted_by_number(hard: Iterable[str]) -> list[str]:
    """The resources (`secrets`, `deployments.apps`) that the quota counts one by one."""
    names = (name.removeprefix("count/") for name in hard if not name.startswith(_COMPUTED) and ".storageclass." not in
             name)
    return sorted({name for name in names if name not in ("pods", "services", "persistentvolumeclaims")})


class ResourceQuotaReconciler:
    """Keys are quotas. What a quota counts is followed from the moment that a quota asks for it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._quotas = wiring.watch(RESOURCE_QUOTAS)
        self._whole: dict[Resource, Lister] = {
            resource: wiring.watch(resource, self._concerned) for resource in (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)
        }
        self._by_number: dict[str, tuple[Resource, Lister]] = {}

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        quota = self._quotas.get(name, namespace)
        if quota is None or is_being_deleted(quota):
            return NOTHING
        hard = dig(quota, "spec", "hard", default={})
        listers = dict(self._whole)
        for counted in counted_by_number(hard):
            found = self._by_number.get(counted) or await self._follow(counted)
            if found is not None:
                listers[found[0]] = found[1]
        return plan(quota, {resource: lister.list(namespace) for resource, lister in listers.items()}, effects.now())

    async def _follow(self, counted: str) -> tuple[Resource, Lister] | None:
        """Start to follow a resource that a quota counts; None while the server does not have it."""
        found = await discover(self._wiring.client)
        for resource in found.with_verbs("list", "watch"):
            if resource.qualified == counted and resource.namespaced:
                informer = self._wiring.factory.informer(resource, metadata_only=True)
                self._wiring.follow(informer, self._concerned)
                await informer.wait_synced()
                return self._by_number.setdefault(counted, (resource, informer.lister))
        return None

    def _concerned(self, obj: Object) -> list[str]:
        return sorted(key_of(quota) for quota in self._quotas.list(namespace_of(obj)))
