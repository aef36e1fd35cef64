"""Tells the status of pods and pod groups why they are not placed, and of a pod where room is being made for it."""

from __future__ import annotations

import logging

from sampan import effects
from sampan.api.resources import POD_GROUPS, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, key_of, name_of, namespace_of
from sampan.client.client import Client

log = logging.getLogger(__name__)

CONDITION = "PodScheduled"
GROUP_CONDITION = "PodGroupInitiallyScheduled"


async def report_failure(client: Client, pod: Object, reason: str, message: str, nominated_node: str = "") -> None:
    """Write the condition, unless it says that already. `reason` is Unschedulable or SchedulerError."""
    patch = status_patch(pod, reason, message, nominated_node)
    if patch is None:
        return
    try:
        await client.patch(PODS, name_of(pod), patch, namespace_of(pod), type="strategic", subresource="status")
    except errors.NotFound:
        log.debug("pod %s was deleted before its condition was written", key_of(pod))
    except errors.APIError as error:
        log.warning("pod %s: the condition %s was not written: %s", key_of(pod), CONDITION, error)


async def report_expectation(client: Client, key: str, node_name: str) -> None:
    """Write where the pod is about to be bound, for who makes or removes nodes (KEP-5278)."""
    namespace, _, name = key.partition("/")
    try:
        patch: Object = {"status": {"nominatedNodeName": node_name}}
        await client.patch(PODS, name, patch, namespace, type="strategic", subresource="status")
    except errors.NotFound:
        log.debug("pod %s was deleted before it was bound", key)
    except errors.APIError as error:
        log.warning("pod %s: its node %s was not written: %s", key, node_name, error)


async def report_group(client: Client, group: Object, message: str) -> None:
    """Write the group's condition: placed (an empty message), or why not. Once it was placed, that stays."""
    conditions = (group.get("status") or {}).get("conditions") or []
    known = next((c for c in conditions if c.get("type") == GROUP_CONDITION), None)
    wanted: Object = {
        "type": GROUP_CONDITION, "status": "False" if message else "True",
        "reason": "Unschedulable" if message else "Scheduled",
        "message": message or "All required pods have been scheduled",
    }
    if known is not None and (known["status"] == "True" or all(known.get(k) == v for k, v in wanted.items())):
        return
    same = known is not None and known["status"] == wanted["status"]
    wanted["lastTransitionTime"] = known["lastTransitionTime"] if known is not None and same else effects.timestamp()
    patch: Object = {"status": {"conditions": [wanted]}}
    try:
        await client.patch(
            POD_GROUPS, name_of(group), patch, namespace_of(group), type="strategic", subresource="status"
        )
    except errors.APIError as error:
        log.warning("pod group %s: the condition %s was not written: %s", key_of(group), GROUP_CONDITION, error)


def status_patch(pod: Object, reason: str, message: str, nominated_node: str) -> Object | None:
    """The strategic merge patch, None if there is nothing to change. Without a nominated node it says so, too: a room
    that is no longer kept must not be kept again by the next scheduler, which goes by the status."""
    status: Object = pod.get("status") or {}
    known = next((c for c in status.get("conditions") or [] if c.get("type") == CONDITION), None)
    wanted: Object = {"type": CONDITION, "status": "False", "reason": reason, "message": message}
    changes: Object = {}
    if known is None or any(known.get(field) != value for field, value in wanted.items()):
        now = effects.timestamp()
        changed_at = now if known is None or known.get("status") != "False" else known.get("lastTransitionTime") or now
        changes["conditions"] = [{**wanted, "lastProbeTime": None, "lastTransitionTime": changed_at}]
    if (status.get("nominatedNodeName") or "") != nominated_node:
        changes["nominatedNodeName"] = nominated_node or None
    return {"status": changes} if changes else None
