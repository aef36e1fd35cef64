"""Attach/detach: a CSI volume is attached to a node while pods there use it, and to no other.

Observed: pods with a node, their claims and volumes, CSIDrivers, VolumeAttachments, nodes. The work on the storage is
the driver's; this loop only says what is to be attached where. Desired: a VolumeAttachment, with a name that follows
from both, for each volume and node that use each other. A driver whose CSIDriver says `attachRequired: false` needs
none.

An attachment that somebody else made, under another name, is left alone. A volume is detached when no pod on the node
uses it and the kubelet has unmounted it (`status.volumesInUse`), or after six minutes if the node is not ready, or at
once if it has the taint out-of-service. A volume for one node at a time is not attached to a second before; each pod
that waits for it is told which pods have it. `status.volumesAttached` of the node tells the kubelet what it may mount,
so a volume is taken out of it before it is detached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan import effects
from sampan.api.resources import (
    CSI_DRIVERS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    VOLUME_ATTACHMENTS,
)
from sampan.apimachinery.object import (
    Object,
    dig,
    is_being_deleted,
    key_of,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from sampan.client.events import NORMAL, WARNING
from sampan.controllers import taints
from sampan.controllers.nodes.node_lifecycle import BY_NODE, node_of_pod
from sampan.controllers.pods import is_finished, is_ready
from sampan.controllers.volumes.volume_protection import claims_of
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Reading, Tally
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Patch, Plan, Step

FORCE_AFTER_S = 360.0
RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A node, the CSI volumes that pods on it use, each with each such pod, and all attachments."""

    node: Object
    used: Sequence[tuple[Object, Object]]
    attachments: Sequence[Object]
    elsewhere: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The pods on other nodes that use a volume, by its name."""
    volumes: Mapping[str, Object] = field(default_factory=dict)
    unused_s: Mapping[str, float] = field(default_factory=dict)
    """For how long each attachment of the node has been without a user."""


def attachment_name(volume: Object, node: str) -> str:
    csi = volume["spec"]["csi"]
    return "csi-" + hashlib.sha256(f"{csi['volumeHandle']}{csi['driver']}{node}".encode()).hexdigest()


def unique_name(volume: Object) -> str:
    """What the kubelet calls the volume."""
    csi = dig(volume, "spec", "csi", default={})
    return f"kubernetes.io/csi/{csi.get('driver')}^{csi.get('volumeHandle')}"


def plan(observed: Observed) -> Plan:
    """Attach what is used, detach what is not, and tell the kubelet what is attached."""
    node = name_of(observed.node)
    mine = {name_of(one): one for one in observed.attachments if _is_ours(one, node, observed.volumes)}
    before = dig(observed.node, "status", "volumesAttached", default=())
    creations: dict[str, Step] = {}
    notes: list[Note] = []
    waits = False
    wanted: set[str] = set()
    for volume, pod in observed.used:
        name = attachment_name(volume, node)
        wanted.add(name)
        if name in mine:
            notes += _told(mine[name], volume, pod, before)
        elif _is_elsewhere(volume, node, observed.attachments):
            notes.append(_taken(volume, pod, observed.elsewhere.get(name_of(volume), ())))
            waits = True
        else:
            creations.setdefault(name, _attach(volume, node, name, pod))
    deletions: dict[str, Step] = {}
    for name, attachment in sorted(mine.items()):
        if name not in wanted and not is_being_deleted(attachment):
            if may_detach(observed, attachment):
                deletions[name] = Delete(VOLUME_ATTACHMENTS, name, "", uid=uid_of(attachment))
            else:
                waits = True
    staying = [one for name, one in mine.items() if name not in deletions]
    steps = (*creations.values(), *_attached(observed, staying), *deletions.values())
    return Plan(steps, tuple(notes), RETRY_S if waits else None)


def may_detach(observed: Observed, attachment: Object) -> bool:
    """Whether nobody on the node can still write to the volume."""
    volume = observed.volumes[dig(attachment, "spec", "source", "persistentVolumeName")]
    if unique_name(volume) not in dig(observed.node, "status", "volumesInUse", default=()):
        return True
    if _is_out_of_service(observed.node):
        return True
    return not is_ready(observed.node) and observed.unused_s.get(name_of(attachment), 0.0) >= FORCE_AFTER_S


def forced(observed: Observed, name: str) -> str:
    """Why an attachment may be detached although its kubelet has not unmounted it; empty if it has."""
    attachment = next(one for one in observed.attachments if name_of(one) == name)
    volume = observed.volumes[dig(attachment, "spec", "source", "persistentVolumeName")]
    if unique_name(volume) not in dig(observed.node, "status", "volumesInUse", default=()):
        return ""
    return "out-of-service" if _is_out_of_service(observed.node) else "timeout"


def _is_out_of_service(node: Object) -> bool:
    return any(one.get("key") == taints.OUT_OF_SERVICE for one in dig(node, "spec", "taints", default=()))


def _is_ours(attachment: Object, node: str, volumes: Mapping[str, Object]) -> bool:
    """Whether it is of this node, and named as this loop names the attachment of its volume."""
    volume = volumes.get(dig(attachment, "spec", "source", "persistentVolumeName", default=""))
    if volume is None or not dig(volume, "spec", "csi") or dig(attachment, "spec", "nodeName") != node:
        return False
    return name_of(attachment) == attachment_name(volume, node)


def _is_elsewhere(volume: Object, node: str, attachments: Sequence[Object]) -> bool:
    """Whether another node has a volume which only one may have."""
    if set(dig(volume, "spec", "accessModes", default=())) & {"ReadWriteMany", "ReadOnlyMany"}:
        return False
    return any(
        dig(one, "spec", "nodeName") != node and dig(one, "spec", "source", "persistentVolumeName") == name_of(volume)
        for one in attachments
    )


def _taken(volume: Object, pod: Object, others: Sequence[str]) -> Note:
    """For a pod that waits. A volume is of one claim, so whoever has it is of the pod's own namespace."""
    why = (
        f"Volume is already used by pod(s) {', '.join(others)}" if others
        else "Volume is already exclusively attached to one node and can't be attached to another"
    )
    return Note(pod, WARNING, "FailedAttachVolume", f'Multi-Attach error for volume "{name_of(volume)}" {why}')


