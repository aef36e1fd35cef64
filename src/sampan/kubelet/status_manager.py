"""Writes pod statuses to the API: only what changed, one write at a time for each pod, the newest status wins.

Setting a status returns at once; a task writes it. Writes are strategic merge patches that name the pod's uid, so a
successor of the same name is never touched and other owners' conditions survive. Failed writes are tried again.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, key_of, name_of, namespace_of, uid_of
from sampan.client.backoff import Backoff
from sampan.client.client import Client

log = logging.getLogger(__name__)

PASSING = frozenset({"PodResizePending", "PodResizeInProgress"})
"""Conditions that are taken away rather than made False."""


@dataclass(slots=True)
class _Entry:
    pod: Object
    wanted: Object
    written: Object
    task: asyncio.Task[None] | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class StatusManager:
    """`set` notes a status, `flush` waits until it is in the API, `get` is the newest one noted."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._entries: dict[str, _Entry] = {}

    def get(self, uid: str) -> Object | None:
        entry = self._entries.get(uid)
        return entry.wanted if entry is not None else None

    def set(self, pod: Object, status: Object) -> None:
        """`pod` is the API's object (for a static pod: its mirror)."""
        uid = uid_of(pod)
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod, {}, pod.get("status") or {})
        entry.pod, entry.wanted = pod, status
        if entry.task is None and status_patch(entry.written, status):
            entry.task = asyncio.create_task(self._write(entry), name=f"status of {key_of(pod)}")

    async def flush(self, uid: str) -> None:
        """Until the newest status is written, or the pod is gone."""
        entry = self._entries.get(uid)
        while entry is not None and entry.task is not None:
            await asyncio.wait([entry.task])

    def forget(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is not None and entry.task is not None:
            entry.task.cancel()

    async def close(self) -> None:
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, entry: _Entry) -> None:
        backoff = Backoff()
        try:
            while patch := status_patch(entry.written, entry.wanted):
                wanted = entry.wanted
                if await self._send(entry, patch):
                    entry.written = wanted
                    backoff.succeeded()
                else:
                    await asyncio.sleep(backoff.next())
        finally:
            entry.task = None

    async def _send(self, entry: _Entry, patch: Object) -> bool:
        """Whether nothing is left to do for this patch."""
        pod = entry.pod
        document = {"metadata": {"uid": uid_of(pod)}, "status": patch}
        try:
            await self._client.patch(
                PODS, name_of(pod), document, namespace_of(pod), type="strategic", subresource="status"
            )
        except (errors.NotFound, errors.Conflict) as error:
            log.debug("status of %s: %s", key_of(pod), error)  # gone, or replaced by another of its name
        except errors.Invalid as error:
            log.warning("status of %s was refused: %s", key_of(pod), error)
        except errors.APIError as error:
            log.debug("status of %s: %s; trying again", key_of(pod), error)
            return False
        return True


def status_patch(old: Object, new: Object) -> Object:
    """What turns `old` into `new` as a strategic merge patch; empty if they are alike."""
    patch: Object = {}
    for key in {*old, *new}:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if key == "conditions":
            changed = _changed_conditions(before or [], after or [])
            if changed:
                patch[key] = changed
        elif key in ("podIPs", "hostIPs"):
            gone = [{"ip": item["ip"], "$patch": "delete"} for item in before or [] if item not in (after or [])]
            patch[key] = [*gone, *(after or [])]
        elif key not in ("resize", "nominatedNodeName", "resourceClaimStatuses", "resources", "allocatedResources"):
            patch[key] = after
    return patch


def _changed_conditions(before: list[Object], after: list[Object]) -> list[Object]:
    known, wanted = {item["type"]: item for item in before}, {item["type"] for item in after}
    changed: list[Object] = []
    for item in after:
        old = known.get(item["type"])
        if old is None or any(old.get(key) != item.get(key) for key in {*old, *item} - {"lastProbeTime"}):
            cleared = {key: None for key in (old or {}) if key not in item}
            changed.append({**item, **cleared})
    gone = [{"type": item["type"], "$patch": "delete"} for item in before if item["type"] in PASSING - wanted]
    return [*gone, *changed]
