"""Pod certificate cleaner: deletes the requests that kubelets make for pods' certificates.

Observed: PodCertificateRequests. Desired: none older than a quarter of an hour, for by then the kubelet has asked anew.
Each is deleted when that is due.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sampan import effects
from sampan.api.resources import POD_CERTIFICATE_REQUESTS
from sampan.apimachinery.object import Object, is_being_deleted, meta, name_of, namespace_of, uid_of
from sampan.controllers import times
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Delete, Plan

AGE = timedelta(minutes=15)


def plan(request: Object, now: datetime) -> Plan:
    """Delete the request, or look again when that is due."""
    if is_being_deleted(request):
        return NOTHING
    due = times.parse(meta(request)["creationTimestamp"]) + AGE
    if due > now:
        return Plan(requeue_after_s=times.seconds_until(due, now))
    deletion = Delete(POD_CERTIFICATE_REQUESTS, name_of(request), namespace_of(request), uid=uid_of(request))
    return Plan((deletion,))


class PodCertificateCleaner:
    """Keys are requests."""

    def __init__(self, wiring: Wiring) -> None:
        self._requests = wiring.watch(POD_CERTIFICATE_REQUESTS)

    async def reconcile(self, key: str) -> Plan:
        request = self._requests.get_by_key(key)
        return NOTHING if request is None else plan(request, effects.now())