def _attach(volume: Object, node: str, name: str, pod: Object) -> Create:
    spec = {
        "attacher": volume["spec"]["csi"]["driver"], "nodeName": node,
        "source": {"persistentVolumeName": name_of(volume)},
    }
    failed = f'AttachVolume.Attach failed for volume "{name_of(volume)}" : {{error}}'
    return Create(
        VOLUME_ATTACHMENTS, {
            "apiVersion": VOLUME_ATTACHMENTS.api_version, "kind": VOLUME_ATTACHMENTS.kind, "metadata": {"name": name},
            "spec": spec,
        },
        failed=Note(pod, WARNING, "FailedAttachVolume", failed), on_exists=lambda existing: (),
    )


def _told(attachment: Object, volume: Object, pod: Object, before: Sequence[Object]) -> list[Note]:
    """How the driver fared, for the pod that waits."""
    if error := dig(attachment, "status", "attachError", "message"):
        text = f'AttachVolume.Attach failed for volume "{name_of(volume)}" : {error}'
        return [Note(pod, WARNING, "FailedAttachVolume", text)]
    if not dig(attachment, "status", "attached") or any(one.get("name") == unique_name(volume) for one in before):
        return []
    text = f'AttachVolume.Attach succeeded for volume "{name_of(volume)}" '
    return [Note(pod, NORMAL, "SuccessfulAttachVolume", text)]


def _attached(observed: Observed, staying: Sequence[Object]) -> list[Step]:
    """The node's list of what is attached."""
    names = {}
    for attachment in staying:
        volume = observed.volumes[dig(attachment, "spec", "source", "persistentVolumeName")]
        if dig(attachment, "status", "attached") and not is_being_deleted(attachment):
            names[unique_name(volume)] = volume
    known = dig(observed.node, "status", "volumesAttached", default=())
    others = [one for one in known if not str(one.get("name")).startswith("kubernetes.io/csi/")]
    listed = others + [{"name": name, "devicePath": ""} for name in sorted(names)]
    if listed == list(known):
        return []
    patch = {
        "metadata": {"resourceVersion": meta(observed.node).get("resourceVersion")},
        "status": {"volumesAttached": listed or None},
    }
    return [Patch(NODES, name_of(observed.node), "", patch, "merge", subresource="status", missing_ok=True)]


