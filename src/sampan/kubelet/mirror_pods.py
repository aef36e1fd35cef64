"""Mirror pods: how the API shows a static pod. Made, replaced and deleted to follow the file; never acted upon.

A mirror belongs to its Node, so it is made once that is registered. It carries the static pod's hash; when the file
changes, the mirror is deleted and made anew. Somebody who deletes a mirror gets it back.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, annotations_of, is_being_deleted, name_of, namespace_of, uid_of
from sampan.client.client import Client
from sampan.kubelet import spec

log = logging.getLogger(__name__)


class MirrorPods:
    """Knows the mirrors in the API by namespace and name. `owner` is the Node's owner reference, once registered."""

    def __init__(self, client: Client, owner: Callable[[], Object | None]) -> None:
        self._client = client
        self._owner = owner
        self._mirrors: dict[tuple[str, str], Object] = {}

    def note(self, mirror: Object) -> None:
        self._mirrors[namespace_of(mirror), name_of(mirror)] = mirror

    def gone(self, mirror: Object) -> None:
        key = (namespace_of(mirror), name_of(mirror))
        known = self._mirrors.get(key)
        if known is not None and uid_of(known) == uid_of(mirror):
            del self._mirrors[key]

    def mirror_of(self, pod: Object) -> Object | None:
        """The static pod's present mirror."""
        mirror = self._mirrors.get((namespace_of(pod), name_of(pod)))
        if mirror is None or annotations_of(mirror).get(spec.CONFIG_MIRROR) != annotations_of(pod)[spec.CONFIG_HASH]:
            return None
        return mirror

    async def ensure(self, pod: Object) -> None:
        """Make the mirror right, once there is a Node that can own it; if the API is away the next sync tries again."""
        owner = self._owner()
        if owner is None:
            return
        key = (namespace_of(pod), name_of(pod))
        known = self._mirrors.get(key)
        try:
            if known is not None and (self.mirror_of(pod) is None or is_being_deleted(known)):
                await self._delete(known)
                known = None
            if known is None:
                self.note(await self._client.create(PODS, self._document(pod, owner), namespace_of(pod)))
        except errors.AlreadyExists:
            self.note(await self._client.get(PODS, name_of(pod), namespace_of(pod)))
        except errors.APIError as error:
            log.debug("mirror of %s: %s", spec.full_name(pod), error)

    async def delete(self, pod: Object) -> None:
        """The file is gone."""
        mirror = self._mirrors.get((namespace_of(pod), name_of(pod)))
        if mirror is not None:
            try:
                await self._delete(mirror)
            except errors.APIError as error:
                log.debug("mirror of %s: %s", spec.full_name(pod), error)

    def orphans(self, static: set[tuple[str, str]]) -> list[Object]:
        """Mirrors whose static pod is gone, e.g. since before this kubelet started."""
        return [mirror for key, mirror in self._mirrors.items() if key not in static]

    async def remove_orphan(self, mirror: Object) -> None:
        try:
            await self._delete(mirror)
        except errors.APIError as error:
            log.debug("mirror %s: %s", name_of(mirror), error)

    async def _delete(self, mirror: Object) -> None:
        try:
            await self._client.delete(
                PODS, name_of(mirror), namespace_of(mirror), grace_period_s=0, uid=uid_of(mirror)
            )
        except (errors.NotFound, errors.Conflict):
            log.debug("mirror %s was gone", name_of(mirror))
        self.gone(mirror)

    def _document(self, pod: Object, owner: Object) -> Object:
        document: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": copy.deepcopy(pod["spec"])}
        kept = ("name", "namespace", "labels", "annotations")
        document["metadata"] = {key: copy.deepcopy(pod["metadata"][key]) for key in kept if key in pod["metadata"]}
        document["metadata"]["annotations"][spec.CONFIG_MIRROR] = annotations_of(pod)[spec.CONFIG_HASH]
        document["metadata"]["ownerReferences"] = [owner]
        return document
