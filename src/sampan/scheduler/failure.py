"""Tells the pod's status why it is not placed: the PodScheduled condition, and where room is being made for it."""

from __future__ import annotations

import logging

from sampan import effects
from sampan.api.resources import PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, key_of, name_of, namespace_of
from sampan.client.client import Client

log = logging.getLogger(__name__)

CONDITION = "PodScheduled"


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


def status_patch(pod: Object, reason: str, message: str, nominated_node: str) -> Object | None:
    """The strategic merge patch, None if there is nothing to change."""
    status: Object = pod.get("status") or {}
    known = next((c for c in status.get("conditions") or [] if c.get("type") == CONDITION), None)
    wanted: Object = {"type": CONDITION, "status": "False", "reason": reason, "message": message}
    changes: Object = {}
    if known is None or any(known.get(field) != value for field, value in wanted.items()):
        now = effects.timestamp()
        changed_at = now if known is None or known.get("status") != "False" else known.get("lastTransitionTime") or now
        changes["conditions"] = [{**wanted, "lastProbeTime": None, "lastTransitionTime": changed_at}]
    if nominated_node and status.get("nominatedNodeName") != nominated_node:
        changes["nominatedNodeName"] = nominated_node
    return {"status": changes} if changes else None
