"""Attach/detach: a CSI volume is attached to a node while pods there use it, and to no other.

Observed: pods with a node, their claims and volumes, CSIDrivers, VolumeAttachments, nodes. The work on the storage is
the driver's; this loop only says what is to be attached where. Desired: a VolumeAttachment, with a name that follows
from both, for each volume and node that use each other. A driver whose CSIDriver says `attachRequired: false` needs
none, and a node that does not say that it leaves this to the control plane is left alone.

An attachment that somebody else made, under another name, is left alone. A volume is detached when no pod on the node
needs it and the kubelet has unmounted it (`status.volumesInUse`), or after six minutes if the node is not ready, or at
once if it has the taint out-of-service. Of a node that is gone counts what it said last. A volume for one node at a
time is not attached to a second before; each pod that waits for it is told once which pods have it.
`status.volumesAttached` of the node tells the kubelet what it may mount, so a volume is taken out of it before it is
detached.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from sampan.apimachinery.errors import APIError
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
from sampan.controllers.config import ControllerManagerConfig
from sampan.controllers.nodes.node_lifecycle import BY_NODE, node_of_pod
from sampan.controllers.ownership import is_controlled_by
from sampan.controllers.pods import is_ready
from sampan.controllers.volumes.attachments import (
    attachment_name,
    claim_names,
    elsewhere,
    is_bound,
    is_ours,
    is_settled,
    multi_attach_error,
    needs_volumes,
    node_of_attachment,
    plugin_name,
    unique_name,
    volume_of,
)
from sampan.reconcile.controller import Wiring
from sampan.reconcile.measures import Reading, Tally
from sampan.reconcile.plan import NOTHING, Create, Delete, Note, Patch, Plan, Step, Write

FORCE_AFTER_S = 360.0
RETRY_S = 5.0
MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"


@dataclass(frozen=True, slots=True)
class Observed:
    """A node, the CSI volumes that pods on it use, each with each such pod, and all attachments."""

    node: Object
    used: Sequence[tuple[Object, Object]]
    attachments: Sequence[Object]
    volumes: Mapping[str, Object] = field(default_factory=dict)
    rivals: Mapping[str, Sequence[Object]] = field(default_factory=dict)
    """The pods that have a volume on the nodes that it is attached to instead, by its name."""
    told: Collection[tuple[str, str]] = ()
    """Which pods (by uid) know already that they wait for which volume."""
    unused_s: Mapping[str, float] = field(default_factory=dict)
    """For how long each attachment of the node has been without a user."""
    force_after_s: float = FORCE_AFTER_S
    is_gone: bool = False
    """Whether there is no such node any more; then it is what is remembered of it."""


def plan(observed: Observed) -> Plan:
    """Attach what is used, detach what is not, and tell the kubelet what is attached."""
    node = name_of(observed.node)
    mine = {name_of(one): one for one in observed.attachments if is_ours(one, node, observed.volumes)}
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
        elif others := elsewhere(volume, node, observed.attachments, observed.volumes):
            if any(map(is_settled, others)) and (uid_of(pod), name_of(volume)) not in observed.told:
                notes.append(multi_attach_error(volume, pod, observed.rivals.get(name_of(volume), ())))
            waits = True
        elif not observed.is_gone:
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
    volume = volume_of(attachment, observed.volumes)
    assert volume is not None, name_of(attachment)
    if unique_name(volume) not in dig(observed.node, "status", "volumesInUse", default=()):
        return True
    return _is_out_of_service(observed.node) or (not is_ready(observed.node) and _is_overdue(observed, attachment))


def forced(observed: Observed, attachment: Object) -> str:
    """Why it is not asked whether the kubelet has unmounted the volume, as figures call it; empty where it is."""
    if _is_overdue(observed, attachment):
        return "timeout"
    return "out-of-service" if _is_out_of_service(observed.node) else ""


def _is_overdue(observed: Observed, attachment: Object) -> bool:
    return observed.unused_s.get(name_of(attachment), 0.0) > observed.force_after_s


def _is_out_of_service(node: Object) -> bool:
    return any(one.get("key") == taints.OUT_OF_SERVICE for one in dig(node, "spec", "taints", default=()))


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
    """How the driver fared, for the pod that waits. What is on its way out will be attached anew."""
    if is_being_deleted(attachment):
        return []
    if error := dig(attachment, "status", "attachError", "message"):
        text = f'AttachVolume.Attach failed for volume "{name_of(volume)}" : {error}'
        return [Note(pod, WARNING, "FailedAttachVolume", text)]
    if not dig(attachment, "status", "attached") or any(one.get("name") == unique_name(volume) for one in before):
        return []
    text = f'AttachVolume.Attach succeeded for volume "{name_of(volume)}" '
    return [Note(pod, NORMAL, "SuccessfulAttachVolume", text)]


def _attached(observed: Observed, staying: Sequence[Object]) -> list[Step]:
    """The node's list of what is attached."""
    if observed.is_gone:
        return []
    names = {}
    for attachment in staying:
        volume = volume_of(attachment, observed.volumes)
        if volume is not None and dig(attachment, "status", "attached") and not is_being_deleted(attachment):
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

    def __init__(self, wiring: Wiring, config: ControllerManagerConfig) -> None:
        self._force_after_s = math.inf if config.disable_force_detach_on_timeout else FORCE_AFTER_S
        self._pods = wiring.watch(PODS, node_of_pod)
        self._pods.add_index(BY_NODE, node_of_pod)
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS, self._users)
        self._volumes = wiring.watch(PERSISTENT_VOLUMES, self._users_of_volume)
        self._drivers = wiring.read(CSI_DRIVERS)
        self._nodes = wiring.watch(NODES)
        self._attachments = wiring.watch(VOLUME_ATTACHMENTS, self._concerned)
        self._attachments.add_index(BY_NODE, self._concerned)
        self._unused: dict[str, Mapping[str, float]] = {}
        """Since when each attachment of a node has been without a user."""
        self._mounted: dict[str, Sequence[str]] = {}
        """What each node with attachments said last that it has mounted."""
        self._told: dict[str, frozenset[tuple[str, str]]] = {}
        self._forcing: dict[str, str] = {}
        self._forced = Tally(
            "attachdetach_controller_forced_detaches", "Number of times the A/D Controller performed a forced detach",
            ("reason",),
        )
        wiring.measure(self._forced, Reading(
            "attachdetach_controller_total_volumes", "Number of volumes in A/D Controller", ("plugin_name", "state"),
            self._totals,
        ), Reading(
            "storage_count_attachable_volumes_in_use", "Measure number of volumes in use", ("node", "volume_plugin"),
            self._in_use,
        ))
        wiring.observe(self._count)

    def _count(self, write: Write, error: APIError | None) -> None:
        if isinstance(write, Delete) and error is None and (reason := self._forcing.pop(write.name, "")):
            self._forced.add(reason)

    def _totals(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for node in self._nodes.list():
            used = {attachment_name(volume, name_of(node)): volume for volume, _ in self._used(name_of(node))}
            for volume in used.values():
                key = (plugin_name(dig(volume, "spec", "csi", "driver")), "desired_state_of_world")
                found[key] = found.get(key, 0.0) + 1.0
        for attachment in self._attachments.list():
            key = (plugin_name(dig(attachment, "spec", "attacher")), "actual_state_of_world")
            found[key] = found.get(key, 0.0) + 1.0
        return found

    def _in_use(self) -> dict[tuple[str, ...], float]:
        found: dict[tuple[str, ...], float] = {}
        for pod in self._pods.list():
            for node in node_of_pod(pod):
                inline = [dig(one, "csi", "driver") for one in dig(pod, "spec", "volumes", default=())]
                bound = [dig(volume, "spec", "csi", "driver") for volume in self._volumes_of(pod)]
                for driver in filter(None, (*inline, *bound)):
                    key = (node, plugin_name(driver))
                    found[key] = found.get(key, 0.0) + 1.0
        return found

    async def reconcile(self, key: str) -> Plan:
        node, used, mine = self._nodes.get(key), self._used(key), self._attachments.by_index(BY_NODE, key)
        if not (used or mine or dig(node, "status", "volumesAttached")):
            for memory in (self._mounted, self._told, self._unused):
                memory.pop(key, None)
            return NOTHING
        if node is not None and MANAGED not in (meta(node).get("annotations") or {}):
            return NOTHING
        observed = self._observed(key, node, used, mine)
        decided = plan(observed)
        self._told[key] = frozenset(
            (uid_of(pod), name_of(volume)) for volume, pod in used
            if (uid_of(pod), name_of(volume)) in observed.told
            or any(map(is_settled, elsewhere(volume, key, observed.attachments, observed.volumes)))
        )
        by_name = {name_of(one): one for one in mine}
        for step in decided.steps:
            if isinstance(step, Delete):
                self._forcing[step.name] = forced(observed, by_name[step.name])
        return decided

    def _observed(
        self, key: str, node: Object | None, used: Sequence[tuple[Object, Object]], mine: Sequence[Object]
    ) -> Observed:
        attachments = sorted(self._attachments.list(), key=key_of)
        names = {dig(one, "spec", "source", "persistentVolumeName", default="") for one in attachments}
        volumes = {name: found for name in sorted(names) if (found := self._volumes.get(name)) is not None}
        volumes |= {name_of(volume): volume for volume, _ in used}
        if node is not None:
            self._mounted[key] = dig(node, "status", "volumesInUse", default=())
        attached = filter(None, (volume_of(one, volumes) for one in mine))
        mounted = self._mounted.get(key, [unique_name(volume) for volume in attached])
        return Observed(
            node or {"metadata": {"name": key}, "status": {"volumesInUse": mounted}}, used, attachments, volumes,
            self._rivals(key, used, attachments, volumes), self._told.get(key, frozenset()),
            self._waited(key, used, mine), self._force_after_s, node is None,
        )

    def _waited(
        self, key: str, used: Sequence[tuple[Object, Object]], mine: Sequence[Object]
    ) -> Mapping[str, float]:
        """For how long each of the node's attachments has been without a user."""
        now, before = effects.monotonic(), self._unused.get(key, {})
        wanted = {attachment_name(volume, key) for volume, _ in used}
        since = {name: before.get(name, now) for name in map(name_of, mine) if name not in wanted}
        self._unused[key] = since
        return {name: now - at for name, at in since.items()}

    def _rivals(
        self, key: str, used: Sequence[tuple[Object, Object]], attachments: Sequence[Object],
        volumes: Mapping[str, Object],
    ) -> Mapping[str, Sequence[Object]]:
        """The pods that have a volume on those other nodes that it is attached to."""
        found: dict[str, Sequence[Object]] = {}
        for volume, _ in used:
            nodes = {node_of_attachment(one) for one in elsewhere(volume, key, attachments, volumes)}
            found[name_of(volume)] = [
                pod for node in sorted(nodes) for other, pod in self._used(node)
                if unique_name(other) == unique_name(volume)
            ]
        return found

    def _used(self, node: str) -> list[tuple[Object, Object]]:
        """The CSI volumes that are attached for pods of the node, with such a pod."""
        return [
            (volume, pod) for pod in sorted(self._pods.by_index(BY_NODE, node), key=key_of) if needs_volumes(pod)
            for volume in self._volumes_of(pod) if self._is_attached(volume)
        ]

    def _volumes_of(self, pod: Object) -> Iterator[Object]:
        """The volumes of the pod's claims that are bound."""
        for name, is_own in claim_names(pod):
            claim = self._claims.get(name, namespace_of(pod))
            if claim is None or (is_own and not is_controlled_by(claim, pod)):
                continue
            volume = self._volumes.get(dig(claim, "spec", "volumeName", default=""))
            if volume is not None and is_bound(claim, volume):
                yield volume

    def _is_attached(self, volume: Object) -> bool:
        driver = dig(volume, "spec", "csi", "driver")
        if not driver:
            return False
        return bool(dig(self._drivers.get(driver), "spec", "attachRequired", default=True))

    def _users(self, claim: Object) -> list[str]:
        return self._nodes_of_claim(name_of(claim), namespace_of(claim))

    def _users_of_volume(self, volume: Object) -> list[str]:
        claim = dig(volume, "spec", "claimRef", default={})
        return self._nodes_of_claim(claim["name"], claim["namespace"]) if claim.get("namespace") else []

    def _nodes_of_claim(self, name: str, namespace: str) -> list[str]:
        return sorted({
            node for pod in self._pods.list(namespace) if any(name == one for one, _ in claim_names(pod))
            for node in node_of_pod(pod)
        })

    def _concerned(self, attachment: Object) -> list[str]:
        return [node] if (node := node_of_attachment(attachment)) else []
