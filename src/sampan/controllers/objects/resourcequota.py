"""ResourceQuota: keeps `status.used` true.

Observed: quotas, and the objects that they count. Desired: `hard` is what the spec says and `used` is what there is of
it; else they are written. Admission counts for itself when something is created, so limits hold without this loop; but
what is deleted, finishes or is changed is counted only here. For each quota the objects of the kinds that it names are
counted, those in its scopes only. Pods, Services and claims (of volumes and of devices) are counted by content;
everything else by number, so that metadata is enough, and the copies of it are those that the garbage collector has
anyway. Nothing is said of what cannot be counted, as objects of a kind that the server does not serve yet; what was
said of it before stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sampan import effects
from sampan.api.core.quota_scopes import in_scope
from sampan.api.core.quota_usage import ZERO, counts_for, plus, usage_of
from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_CLAIMS, RESOURCE_QUOTAS, SERVICES
from sampan.apimachinery.object import Object, dig, is_being_deleted, key_of, namespace_of, split_key
from sampan.apimachinery.quantity import Quantity
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.client.lister import Lister
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

RESYNC_S = 300.0
WHOLE = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)
"""What is counted by content, and always followed. Claims of devices are too, but not every server has them."""


def plan(quota: Object, objects: Mapping[Resource, Iterable[Object]], now: datetime) -> Plan:
    """Write what is used of the quota. `objects` are those of its namespace, by what they are."""
    hard: dict[str, str] = dig(quota, "spec", "hard", default={})
    status = quota.get("status") or {}
    known = {name: Quantity.parse(text) for name, text in (status.get("used") or {}).items()}
    used: dict[str, Quantity] = {}
    for resource, found in objects.items():
        for obj in found:
            if in_scope(quota, resource, obj):
                for name, amount in usage_of(resource, obj, now).items():
                    used[name] = plus(used.get(name), amount)
    counted = {
        name: used.get(name, ZERO) if any(counts_for(resource, name) for resource in objects) else known[name]
        for name in hard if name in known or any(counts_for(resource, name) for resource in objects)
    }
    if status.get("hard") == hard and status.get("used") is not None and known == counted:
        return Plan(requeue_after_s=RESYNC_S)
    status = {"hard": hard, "used": {name: str(amount) for name, amount in counted.items()}}
    update = Update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
    return Plan((update,), requeue_after_s=RESYNC_S)


def counted_besides(hard: Iterable[str]) -> list[str]:
    """The resources (`secrets`, `deployments.apps`) that the quota counts beside those that are always followed."""
    found = set()
    for name in hard:
        if counts_for(RESOURCE_CLAIMS, name):
            found.add(RESOURCE_CLAIMS.qualified)
        elif not any(counts_for(resource, name) for resource in WHOLE):
            found.add(name.removeprefix("count/"))
    return sorted(name for name in found if "/" not in name)


class ResourceQuotaReconciler:
    """Keys are quotas. What a quota counts is followed from the moment that a quota asks for it."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._quotas = wiring.watch(RESOURCE_QUOTAS)
        self._whole: dict[Resource, Lister] = {
            resource: wiring.watch(resource, self._concerned) for resource in WHOLE
        }
        self._followed: dict[str, tuple[Resource, Lister]] = {}

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        quota = self._quotas.get(name, namespace)
        if quota is None or is_being_deleted(quota):
            return NOTHING
        hard = dig(quota, "spec", "hard", default={})
        listers = dict(self._whole)
        for counted in counted_besides(hard):
            found = self._followed.get(counted) or await self._follow(counted)
            if found is not None:
                listers[found[0]] = found[1]
        return plan(quota, {resource: lister.list(namespace) for resource, lister in listers.items()}, effects.now())

    async def _follow(self, counted: str) -> tuple[Resource, Lister] | None:
        """Start to follow a resource that a quota counts; None while the server does not have it."""
        found = await discover(self._wiring.client)
        for resource in found.with_verbs("list", "watch"):
            if resource.qualified == counted and resource.namespaced:
                by_content = resource.qualified == RESOURCE_CLAIMS.qualified
                informer = self._wiring.factory.informer(resource, metadata_only=not by_content)
                self._wiring.follow(informer, self._concerned)
                await informer.wait_synced()
                return self._followed.setdefault(counted, (resource, informer.lister))
        return None

    def _concerned(self, obj: Object) -> list[str]:
        return sorted(key_of(quota) for quota in self._quotas.list(namespace_of(obj)))
