"""VolumeAttachments: what they are called, whose they are, and which pods have a volume that another node waits for.

A volume is known to the kubelet by its driver and the driver's handle for it; several PersistentVolumes may be the same
volume. The name of an attachment follows from volume and node, as drivers' helpers compute it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sampan.apimachinery.object import Object, dig, is_being_deleted, name_of, namespace_of
from sampan.client.events import WARNING
from sampan.controllers.pods import is_finished
from sampan.reconcile.plan import Note

_MANY_NODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})


def attachment_name(volume: Object, node: str) -> str:
    csi = volume["spec"]["csi"]
    return "csi-" + hashlib.sha256(f"{csi['volumeHandle']}{csi['driver']}{node}".encode()).hexdigest()


def unique_name(volume: Object) -> str:
    """What the kubelet calls the volume."""
    csi = dig(volume, "spec", "csi", default={})
    return f"kubernetes.io/csi/{csi.get('driver')}^{csi.get('volumeHandle')}"


def node_of_attachment(attachment: Object) -> str:
    return str(dig(attachment, "spec", "nodeName", default=""))


def volume_of(attachment: Object, volumes: Mapping[str, Object]) -> Object | None:
    """The PersistentVolume that is attached."""
    return volumes.get(dig(attachment, "spec", "source", "persistentVolumeName", default=""))


def is_ours(attachment: Object, node: str, volumes: Mapping[str, Object]) -> bool:
    """Whether it is of this node, and named as the control loop names the attachment of its volume."""
    volume = volume_of(attachment, volumes)
    if volume is None or not dig(volume, "spec", "csi") or node_of_attachment(attachment) != node:
        return False
    return name_of(attachment) == attachment_name(volume, node)


def elsewhere(
    volume: Object, node: str, attachments: Iterable[Object], volumes: Mapping[str, Object]
) -> list[Object]:
    """The attachments to other nodes of a volume that only one node may have."""
    modes = frozenset(dig(volume, "spec", "accessModes", default=()))
    if not modes or modes & _MANY_NODES:
        return []
    return [
        one for one in attachments
        if node_of_attachment(one) != node and _is_of(one, volume, volumes)
    ]


def _is_of(attachment: Object, volume: Object, volumes: Mapping[str, Object]) -> bool:
    if dig(attachment, "spec", "source", "persistentVolumeName") == name_of(volume):
        return True
    other = volume_of(attachment, volumes)
    return other is not None and bool(dig(other, "spec", "csi")) and unique_name(other) == unique_name(volume)


def is_settled(attachment: Object) -> bool:
    """Whether the driver is done with it: it neither attaches nor detaches."""
    if is_being_deleted(attachment):
        return bool(dig(attachment, "status", "detachError"))
    return bool(dig(attachment, "status", "attached") or dig(attachment, "status", "attachError"))


def multi_attach_error(volume: Object, pod: Object, others: Sequence[Object]) -> Note:
    """For a pod that waits for what these pods on other nodes have. Names of other namespaces are not told."""
    own = [name_of(other) for other in others if namespace_of(other) == namespace_of(pod)]
    foreign = f"{len(others) - len(own)} pod(s) in different namespaces"
    if not others:
        why = "Volume is already exclusively attached to one node and can't be attached to another"
    elif not own:
        why = f"Volume is already used by {foreign}"
    else:
        why = f"Volume is already used by pod(s) {', '.join(own)}"
        why += f" and {foreign}" if len(own) < len(others) else ""
    return Note(pod, WARNING, "FailedAttachVolume", f'Multi-Attach error for volume "{name_of(volume)}" {why}')


def needs_volumes(pod: Object) -> bool:
    """Whether the pod still needs its volumes: it has not ended, and something of a pod that is going still runs."""
    if is_finished(pod):
        return False
    statuses = dig(pod, "status", "containerStatuses", default=())
    return not is_being_deleted(pod) or any(
        not dig(one, "state", "terminated") and not dig(one, "state", "waiting") for one in statuses
    )


def claim_names(pod: Object) -> Iterator[tuple[str, bool]]:
    """The claims of the pod's volumes, one for each volume; and whether each has to be the pod's own."""
    for volume in dig(pod, "spec", "volumes", default=()):
        if name := dig(volume, "persistentVolumeClaim", "claimName"):
            yield name, False
        elif volume.get("ephemeral") is not None:
            yield f"{name_of(pod)}-{volume['name']}", True


def is_bound(claim: Object, volume: Object) -> bool:
    """Whether both say so."""
    uid = dig(volume, "spec", "claimRef", "uid")
    return bool(dig(claim, "status", "phase") == "Bound" and uid and uid == claim["metadata"]["uid"])


def plugin_name(driver: str) -> str:
    """As figures call the plugin of a driver's volumes."""
    return f"kubernetes.io/csi:{driver}"
