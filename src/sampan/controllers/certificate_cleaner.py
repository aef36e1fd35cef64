"""Deletes certificate requests that have served their purpose.

An hour after they were approved, denied or failed; a day after nobody decided; and as soon as the certificate that they
led to has expired.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

from cryptography import x509

from sampan import effects
from sampan.api.resources import CERTIFICATE_SIGNING_REQUESTS
from sampan.apimachinery.object import Object, dig, is_being_deleted, meta, name_of, uid_of
from sampan.controllers import times
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Delete, Plan

DECIDED, PENDING = timedelta(hours=1), timedelta(hours=24)


def plan(request: Object, now: datetime) -> Plan:
    """Delete the request, or look again when that is due."""
    if is_being_deleted(request):
        return NOTHING
    due = ends_at(request)
    if due > now:
        return Plan(requeue_after_s=times.seconds_until(due, now))
    return Plan((Delete(CERTIFICATE_SIGNING_REQUESTS, name_of(request), "", uid=uid_of(request)),))


def ends_at(request: Object) -> datetime:
    """When nobody needs the request any more."""
    found = dig(request, "status", "conditions", default=())
    moments = [times.parse_or_none(one.get("lastUpdateTime")) for one in found]
    decided = [moment + DECIDED for moment in moments if moment is not None]
    ends = min(decided, default=times.parse(meta(request)["creationTimestamp"]) + PENDING)
    if text := dig(request, "status", "certificate"):
        try:
            ends = min(ends, x509.load_pem_x509_certificate(base64.b64decode(text)).not_valid_after_utc)
        except ValueError:
            return ends
    return ends


class CertificateCleaner:
    """Keys are requests."""

    def __init__(self, wiring: Wiring) -> None:
        self._requests = wiring.watch(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Plan:
        request = self._requests.get_by_key(key)
        return NOTHING if request is None else plan(request, effects.now())
