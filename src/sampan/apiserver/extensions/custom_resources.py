"""CustomResourceDefinitions at work: kinds come, change and go while the server runs.

One task follows the definitions in the watch cache. For each that changed it decides which names are accepted, installs
its kinds into the server's tables (a new kind is served before its Established condition says so), and brings the
status up to date. A definition that is being deleted first loses all its objects, then its finalizer; its kinds go when
it does. Definitions that were established before the server started are served from its first request on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from sampan.api.apiextensions.customresourcedefinition import CLEANUP_FINALIZER, set_condition
from sampan.api.apiextensions.validation import APPROVAL
from sampan.api.kind import Convert, Kind
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery import errors
from sampan.apimachinery.http import UserInfo
from sampan.apimachinery.object import Object, annotations_of, dig, is_being_deleted, name_of, uid_of
from sampan.apiserver.backend import Backend
from sampan.apiserver.extensions import naming
from sampan.apiserver.extensions.conversion import converter
from sampan.apiserver.extensions.custom_kind import CustomKinds, kinds_of
from sampan.apiserver.registry.entry import Entry
from sampan.apiserver.registry.selection import Selection
from sampan.apiserver.registry.watcher import Change
from sampan.apiserver.registry.write_request import WriteRequest
from sampan.apiserver.webhooks.caller import WebhookCaller
from sampan.client.client import Client

log = logging.getLogger(__name__)
RETRY_S: Final = 1.0
CONTROLLER: Final = UserInfo("system:apiserver", groups=("system:masters", "system:authenticated"))


class CustomResources:
    """Of one server. `start` when the caches are loaded, `stop` before they end."""

    def __init__(self, backend: Backend, client: Client) -> None:
        self._backend = backend
        self._client = client
        self._built_in = {(kind.resource.group, kind.resource.version) for kind in backend.table.kinds()}
        self._installed: dict[str, tuple[Object, CustomKinds]] = {}
        self._names: dict[str, Object] = {}
        """Of every definition what naming asks for: schemas are large, and parsed only for their own sake."""
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._waiting: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._caller: WebhookCaller | None = None

    async def start(self) -> None:
        """Serve what is established, then follow."""
        for crd in self._backend.parts.reader.list(CRDS):
            if _is(crd, "Established"):
                await self._install(crd)
        cache = self._backend.hub.cache(CRDS)
        assert cache is not None
        cache.listen(self)
        self._task = asyncio.create_task(self._run(), name="custom-resources")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._caller is not None:
            await self._caller.close()

    def reset(self, entries: Iterable[Entry]) -> None:
        """See `watch_cache.Listener`."""
        self._names = {entry.name: _slim(entry.object()) for entry in entries}
        for name in {*self._names, *self._installed}:
            self._enqueue(name)

    def changed(self, change: Change) -> None:
        entry = change.new or change.old
        assert entry is not None
        if change.new is None:
            self._names.pop(entry.name, None)
        else:
            self._names[entry.name] = _slim(change.new.object())
        self._enqueue(entry.name)

    def _enqueue(self, name: str) -> None:
        if name not in self._waiting:
            self._waiting.add(name)
            self._queue.put_nowait(name)

    async def _run(self) -> None:
        while True:
            name = await self._queue.get()
            self._waiting.discard(name)
            try:
                await self._reconcile(name)
            except errors.APIError as error:
                level = logging.DEBUG if isinstance(error, errors.Conflict | errors.NotFound) else logging.WARNING
                log.log(level, "custom resource definition %s: %s", name, error.message)
                self._later(name)
            except Exception:
                log.exception("custom resource definition %s", name)
                self._later(name)

    def _later(self, name: str) -> None:
        asyncio.get_running_loop().call_later(RETRY_S, self._enqueue, name)

    async def _reconcile(self, name: str) -> None:
        crd = self._backend.parts.reader.get(CRDS, name)
        if crd is None:
            self._remove(name)
            return
        wanted = _copy(crd)
        self._decide_names(wanted)
        if _is(wanted, "Established"):
            await self._install(wanted)
        if wanted["status"] != crd.get("status"):
            self._names[name] = _slim(wanted)
            await self._client.update(CRDS, wanted, subresource="status")
            return
        if is_being_deleted(crd) and CLEANUP_FINALIZER in (crd["metadata"].get("finalizers") or []):
            await self._clean_up(wanted)

    def _recheck(self) -> None:
        """Names that were taken may be free now."""
        for name, other in self._names.items():
            if not _is(other, "NamesAccepted"):
                self._enqueue(name)

    def _decide_names(self, crd: Object) -> None:
        """NamesAccepted and Established, in place."""
        found = naming.accept(crd, self._names.values())
        status = crd.setdefault("status", {})
        status["acceptedNames"] = found.names
        _note_approval(crd)
        group_versions = {(crd["spec"]["group"], version["name"]) for version in crd["spec"]["versions"]}
        set_condition(crd, "NamesAccepted", "True" if found.accepted else "False", found.reason, found.message)
        if group_versions & self._built_in:
            set_condition(crd, "Established", "False", "NotAccepted", "the group and version belong to the server")
        elif found.accepted:
            set_condition(crd, "Established", "True", "InitialNamesAccepted",
                          "the initial names have been accepted")
        elif not _is(crd, "Established"):
            set_condition(crd, "Established", "False", "NotAccepted", "not all names are accepted")

    async def _install(self, crd: Object) -> None:
        """Serve the kinds as the definition now has them."""
        name = name_of(crd)
        defines = _definition(crd)
        before = self._installed.get(name)
        if before is not None and before[0] == defines:
            return
        kinds = kinds_of(crd, self._converter(crd))
        hub, table = self._backend.hub, self._backend.table
        if before is None or _stores_differently(before[0], defines):
            await hub.add(kinds.stored)
        self._forget(name)
        for kind in kinds.served:
            table.add(kind)
        self._installed[name] = (defines, kinds)

    def _converter(self, crd: Object) -> Convert | None:
        if dig(crd, "spec", "conversion", "strategy") != "Webhook":
            return None
        if self._caller is None:
            self._caller = WebhookCaller(self._backend.parts.reader)
        return converter(crd, self._caller)

    def _forget(self, name: str) -> CustomKinds | None:
        found = self._installed.pop(name, None)
        if found is None:
            return None
        for kind in found[1].served:
            self._backend.table.remove(kind)
            self._backend.forget(kind)
        return found[1]

    def _remove(self, name: str) -> None:
        kinds = self._forget(name)
        if kinds is not None:
            self._backend.hub.remove(kinds.stored.resource)
        self._recheck()

    async def _clean_up(self, crd: Object) -> None:
        """Delete every object of the kind; the finalizer goes when none is left."""
        installed = self._installed.get(name_of(crd))
        if installed is not None:
            await self._backend.hub.fresh()
            if await self._delete_objects(installed[1].stored):
                if not _has_reason(crd, "InstanceDeletionInProgress"):
                    set_condition(crd, "Terminating", "True", "InstanceDeletionInProgress",
                                  "CustomResource deletion is in progress")
                    await self._client.update(CRDS, crd, subresource="status")
                self._later(name_of(crd))
                return
        set_condition(crd, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances")
        updated = await self._client.update(CRDS, crd, subresource="status")
        finalizers = updated["metadata"].get("finalizers") or []
        patch = {"metadata": {
            "uid": uid_of(updated), "resourceVersion": updated["metadata"]["resourceVersion"],
            "finalizers": [one for one in finalizers if one != CLEANUP_FINALIZER] or None,
        }}
        await self._client.patch(CRDS, name_of(crd), patch)

    async def _delete_objects(self, stored: Kind) -> int:
        """Delete what is there; how many objects remain, waiting for finalizers of their own."""
        cache = self._backend.hub.cache(stored.resource)
        if cache is None:
            return 0
        for entry in list(cache.select(Selection())):
            if not is_being_deleted(entry.object()):
                await self._backend.writes.delete(self._deletion(stored, entry))
        await self._backend.hub.fresh()
        return len(cache)

    def _deletion(self, stored: Kind, entry: Entry) -> WriteRequest:
        return WriteRequest(kind=stored, namespace=entry.namespace, name=entry.name, user=CONTROLLER)


def _note_approval(crd: Object) -> None:
    """Whether a group of the Kubernetes community was approved by it."""
    value = annotations_of(crd).get(APPROVAL)
    if value is None or not crd["spec"]["group"].endswith((".k8s.io", ".kubernetes.io")):
        return
    if value.startswith("unapproved"):
        set_condition(crd, "KubernetesAPIApprovalPolicyConformant", "False", "UnapprovedAnnotation",
                      f'not approved: "{value}"')
    else:
        set_condition(crd, "KubernetesAPIApprovalPolicyConformant", "True", "ApprovedAnnotation",
                      f"approved in {value}")


def _slim(crd: Object) -> Object:
    return {
        "metadata": {"name": name_of(crd)}, "spec": {"group": crd["spec"]["group"]},
        "status": {key: dig(crd, "status", key) for key in ("acceptedNames", "conditions")},
    }


def _is(crd: Object, condition: str) -> bool:
    conditions = dig(crd, "status", "conditions", default=())
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _has_reason(crd: Object, reason: str) -> bool:
    return any(one.get("reason") == reason for one in dig(crd, "status", "conditions", default=()))


def _copy(crd: Object) -> Object:
    """Deep enough for a new status."""
    status = {**(crd.get("status") or {})}
    return {**crd, "metadata": {**crd["metadata"]}, "status": status}


def _definition(crd: Object) -> Object:
    """Everything that the kinds are made from."""
    return {
        "spec": crd["spec"], "names": dig(crd, "status", "acceptedNames"), "terminating": is_being_deleted(crd),
    }


def _stores_differently(before: Object, after: Object) -> bool:
    """Whether stored objects must be read again."""
    return bool(before["spec"] != after["spec"])
