"""Create, update and delete: the order in which a write is completed, admitted, checked and stored.

    create   default → own → admit → prepare → name, uid, time → hooks → validate → validating admission → store.create
    update   read → change → default → own → admit → keep what is the server's → prepare → hooks → validate
             → validating admission → store.update at the revision that was read; again from the newest state on a race
    delete   read → preconditions → admission → finalizers and grace → store.update or store.delete

Who owns which field is worked out before admission, as upstream does: what plugins and allocations add belongs to
nobody. Plugins leave complete objects behind. Every write is compare-and-swap, so two of them can never overwrite each
other unseen. A dry run does all but the last step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from sampan.api.kind import Kind
from sampan.apimachinery import errors, names
from sampan.apimachinery import metadata as metadata_rules
from sampan.apimachinery.errors import OPTIMISTIC_LOCK, Conflict
from sampan.apimachinery.field import FieldError, Path, invalid
from sampan.apimachinery.object import Object
from sampan.apiserver.registry import codec, deletion, ownership, system_metadata
from sampan.apiserver.registry.admitting import AdmissionChain
from sampan.apiserver.registry.deletion import Outcome
from sampan.apiserver.registry.entry import Known
from sampan.apiserver.registry.hooks import Hook
from sampan.apiserver.registry.hub import Hub
from sampan.apiserver.registry.keys import local_key, prefix_of
from sampan.apiserver.registry.write_request import WriteRequest
from sampan.apiserver.seams import AdmissionAttributes
from sampan.storage.store import KeyExists, KeyNotFound, RevisionMismatch, Store

Change: TypeAlias = Callable[[Object], Awaitable[Object]]
"""From the present state (never to be changed) to the wanted one."""

GENERATE_ATTEMPTS: Final = 8
UPDATE_ATTEMPTS: Final = 100
_NEEDS_VERSION: Final = frozenset({
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"), ("apiregistration.k8s.io", "apiservices"),
    ("certificates.k8s.io", "clustertrustbundles"), ("certificates.k8s.io", "podcertificaterequests"),
    ("coordination.k8s.io", "leases"), ("node.k8s.io", "runtimeclasses"), ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csidrivers"), ("storage.k8s.io", "csinodes"), ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"), ("storagemigration.k8s.io", "storageversionmigrations"),
})
"""Built-in kinds that may only be replaced by someone who says which version was seen; all custom ones are so too."""


class WritePath:
    """Writes of stored kinds. Objects that are returned carry their resourceVersion."""

    def __init__(
        self, store: Store, hub: Hub, admission: AdmissionChain, hooks: Mapping[tuple[str, str], Hook]
    ) -> None:
        self._store = store
        self._hub = hub
        self._admission = admission
        self._hooks = hooks

    async def create(self, request: WriteRequest, obj: Object) -> Object:
        """Store a new object. Raises AlreadyExists, Invalid, and what admission raises."""
        kind = request.kind
        kind.default(obj)
        ownership.record(request, obj, None)
        attributes = request.attributes("CREATE", obj)
        await self._admission.admit(attributes)
        assert attributes.object is not None
        obj = attributes.object
        metadata = obj["metadata"]
        if kind.resource.namespaced:
            metadata["namespace"] = request.namespace
        system_metadata.begin(metadata)
        system_metadata.tidy(metadata)
        prefix = metadata.get("generateName") if not metadata.get("name") else None
        for attempt in range(GENERATE_ATTEMPTS):
            if prefix:
                metadata["name"] = system_metadata.generate_name(prefix)
            try:
                return await self._create_named(request, obj, attributes)
            except errors.AlreadyExists:
                if not prefix or attempt == GENERATE_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def _create_named(self, request: WriteRequest, obj: Object, attributes: AdmissionAttributes) -> Object:
        kind = request.kind
        name = obj["metadata"].get("name") or ""
        request.name = attributes.name = name
        kind.prepare_create(obj)
        hook = self._hooks.get((kind.resource.group, kind.resource.plural))
        reserved = await hook.prepare(obj, None, dry_run=request.dry_run) if hook else None
        written = False
        try:
            found = metadata_rules.validate_create(
                obj, namespaced=kind.resource.namespaced, valid_name=kind.valid_name or names.dns1123_subdomain
            )
            self._refuse(kind, name, found + kind.validate(obj))
            request.warn(kind.warnings(obj, None))
            await self._admission.validate(attributes)
            key = self._key(request)
            stored = await self._encoded(kind, obj)
            if request.dry_run:
                if await self._store.get(key) is not None:
                    raise errors.already_exists(kind.resource, name)
                return obj
            if hook:
                await hook.secure(reserved, obj)
            try:
                revision = await self._store.create(key, stored)
            except KeyExists:
                raise errors.already_exists(kind.resource, name) from None
            written = True
        finally:
            attributes.settle()
            if hook:
                hook.finish(reserved, written=written)
        obj["metadata"]["resourceVersion"] = str(revision)
        return obj

    async def update(self, request: WriteRequest, change: Change) -> Object:
        """Bring an object from its present state to `change(state)`. Raises NotFound, Conflict, Invalid."""
        data, revision = await self._current(request)
        for _ in range(UPDATE_ATTEMPTS):
            try:
                return await self._update_once(request, change, data, revision)
            except RevisionMismatch as race:
                data, revision = race.current.value, race.current.mod_revision
                if not request.unconditional:
                    raise errors.conflict(request.resource, request.name, OPTIMISTIC_LOCK) from None
            except KeyNotFound:
                raise errors.not_found(request.resource, request.name) from None
        raise errors.conflict(request.resource, request.name, OPTIMISTIC_LOCK)

    async def _current(self, request: WriteRequest) -> tuple[bytes, int]:
        """Stored bytes and revision of the newest state."""
        key = self._key(request)
        found = await self._store.get(key)
        if found is None:
            raise errors.not_found(request.resource, request.name)
        return found.value, found.mod_revision

    async def _update_once(self, request: WriteRequest, change: Change, data: bytes, revision: int) -> Object:
        kind, view = request.kind, request.subresource
        present = codec.decode_stored(data, revision)
        is_outdated = kind.custom is not None and present["apiVersion"] != kind.custom.storage_version
        old = await self._from_storage(kind, present)
        if request.shares:
            new = _unshared(await change(old))
        else:
            new = await change(await self._from_storage(kind, codec.decode_stored(data, revision)))
        await self._check_identity(request, new, old)
        complete = view.default if view is not None and view.default is not None else kind.default
        complete(new)
        ownership.record(request, new, old)
        if not request.admitted:
            attributes = request.attributes("UPDATE", new, old)
            await self._admission.admit(attributes)
            assert attributes.object is not None
            new = attributes.object
        metadata = new["metadata"]
        system_metadata.keep(metadata, old["metadata"])
        system_metadata.tidy(metadata)
        metadata["resourceVersion"] = str(revision)
        if view is not None and view.prepare_update is not None:
            view.prepare_update(new, old)
        else:
            kind.prepare_update(new, old)
        hook = self._hooks.get((kind.resource.group, kind.resource.plural)) if view is None else None
        reserved = await hook.prepare(new, old, dry_run=request.dry_run) if hook else None
        admitted = request.attributes("UPDATE", new, old)
        written = False
        try:
            self._refuse(kind, request.name, self._update_errors(request, new, old))
            if view is None or view.name == "scale":
                request.warn(kind.warnings(new, old))
            if not request.admitted:
                await self._admission.validate(admitted)
            if hook and not request.dry_run:
                await hook.secure(reserved, new)
            result = await self._store_update(request, new, old, revision, anew=is_outdated)
            written = True
            return result
        finally:
            admitted.settle()
            if hook:
                hook.finish(reserved, written=written and not request.dry_run)

    def _update_errors(self, request: WriteRequest, new: Object, old: Object) -> list[FieldError]:
        kind, view = request.kind, request.subresource
        found = metadata_rules.validate_update(new, old)
        if view is not None and view.prepare_update is not None:
            return found + (view.validate_update(new, old) if view.validate_update else [])
        if kind.custom is not None:
            return found + kind.validate_update(new, old)
        return found + kind.validate(new) + kind.validate_update(new, old)

    async def _check_identity(self, request: WriteRequest, new: Object, old: Object) -> None:
        """The new state must be of the same object, and of the version that the client has seen."""
        metadata, before = new.setdefault("metadata", {}), old["metadata"]
        uid, version = metadata.get("uid"), metadata.get("resourceVersion")
        if uid and uid != before.get("uid"):
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before.get('uid')}"
            raise errors.conflict(request.resource, request.name, why)
        if version and version != "0" and version != before["resourceVersion"]:
            raise errors.conflict(request.resource, request.name, OPTIMISTIC_LOCK)

    async def _store_update(
        self, request: WriteRequest, new: Object, old: Object, revision: int, *, anew: bool
    ) -> Object:
        """Write, or remove when this was the last finalizer; nothing when nothing changed, unless it is written `anew`
        because what is stored is of another version than is stored now."""
        kind = request.kind
        if deletion.finished(kind, new, old):
            if not request.dry_run:
                await self._store.delete(self._key(request), expected=revision)
            return new
        if request.dry_run or (new == old and not anew):
            return new
        stored = await self._encoded(kind, new)
        written = await self._store.update(self._key(request), stored, expected=revision)
        new["metadata"]["resourceVersion"] = str(written)
        return new

    async def delete(self, request: WriteRequest) -> tuple[Object, bool]:
        """Delete; the object's last state and whether it is gone already. Raises NotFound, Conflict."""
        deletion.check_options(request.options)
        data, revision = await self._current(request)
        for _ in range(UPDATE_ATTEMPTS):
            old = await self._from_storage(request.kind, codec.decode_stored(data, revision))
            deletion.check_preconditions(request.resource, old, request.options)
            if not request.admitted:
                attributes = request.attributes("DELETE", None, old)
                await self._admission.admit(attributes)
                await self._admission.validate(attributes)
            try:
                return await self._delete_once(request, data, revision)
            except RevisionMismatch as race:
                data, revision = race.current.value, race.current.mod_revision
            except KeyNotFound:
                raise errors.not_found(request.resource, request.name) from None
        raise Conflict(f"{request.resource.qualified} {request.name!r} changes too quickly to be deleted")

    async def _delete_once(self, request: WriteRequest, data: bytes, revision: int) -> tuple[Object, bool]:
        kind = request.kind
        obj = await self._from_storage(kind, codec.decode_stored(data, revision))
        decision = deletion.decide(kind, obj, request.options)
        if decision.outcome is Outcome.PENDING:
            return obj, False
        if decision.outcome is Outcome.REMOVE:
            if not request.dry_run:
                gone = await self._store.delete(self._key(request), expected=revision)
                obj["metadata"]["resourceVersion"] = str(gone)
            return obj, True
        if not request.dry_run:
            stored = await self._encoded(kind, decision.obj)
            written = await self._store.update(self._key(request), stored, expected=revision)
            decision.obj["metadata"]["resourceVersion"] = str(written)
        return decision.obj, False

    @staticmethod
    def _key(request: WriteRequest) -> str:
        where = request.kind.storage_resource or request.kind.resource
        return prefix_of(where) + local_key(request.namespace, request.name)

    async def _encoded(self, kind: Kind, obj: Object) -> bytes:
        """As it is stored."""
        custom = kind.custom
        if custom is not None and custom.convert is not None:
            [obj] = await custom.convert([obj], custom.storage_version)
        stored, rest_bytes = codec.encode_in_parts(obj if kind.to_storage is None else kind.to_storage(obj))
        if custom is None and kind.to_storage is None:
            self._hub.expect(stored, Known(obj, rest_bytes))
        return stored

    @staticmethod
    async def _from_storage(kind: Kind, obj: Object) -> Object:
        custom = kind.custom
        if custom is None:
            return obj if kind.from_storage is None else kind.from_storage(obj)
        if custom.convert is not None:
            [obj] = await custom.convert([obj], kind.resource.api_version)
        custom.on_read(obj)
        return obj

    @staticmethod
    def _refuse(kind: Kind, name: str, found: list[FieldError]) -> None:
        if found:
            raise errors.invalid(kind.resource, name, found)


def _unshared(obj: Object) -> Object:
    """The object with metadata and status of its own."""
    obj = {**obj, "metadata": {**obj["metadata"]}}
    if isinstance(obj.get("status"), dict):
        obj["status"] = {**obj["status"]}
    return obj


def check_version_given(request: WriteRequest, obj: Object) -> None:
    """Some kinds may only be replaced by someone who says which version was seen. Raises Invalid."""
    resource = request.resource
    needed = request.kind.custom is not None or (resource.group, resource.plural) in _NEEDS_VERSION
    if needed and not obj["metadata"].get("resourceVersion"):
        path = Path("metadata").child("resourceVersion")
        named = resource._replace(kind=resource.plural)  # upstream names the resource here, not the kind
        raise errors.invalid(named, request.name, [invalid(path, 0, "must be specified for an update")])
