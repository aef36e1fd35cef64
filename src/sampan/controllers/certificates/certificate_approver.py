"""Approves the client certificates that kubelets ask for, if whoever asks may have them.

Observed: requests that nobody has decided on. Desired: those of the signer `kube-apiserver-client-kubelet` that have a
kubelet's form are approved, if the authorizer allows their author `create` on
`certificatesigningrequests/selfnodeclient` (a kubelet that renews its own) or `.../nodeclient` (one that joins). The
authorizer is asked, then the condition Approved written. A right may be given later than it is needed: whoever may not
is asked about again, after as long as the request has waited by then. All else, serving certificates too, waits for a
person.
"""

from __future__ import annotations

from datetime import datetime

from sampan import effects
from sampan.api.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from sampan.apimachinery.object import Object, dig, meta
from sampan.controllers import times
from sampan.controllers.certificates.certificate_requests import (
    KUBELET_CLIENT,
    condition,
    has,
    kubelet_client_problem,
    parse,
)
from sampan.reconcile.controller import Wiring
from sampan.reconcile.plan import NOTHING, Plan, Update

GROUP = "certificates.k8s.io"
SOONEST_S, LATEST_S = 0.2, 1000.0
"""Bounds of the time until the authorizer is asked again."""


def right_needed(request: Object) -> tuple[str, ...]:
    """The subresources of which the author must be allowed one; none if the request is not for this controller."""
    if dig(request, "spec", "signerName") != KUBELET_CLIENT or dig(request, "status", "certificate"):
        return ()
    if has(request, "Approved", "Denied"):
        return ()
    try:
        asked = parse(request)
    except ValueError:
        return ()
    if kubelet_client_problem(asked, dig(request, "spec", "usages", default=())):
        return ()
    own = asked.common_name == dig(request, "spec", "username")
    return ("selfnodeclient", "nodeclient") if own else ("nodeclient",)


def approval(request: Object, right: str, now: datetime) -> Plan:
    """Approve, because the author has the right."""
    own = "self " if right == "selfnodeclient" else ""
    text = f"Auto approving {own}kubelet client certificate after SubjectAccessReview."
    found = [*dig(request, "status", "conditions", default=()), condition("Approved", "AutoApproved", text, now)]
    changed = {**request, "status": {**(request.get("status") or {}), "conditions": found}}
    return Plan((Update(CERTIFICATE_SIGNING_REQUESTS, changed, subresource="approval"),))


def again(request: Object, now: datetime) -> Plan:
    """Ask again later, each time after twice as long; also where the clock was put back."""
    made = times.parse_or_none(meta(request).get("creationTimestamp")) or now
    return Plan(requeue_after_s=min(max(abs((now - made).total_seconds()), SOONEST_S), LATEST_S))


class CertificateApprover:
    """Keys are requests."""

    def __init__(self, wiring: Wiring) -> None:
        self._client = wiring.client
        self._requests = wiring.watch(CERTIFICATE_SIGNING_REQUESTS)

    async def reconcile(self, key: str) -> Plan:
        request = self._requests.get_by_key(key)
        if request is None:
            return NOTHING
        rights = right_needed(request)
        for right in rights:
            if await self._allowed(request["spec"], right):
                return approval(request, right, effects.now())
        return again(request, effects.now()) if rights else NOTHING

    async def _allowed(self, spec: Object, subresource: str) -> bool:
        attributes = {
            "group": GROUP, "resource": "certificatesigningrequests", "verb": "create", "subresource": subresource,
            "version": "*",
        }
        who = {field: spec[field] for field in ("groups", "uid", "extra") if spec.get(field)}
        review = await self._client.create(SUBJECT_ACCESS_REVIEWS, {
            "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version, "kind": SUBJECT_ACCESS_REVIEWS.kind,
            "spec": {"user": spec.get("username", ""), **who, "resourceAttributes": attributes},
        })
        return bool(dig(review, "status", "allowed"))
