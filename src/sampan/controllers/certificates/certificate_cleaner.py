"""Deletes certificate requests that have served their purpose.

Observed: requests, and the certificates in them. Desired: none an hour after it was approved and signed, denied or
failed; none a day after nobody decided; none whose certificate has expired. Each is deleted when that is due. One that
is approved and waits for its signer stays.
"""

from __future__ import annotations

import base64
import contextlib
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
    if due is None:
        return NOTHING
    if due > now:
        return Plan(requeue_after_s=times.seconds_until(due, now))
    return Plan((Delete(CERTIFICATE_SIGNING_REQUESTS, name_of(request), "", uid=uid_of(request)),))


def ends_at(request: Object) -> datetime | None:
    """When nobody needs the request any more; None while it waits for its signer."""
    found, text = dig(request, "status", "conditions", default=()), dig(request, "status", "certificate")
    if not found:
        return times.parse(meta(request)["creationTimestamp"]) + PENDING
    final = [one for one in found if one.get("type") in ("Denied", "Failed") or text]
    moments = [times.parse_or_none(one.get("lastUpdateTime")) for one in final]
    ends = [moment + DECIDED for moment in moments if moment is not None]
    if text:
        with contextlib.suppress(ValueError):  # no certificate: it cannot expire
            ends.append(x509.load_pem_x509_certificate(base64.b64decode(text)).not_valid_after_utc)
    return min(ends, default=None)


class CertificateCleaner:
    """Keys are requests."""

    def __init__(self, wiring: Wiring) -> None:
        self._requests = wiring.watch(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Plan:
        request = self._requests.get_by_key(key)
        return NOTHING if request is None else plan(request, effects.now())
