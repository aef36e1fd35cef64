"""Storage version migrator: writes all objects of a resource again, as a StorageVersionMigration asks for.

Observed: a StorageVersionMigration. Desired: every object of its resource has been written since it was made. What is
stored in an old version, or sealed with an old key, is stored anew when it is written; so each object gets an empty
patch, page by page. One that is gone, or that somebody else wrote meanwhile, needs none. The status tells how it
stands: Running, then Succeeded, or Failed with the reason; a migration that was interrupted begins again.
"""

from __future__ import annotations

from datetime import datetime

from sampan import effects
from sampan.api.resources import STORAGE_VERSION_MIGRATIONS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, namespace_of, uid_of
from sampan.apimachinery.resource import Resource
from sampan.client.discovery import discover
from sampan.controllers import conditions
from sampan.controllers.conditions import Condition
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

PAGE = 500
RUNNING = Condition("Running", True, "StorageVersionMigrationInProgress", "")
STOPPED = Condition("Running", False, "StorageVersionMigrationInProgress", "")
SUCCEEDED = Condition("Succeeded", True, "StorageVersionMigrationSucceeded", "")


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


class StorageVersionMigrator:
    """Keys are migrations."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._migrations = wiring.watch(STORAGE_VERSION_MIGRATIONS)

    async def reconcile(self, key: str) -> Plan:
        migration = self._migrations.get_by_key(key)
        if migration is None or is_being_deleted(migration) or is_over(migration):
            return NOTHING
        running = conditions.find(dig(migration, "status", "conditions", default=()), "Running")
        if running is None:
            return with_status(migration, effects.now(), RUNNING)
        resource = await self._resource(dig(migration, "spec", "resource", default={}))
        if resource is None:
            wanted = dig(migration, "spec", "resource", default={})
            text = f"resource does not exist in GC, {wanted.get('group', '')}/{wanted.get('resource')}"
            failed = Condition("Failed", True, "StorageVersionMigrationFailed", text)
            return with_status(migration, effects.now(), STOPPED, failed)
        version = await self._rewrite(resource)
        return with_status(migration, effects.now(), STOPPED, SUCCEEDED, version=version)

    async def _resource(self, wanted: Object) -> Resource | None:
        found = await discover(self._client)
        served = [one for one in found.with_verbs("list", "patch") if one.plural == wanted.get("resource")]
        return next((one for one in served if one.group == wanted.get("group", "")), None)

    async def _rewrite(self, resource: Resource) -> str:
        """Patch every object; the resourceVersion of the list. Raises APIError."""
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
