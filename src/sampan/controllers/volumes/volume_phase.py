"""A PersistentVolume's phase, and what it is once its claim has another volume or its data is gone."""

from __future__ import annotations

from sampan.api.core.volume_matching import BOUND_BY_CONTROLLER
from sampan.api.resources import PERSISTENT_VOLUMES
from sampan.apimachinery.object import Object, annotations_of, meta
from sampan.client.events import WARNING
from sampan.reconcile.plan import NOTHING, Note, Plan, Update


def phase_of_volume(volume: Object, phase: str, reason: str = "", message: str = "") -> Plan:
    """Write the phase, with the reason as an Event, unless the volume is in it already."""
    known = volume.get("status") or {}
    if known.get("phase") == phase and (not message or known.get("message") == message):
        return NOTHING
    status = {key: value for key, value in known.items() if key not in ("phase", "message", "reason")}
    status |= {"phase": phase, **({"message": message} if message else {})}
    notes = (Note(volume, WARNING, reason, message),) if reason else ()
    return Plan((Update(PERSISTENT_VOLUMES, {**volume, "status": status}, subresource="status"),), notes)


def unbound(volume: Object) -> Object:
    """Free again. What an administrator wrote into claimRef stays."""
    found = annotations_of(volume)
    spec = dict(volume["spec"])
    if BOUND_BY_CONTROLLER in found:
        found = {key: value for key, value in found.items() if key != BOUND_BY_CONTROLLER}
        spec.pop("claimRef")
    else:
        kept = ("kind", "apiVersion", "namespace", "name")
        spec["claimRef"] = {key: spec["claimRef"][key] for key in kept if key in spec["claimRef"]}
    return {**volume, "metadata": {**meta(volume), "annotations": found}, "spec": spec}
