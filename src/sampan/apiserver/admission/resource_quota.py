"""ResourceQuota: a namespace's objects together stay within what its quotas allow.

What is used is counted from the watch cache at each write that a quota concerns, plus what was admitted and is not
stored yet, so two writes at the same time cannot both take the last place. Nothing depends on a
controller having kept the status; the status is only brought up to date on the way, for people to read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from sampan import effects
from sampan.api.core.quota_scopes import in_scope
from sampan.api.core.quota_usage import ZERO, Usage, counts_for, missing, plus, usage_of
from sampan.api.resources import RESOURCE_QUOTAS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object, dig, name_of
from sampan.apimachinery.quantity import Quantity
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission import limited_resources
from sampan.apiserver.admission.limited_resources import Limited
from sampan.apiserver.admission.plugin import Plugin, name_of_write, refuse
from sampan.apiserver.seams import AdmissionAttributes, ServerParts

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Reservation:
    """A write that was admitted: once it is `settled`, a fresh cache shows what became of it. `before`: the version
    that an update replaces."""

    resource: Resource
    namespace: str
    name: str
    obj: Object
    before: str = ""
    settled: bool = False

    def settle(self) -> None:
        self.settled = True


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    grows: ClassVar[frozenset[tuple[str, str, str]]] = frozenset({
        ("", "services", ""), ("", "persistentvolumeclaims", ""), ("", "pods", "resize"),
    })
    """What may come to use more by an update: group, plural, subresource."""

    def __init__(self, parts: ServerParts, limited: tuple[Limited, ...] = ()) -> None:
        self._parts = parts
        self._limited = limited
        self._watched = parts.reader.watched(RESOURCE_QUOTAS)
        self._quotas: dict[str, list[Object]] = {}
        self._reserved: list[_Reservation] = []

    def interested(self, attributes: AdmissionAttributes) -> bool:
        if not attributes.namespace:
            return False
        resource = attributes.kind.resource
        if attributes.operation == "UPDATE":
            if (resource.group, resource.plural, attributes.subresource) not in self.grows \
                    and not _moves_between_scopes(attributes):
                return False
        elif attributes.operation != "CREATE" or attributes.subresource:
            return False
        return bool(self._of(attributes.namespace)) or any(one.concerns(resource) for one in self._limited)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        obj, resource = attributes.object, attributes.kind.resource
        if obj is None or resource.plural == "events":
            return
        if any(one.concerns(resource) for one in self._limited):
            await self._parts.reader.fresh(RESOURCE_QUOTAS)  # one that has just been made is enough
        concerned = [
            quota for quota in self._of(attributes.namespace)
            if in_scope(quota, resource, obj) and any(counts_for(resource, name) for name in _hard(quota))
        ]
        for quota in concerned:
            _insist_on_statements(attributes, quota)
        growth = [(quota, _growth(attributes, quota)) for quota in concerned]
        growth = [(quota, wanted) for quota, wanted in growth if wanted]
        if not growth and (concerned or not _growth(attributes, None)):
            return
        self._insist_on_quotas(attributes, obj, concerned)
        if not growth:
            return
        settled = {one for one in self._reserved if one.settled}
        await self._parts.reader.fresh(resource)
        self._reserved = [one for one in self._reserved if one not in settled]
        changes = [(quota, self._checked(attributes, quota, wanted)) for quota, wanted in growth]
        if attributes.dry_run:
            return
        before = _version(attributes.old_object) if attributes.operation == "UPDATE" else ""
        reservation = _Reservation(resource, attributes.namespace, name_of_write(attributes), obj, before)
        self._reserved.append(reservation)
        attributes.when_settled(reservation.settle)
        for quota, used in changes:
            if used:
                await self._show(quota, used)

    def _insist_on_quotas(self, attributes: AdmissionAttributes, obj: Object, concerned: list[Object]) -> None:
        """What may not be used without a quota needs one. Raises Forbidden."""
        resource = attributes.kind.resource
        limited = [one for one in self._limited if one.concerns(resource)]
        used = [name for name, amount in usage_of(resource, obj, effects.now()).items() if amount > ZERO]
        names = limited_resources.uncovered_names(limited, used, concerned)
        if names:
            raise refuse(attributes, f"insufficient quota to consume: {','.join(names)}")
        quotas = self._of(attributes.namespace)
        scopes = list(limited_resources.uncovered_scopes(limited, resource, obj, quotas))
        if scopes:
            raise refuse(attributes, f"insufficient quota to match these scopes: [{' '.join(scopes)}]")

    def _checked(self, attributes: AdmissionAttributes, quota: Object, wanted: Usage) -> Usage:
        """What will be used of a quota with this object. Raises Forbidden where that is too much."""
        hard = _hard(quota)
        used = self._used(quota, attributes)
        over = [
            name for name in sorted(wanted) if name in hard
            and plus(used.get(name), wanted[name]) > Quantity.parse(hard[name])
        ]
        if over:
            requested = ",".join(f"{name}={wanted[name]}" for name in over)
            present = ",".join(f"{name}={used.get(name, ZERO)}" for name in over)
            limited = ",".join(f"{name}={Quantity.parse(hard[name])}" for name in over)
            raise refuse(
                attributes, f"exceeded quota: {name_of(quota)}, requested: {requested}, used: {present}, "
                f"limited: {limited}",
            )
        return {name: plus(used.get(name), amount) for name, amount in wanted.items() if name in hard}

    def _used(self, quota: Object, attributes: AdmissionAttributes) -> Usage:
        """What is used of a quota, with what was admitted and is not stored yet, without this write."""
        resource, namespace = attributes.kind.resource, attributes.namespace
        present = {name_of(obj): obj for obj in self._parts.reader.list(resource, namespace)}
        seen = {name: _version(obj) for name, obj in present.items()}
        own = name_of_write(attributes) if attributes.operation == "UPDATE" else None
        coming = []
        for one in self._reserved:
            if one.resource != resource or one.namespace != namespace or one.name == own:
                continue
            if not one.before and one.name not in seen:
                coming.append(one.obj)
            elif one.before and seen.get(one.name) == one.before:
                present[one.name] = one.obj
        used: Usage = {}
        now = effects.now()
        for obj in (*present.values(), *coming):
            if in_scope(quota, resource, obj):
                for name, amount in usage_of(resource, obj, now).items():
                    used[name] = plus(used.get(name), amount)
        return used

    async def _show(self, quota: Object, used: Usage) -> None:
        status = {"hard": dig(quota, "spec", "hard", default={}), "used": {k: str(v) for k, v in used.items()}}
        try:
            await self._parts.client.patch(
                RESOURCE_QUOTAS, name_of(quota), {"status": status}, quota["metadata"]["namespace"],
                subresource="status",
            )
        except APIError as error:
            log.info("status of quota %s not written: %s", name_of(quota), error)

    def _of(self, namespace: str) -> list[Object]:
        if self._watched.stale:
            self._watched.stale = False
            self._quotas.clear()
        if namespace not in self._quotas:
            self._quotas[namespace] = list(self._parts.reader.list(RESOURCE_QUOTAS, namespace))
        return self._quotas[namespace]


def _hard(quota: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = dig(quota, "spec", "hard", default={})
    return found


def _version(obj: Object | None) -> str:
    return str(dig(obj or {}, "metadata", "resourceVersion", default=""))


def _moves_between_scopes(attributes: AdmissionAttributes) -> bool:
    """Whether an update of a pod gives it a deadline: it is Terminating from then on, which another quota counts."""
    resource, old, new = attributes.kind.resource, attributes.old_object, attributes.object
    if (resource.group, resource.plural, attributes.subresource) != ("", "pods", "") or old is None or new is None:
        return False
    before, after = (dig(one, "spec", "activeDeadlineSeconds") is None for one in (old, new))
    return before is not after


def _growth(attributes: AdmissionAttributes, quota: Object | None) -> Usage:
    """What the write uses more than before of what a quota counts (None: of all). An object that comes into the scope
    of a quota by an update is new to it."""
    resource, old = attributes.kind.resource, attributes.old_object
    assert attributes.object is not None
    now = effects.now()
    before: Usage = {}
    if attributes.operation == "UPDATE" and old is not None and (quota is None or in_scope(quota, resource, old)):
        before = usage_of(resource, old, now)
    grown = {
        name: Quantity(amount.nanos - before.get(name, ZERO).nanos, amount.format)
        for name, amount in usage_of(resource, attributes.object, now).items()
    }
    return {name: amount for name, amount in grown.items() if amount > ZERO}


def _insist_on_statements(attributes: AdmissionAttributes, quota: Object) -> None:
    """A pod has to state the compute resources that a quota limits. Raises Forbidden."""
    resource = attributes.kind.resource
    if (resource.group, resource.plural) != ("", "pods"):
        return
    assert attributes.object is not None
    unstated = missing(attributes.object, _hard(quota))
    if unstated:
        raise refuse(attributes, f"failed quota: {name_of(quota)}: must specify {unstated}")


def build(parts: ServerParts) -> ResourceQuota:
    return ResourceQuota(parts, limited_resources.load(parts.config))
