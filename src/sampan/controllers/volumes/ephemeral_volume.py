"""Generic ephemeral volumes: makes the claim that a pod's volume describes, owned by the pod and deleted with it.

Observed: pods with volumes of the kind `ephemeral`, and claims. Desired: each such volume has its claim: that of volume
`scratch` of pod `web-0` is `web-0-scratch`. A missing one is made. If a claim of that name exists that is not the
pod's, it is left alone and the pod waits: nobody gets another's data by a coincidence of names.
"""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from sampan.apimachinery.errors import APIError
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, namespace_of, split_key
from sampan.client.events import WARNING
from sampan.controllers.ownership import is_controlled_by, reference_to
from sampan.reconcile.controller import Wiring, owner_key
from sampan.reconcile.measures import Tally
from sampan.reconcile.plan import NOTHING, Create, Note, Plan, Step, Write


def plan(pod: Object, claim: Callable[[str], Object | None]) -> Plan:
    """Make the claims that the pod lacks. `claim` gives one of its namespace by name."""
    if is_being_deleted(pod):
        return NOTHING
    steps: list[Step] = []
    notes: list[Note] = []
    for volume in dig(pod, "spec", "volumes", default=()):
        template = dig(volume, "ephemeral", "volumeClaimTemplate")
        if template is None:
            continue
        name = f"{name_of(pod)}-{volume['name']}"
        found = claim(name)
        if found is None:
            text = f"ephemeral volume {volume['name']}: create PVC {name}: {{error}}"
            note = Note(pod, WARNING, "FailedBinding", text)
            steps.append(Create(PERSISTENT_VOLUME_CLAIMS, _claim(pod, name, template), failed=note))
        elif not is_controlled_by(found, pod):
            namespace = namespace_of(pod)
            text = f"PVC {namespace}/{name} was not created for pod {namespace}/{name_of(pod)} (pod is not owner)"
            notes.append(Note(pod, WARNING, "FailedBinding", f"ephemeral volume {volume['name']}: {text}"))
    return Plan(tuple(steps), tuple(notes))


def _claim(pod: Object, name: str, template: Object) -> Object:
    owner = reference_to({"apiVersion": "v1", "kind": "Pod", **pod})
    metadata: Object = {"name": name, "namespace": namespace_of(pod), "ownerReferences": [owner]}
    for field in ("labels", "annotations"):
        if meta(template).get(field):
            metadata[field] = meta(template)[field]
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}
    }


class EphemeralVolumeReconciler:
    """Keys are pods; a claim concerns the pod that owns it."""

    def __init__(self, wiring: Wiring) -> None:
        self._pods = wiring.watch(PODS, _with_ephemeral)
        self._claims = wiring.watch(PERSISTENT_VOLUME_CLAIMS, owner_key("Pod"))
        self._creations, self._failures = (
            Tally(f"ephemeral_volume_controller_{name}_total", f"Number of PersistentVolumeClaims creation {text}")
            for name, text in (("create", "requests"), ("create_failures", "request failures"))
        )
        wiring.measure(self._creations, self._failures)
        wiring.observe(self._count)

    def _count(self, write: Write, error: APIError | None) -> None:
        if isinstance(write, Create):
            self._creations.add()
            if error is not None:
                self._failures.add()

    async def reconcile(self, key: str) -> Plan:
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        return NOTHING if pod is None else plan(pod, lambda claim: self._claims.get(claim, namespace))


def _with_ephemeral(pod: Object) -> list[str]:
    volumes = dig(pod, "spec", "volumes", default=())
    wanted = any(volume.get("ephemeral") is not None for volume in volumes)
    return [f"{namespace_of(pod)}/{name_of(pod)}"] if wanted else []