class AttachDetachReconciler:
    """Keys are nodes; pods, claims, volumes and attachments concern the nodes that they are on."""

    def __init__(self, wiring: Wiring) -> None:
        self._pods = wiring.watch(PODS, node_of_pod)
        self._pods.add_index(BY_NODE, node_of_pod)
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS, self._users)
        self._volumes = wiring.read(PERSISTENT_VOLUMES)
        self._drivers = wiring.read(CSI_DRIVERS)
        self._nodes = wiring.watch(NODES)
        self._attachments = wiring.watch(VOLUME_ATTACHMENTS, self._concerned)
        self._unused: dict[str, float] = {}
        self._forced = Tally(
            "attachdetach_controller_forced_detaches", "Number of times the A/D Controller performed a forced detach",
            ("reason",),
        )
        wiring.measure(self._forced, Reading(
            "attachdetach_controller_total_volumes", "Number of volumes in A/D Controller", ("plugin_name", "state"),
            self._totals,
        ))

    def _totals(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for node in self._nodes.list():
            used = {attachment_name(volume, name_of(node)): volume for volume, _ in self._used(name_of(node))}
            for volume in used.values():
                key = (f"kubernetes.io/csi:{dig(volume, 'spec', 'csi', 'driver')}", "desired_state_of_world")
                found[key] = found.get(key, 0.0) + 1.0
        for attachment in self._attachments.list():
            key = (f"kubernetes.io/csi:{dig(attachment, 'spec', 'attacher')}", "actual_state_of_world")
            found[key] = found.get(key, 0.0) + 1.0
        return found

    async def reconcile(self, key: str) -> Plan:
        node = self._nodes.get(key)
        attachments = sorted(self._attachments.list(), key=key_of)
        used = self._used(key)
        if node is None or not (attachments or used):
            return NOTHING
        now = effects.monotonic()
        wanted = {attachment_name(volume, key) for volume, _ in used}
        names = {name_of(one) for one in attachments if dig(one, "spec", "nodeName") == key}
        for name in sorted(names):
            if name in wanted:
                self._unused.pop(name, None)
            else:
                self._unused.setdefault(name, now)
        waited = {name: now - self._unused[name] for name in sorted(names - wanted)}
        volumes = {name_of(one): one for one in self._volumes.list()}
        elsewhere = {
            name_of(volume): self._elsewhere(volume, key) for volume, _ in used
            if _is_elsewhere(volume, key, attachments)
        }
        observed = Observed(node, used, attachments, elsewhere, volumes, waited)
        decided = plan(observed)
        for step in decided.steps:
            if isinstance(step, Delete) and (reason := forced(observed, step.name)):
                self._forced.add(reason)
        return decided

    def _elsewhere(self, volume: Object, node: str) -> list[str]:
        """The pods on other nodes that use the volume."""
        reference = dig(volume, "spec", "claimRef", default={})
        return sorted(
            name_of(pod) for pod in self._pods.list(reference.get("namespace", ""))
            if reference.get("name") in claims_of(pod) and not is_finished(pod)
            and dig(pod, "spec", "nodeName", default=node) != node
        )

    def _used(self, node: str) -> list[tuple[Object, Object]]:
        """The CSI volumes that are attached for pods of the node, with such a pod."""
        found: list[tuple[Object, Object]] = []
        for pod in sorted(self._pods.by_index(BY_NODE, node), key=key_of):
            if is_finished(pod):
                continue
            for name in claims_of(pod):
                claim = self._claims.get(name, namespace_of(pod))
                volume = self._volumes.get(dig(claim, "spec", "volumeName", default="")) if claim else None
                if volume is not None and self._is_attached(volume):
                    found.append((volume, pod))
        return found

    def _is_attached(self, volume: Object) -> bool:
        driver = dig(volume, "spec", "csi", "driver")
        if not driver:
            return False
        return bool(dig(self._drivers.get(driver), "spec", "attachRequired", default=True))

    def _users(self, claim: Object) -> list[str]:
        return sorted({
            node for pod in self._pods.list(namespace_of(claim)) if name_of(claim) in claims_of(pod)
            for node in node_of_pod(pod)
        })

    def _concerned(self, attachment: Object) -> list[str]:
        node = dig(attachment, "spec", "nodeName")
        return [str(node)] if node else []
