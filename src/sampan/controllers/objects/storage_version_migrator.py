"""Storage version migrator: writes all objects of a resource again, as a StorageVersionMigration asks for.

Observed: a StorageVersionMigration. Desired: every object of its resource has been written since it was made. What is
stored in an old version is stored anew when it is written; so each object gets an empty patch, page by page, which
changes nothing else. One that is gone, or that somebody else wrote meanwhile, needs none. The status tells how it
stands: Running, then Succeeded, or Failed with the reason; a migration that was interrupted begins again.

Of several migrations of one resource the oldest runs first. Where the resource is of a CustomResourceDefinition, that
one says StorageMigrating meanwhile; and if it is still the same definition when all is written, its storedVersions are
the storage version alone, so that the older versions may be taken out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS, STORAGE_VERSION_MIGRATIONS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, namespace_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.controllers import conditions, times
from sampan.controllers.conditions import Condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Patch, Plan, Update

PAGE = 500
PATIENCE = timedelta(minutes=1)
"""For how long a resource may be missing after the migration was made: its definition may be as young."""
RETRIED = (errors.TooManyRequests, errors.ServiceUnavailable, errors.InternalError, errors.Timeout)
MIGRATING = "StorageMigrating"
RUNNING = Condition("Running", True, "MigrationRunning", "The migration is running")
STOPPED = Condition("Running", False, "MigrationCompleted", "")
SUCCEEDED = Condition("Succeeded", True, "StorageVersionMigrationSucceeded", "")


class CannotMigrate(Exception):
    """The migration fails; the message says why."""


def is_over(migration: Object) -> bool:
    found = dig(migration, "status", "conditions", default=())
    return any(one.get("type") in ("Succeeded", "Failed") and one.get("status") == "True" for one in found)


def with_status(migration: Object, now: datetime, *found: Condition, version: str = "") -> Plan:
    """Write these conditions, and from which resourceVersion on everything is new."""
    status = dict(migration.get("status") or {})
    for one in found:
        status["conditions"] = conditions.with_condition(status.get("conditions") or (), one, now)
    if version:
        status["resourceVersion"] = version
    if status == (migration.get("status") or {}):
        return NOTHING
    return Plan((Update(STORAGE_VERSION_MIGRATIONS, {**migration, "status": status}, subresource="status"),))


def is_its_turn(migration: Object, others: Iterable[Object]) -> bool:
    """Whether it may begin: no other of the resource runs, and none is older."""
    rivals = [
        one for one in others if name_of(one) != name_of(migration) and _resource_of(one) == _resource_of(migration)
        and not is_over(one) and not is_being_deleted(one)
    ]
    return not any(_is_running(one) for one in rivals) and all(_age(migration) < _age(one) for one in rivals)


def begin(migration: Object, definition: Object | None, now: datetime) -> Plan:
    """Say that the migration runs, of the definition too."""
    told = with_status(migration, now, RUNNING)
    if definition is None:
        return told
    running = Condition(MIGRATING, True, "MigrationRunning", f"Migration {name_of(migration)} is running")
    return replace(told, steps=(_tell(definition, running, now), *told.steps))


def end(definition: Object, *, succeeded: bool, now: datetime) -> Patch:
    """What the definition says then. The other stored versions are forgotten if no object can be of one any more."""
    known = conditions.find(dig(definition, "status", "conditions", default=()), MIGRATING) or {}
    if not succeeded:
        return _tell(definition, Condition(MIGRATING, False, "MigrationFailed", "The migration has failed"), now)
    is_same = known.get("observedGeneration") == meta(definition).get("generation")
    text = "The migration has succeeded " + (
        "and the stored versions have been updated" if is_same
        else "but the stored versions have not been updated due to a generation mismatch"
    )
    stored = [one["name"] for one in definition["spec"]["versions"] if one.get("storage")] if is_same else None
    return _tell(definition, Condition(MIGRATING, False, "MigrationSucceeded", text), now, stored)


def _tell(definition: Object, told: Condition, now: datetime, stored: list[str] | None = None) -> Patch:
    found: list[Object] = [*dig(definition, "status", "conditions", default=())]
    condition = {
        "type": told.type, "status": str(told.status), "lastTransitionTime": times.text(now), "reason": told.reason,
        "message": told.message, "observedGeneration": meta(definition).get("generation", 0),
    }
    status: Object = {"conditions": [*conditions.without(found, told.type), condition]}
    if stored is not None:
        status["storedVersions"] = stored
    patch = {"metadata": {"resourceVersion": meta(definition).get("resourceVersion")}, "status": status}
    return Patch(CUSTOM_RESOURCE_DEFINITIONS, name_of(definition), "", patch, "merge", subresource="status")


def _resource_of(migration: Object) -> tuple[str, str]:
    wanted = dig(migration, "spec", "resource", default={})
    return wanted.get("group", ""), wanted.get("resource", "")


def _is_running(migration: Object) -> bool:
    found = conditions.find(dig(migration, "status", "conditions", default=()), "Running")
    return found is not None and found.get("status") == "True"


def _age(migration: Object) -> tuple[str, str]:
    return str(meta(migration).get("creationTimestamp", "")), name_of(migration)


class StorageVersionMigrator:
    """Keys are migrations; each concerns the others of its resource, which may wait for it."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._migrations = wiring.watch(STORAGE_VERSION_MIGRATIONS, self._concerned)

    async def reconcile(self, key: str) -> Plan:
        migration = self._migrations.get_by_key(key)
        if migration is None or is_being_deleted(migration) or is_over(migration):
            return NOTHING
        if not _is_running(migration):
            if not is_its_turn(migration, self._migrations.list()):
                return NOTHING
            return begin(migration, await self._definition(migration), effects.now())
        resource = await self._resource(migration)
        if resource is None and effects.now() < times.parse(meta(migration)["creationTimestamp"]) + PATIENCE:
            return Plan(requeue_after_s=5.0)
        try:
            if resource is None:
                raise CannotMigrate("unable to obtain GVR from discovery")
            version = await self._rewrite(resource)
        except CannotMigrate as problem:
            text = f"migration encountered unhandled error: {problem}"
            failed = Condition("Failed", True, "StorageVersionMigrationFailed", text)
            return await self._end(migration, failed)
        return await self._end(migration, SUCCEEDED, version)

    async def _end(self, migration: Object, result: Condition, version: str = "") -> Plan:
        """First the definition, then the migration: until that is written all is done again after a crash."""
        now, definition = effects.now(), await self._definition(migration)
        told = with_status(migration, now, STOPPED, result, version=version)
        if definition is None:
            return told
        return replace(told, steps=(end(definition, succeeded=result is SUCCEEDED, now=now), *told.steps))

    def _concerned(self, migration: Object) -> list[str]:
        same = {name_of(one) for one in self._migrations.list() if _resource_of(one) == _resource_of(migration)}
        return sorted({name_of(migration), *same})

    async def _definition(self, migration: Object) -> Object | None:
        """The CustomResourceDefinition of the migration's resource."""
        group, plural = _resource_of(migration)
        try:
            return await self._client.get(CUSTOM_RESOURCE_DEFINITIONS, f"{plural}.{group}") if group else None
        except errors.NotFound:
            return None

    async def _resource(self, migration: Object) -> Resource | None:
        group, plural = _resource_of(migration)
        found = await discover(self._client)
        served = [one for one in found.with_verbs("list", "patch") if one.plural == plural]
        return next((one for one in served if one.group == group), None)

    async def _rewrite(self, resource: Resource) -> str:
        """Patch every object; the resourceVersion of the list. Raises APIError, CannotMigrate."""
        version = token = ""
        while True:
            page = await self._client.list(resource, limit=PAGE, continue_token=token, metadata_only=True)
            version = version or str(dig(page, "metadata", "resourceVersion", default=""))
            for item in page.get("items") or ():
                await self._touch(resource, item)
            token = str(dig(page, "metadata", "continue", default=""))
            if not token:
                return version

    async def _touch(self, resource: Resource, item: Object) -> None:
        patch = {"metadata": {"uid": uid_of(item), "resourceVersion": meta(item).get("resourceVersion")}}
        try:
            await self._client.patch(resource, name_of(item), patch, namespace_of(item) or None, type="merge")
        except (errors.NotFound, errors.Conflict):
            return  # gone, or written by somebody else: either way it is not old any more
        except RETRIED:
            raise
        except errors.APIError as error:
            raise CannotMigrate(str(error)) from error
