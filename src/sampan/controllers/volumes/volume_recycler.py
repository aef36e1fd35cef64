"""The volume recycler: empties a released volume whose reclaim policy is Recycle, so that it can be claimed again.

Observed: the volume, the pods that still use its former claim, its recycler pod. Desired: nobody uses it, and a pod
`default/recycler-for-<volume>` has emptied it. Then the volume loses its claimRef and is Available; if the pod fails,
the volume is Failed and tried again after a while. Only hostPath and NFS volumes can be recycled. A recycler pod that
this process did not make may be a forgery that has emptied nothing: it is deleted, and another made.

The policy is deprecated: whoever can should have volumes provisioned and deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import PERSISTENT_VOLUMES, PODS
from sampan.apimachinery import errors
from sampan.apimachinery.object import Object, dig, name_of, namespace_of, uid_of
from sampan.apimachinery.quantity import Quantity
from sampan.client.client import Client
from sampan.client.events import NORMAL
from sampan.client.lister import Lister
from sampan.controllers import times
from sampan.controllers.pods import is_finished
from sampan.controllers.volumes.volume_phase import phase_of_volume, unbound
from sampan.reconcile.plan import NOTHING, Delete, Note, Plan, Update

NAMESPACE = "default"
PREFIX = "recycler-for-"
RECYCLABLE = ("hostPath", "nfs")
RETRY_S = 15.0
LEAST_S, PER_GI_S = {"hostPath": 60, "nfs": 300}, {"hostPath": 30, "nfs": 30}
"""How long emptying may take: at least, and for each GiB."""
SCRUB = 'test -e /scrub && find /scrub -mindepth 1 -delete && test -z "$(ls -A /scrub)" || exit 1'


def recycler_of(volume: Object, image: str) -> Object:
    """The pod that empties the volume."""
    kind = source_of(volume)
    size_gi = int(float(Quantity.parse(dig(volume, "spec", "capacity", "storage", default="0")))) >> 30
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": PREFIX + name_of(volume), "namespace": NAMESPACE},
        "spec": {
            "activeDeadlineSeconds": max(LEAST_S[kind], PER_GI_S[kind] * size_gi), "restartPolicy": "Never",
            "volumes": [{"name": "vol", kind: volume["spec"][kind]}],
            "containers": [{
                "name": "pv-recycler", "image": image, "command": ["/bin/sh"], "args": ["-c", SCRUB],
                "volumeMounts": [{"name": "vol", "mountPath": "/scrub"}],
            }],
        },
    }


def source_of(volume: Object) -> str:
    """What the volume is, if that can be recycled."""
    return next((kind for kind in RECYCLABLE if kind in volume["spec"]), "")


def volume_of(pod: Object) -> tuple[str, ...]:
    """The volume that a recycler pod concerns."""
    is_recycler = namespace_of(pod) == NAMESPACE and name_of(pod).startswith(PREFIX)
    return (name_of(pod).removeprefix(PREFIX),) if is_recycler else ()


def plan(volume: Object, users: Sequence[Object], pod: Object | None, now: datetime) -> Plan | None:
    """What to do about a Released or Failed volume. None: it is time to make a recycler pod."""
    if not source_of(volume):
        text = "No recycler plugin found for the volume!"
        return phase_of_volume(volume, "Failed", "VolumeFailedRecycle", text)
    if busy := sorted(f"{namespace_of(one)}/{name_of(one)}" for one in users if not is_finished(one)):
        text = f"Volume is used by pods: {','.join(busy)}"
        return Plan(notes=(Note(volume, NORMAL, "VolumeFailedRecycle", text),), requeue_after_s=RETRY_S)
    if pod is None:
        since = times.parse_or_none(dig(volume, "status", "lastPhaseTransitionTime"))
        again = since + timedelta(seconds=RETRY_S) if since and dig(volume, "status", "phase") == "Failed" else now
        return None if again <= now else Plan(requeue_after_s=times.seconds_until(again, now))
    gone = _deletion(pod)
    if dig(pod, "status", "phase") == "Succeeded":
        note = Note(volume, NORMAL, "VolumeRecycled", "Volume recycled")
        return Plan((gone, Update(PERSISTENT_VOLUMES, unbound(volume), done=note)))
    if dig(pod, "status", "phase") == "Failed":
        why = dig(pod, "status", "message") or "pod failed, pod.Status.Message unknown"
        failed = phase_of_volume(volume, "Failed", "VolumeFailedRecycle", f"Recycle failed: {why}")
        return Plan((gone, *failed.steps), failed.notes, RETRY_S)
    return NOTHING


def _deletion(pod: Object) -> Delete:
    return Delete(PODS, name_of(pod), NAMESPACE, uid=uid_of(pod))


class VolumeRecycler:
    """Makes recycler pods and remembers which are its own."""

    def __init__(self, client: Client, pods: Lister, image: str) -> None:
        self._client = client
        self._pods = pods
        self._image = image
        self._made: dict[str, str] = {}

    async def recycle(self, volume: Object, users: Sequence[Object]) -> Plan:
        name = name_of(volume)
        pod = self._pods.get(PREFIX + name, NAMESPACE)
        if pod is not None and uid_of(pod) != self._made.get(name):
            return Plan((_deletion(pod),))
        found = plan(volume, users, pod, effects.now())
        if found is not None:
            return found
        try:
            made = await self._client.create(PODS, recycler_of(volume, self._image))
        except errors.AlreadyExists:  # the last one is on its way out, or its copy on its way here
            return Plan(requeue_after_s=1.0)
        self._made[name] = uid_of(made)
        return NOTHING
