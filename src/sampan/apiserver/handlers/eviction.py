"""Eviction: a deletion that first asks the pod's disruption budget.

A pod that is not ready to serve anyway, or that no budget covers, is deleted at once. Otherwise the budget's
`disruptionsAllowed` is lowered by compare-and-swap and the pod noted in `disruptedPods`, so that two evictions never
spend the same allowance; none left is 429 and the client tries again. Before the pod is deleted its condition
DisruptionTarget says why, so that a Job's failure policy can tell an eviction from a failure. Source: the eviction
API's documentation and upstream's registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Final

from sampan import effects
from sampan.api.resources import EVICTIONS, POD_DISRUPTION_BUDGETS, PODS
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.errors import BadRequest, InternalError, TooManyRequests
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object, dig, labels_of, name_of
from sampan.apimachinery.schema.loader import definition
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import read_document, shaped
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import user_of, wants_dry_run
from sampan.apiserver.registry.write_request import WriteRequest
from sampan.apiserver.seams import AdmissionAttributes

_ALLOWED: Final = "DisruptionAllowed"
_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."


async def create_eviction(ctx: RequestContext, backend: Backend) -> Response:
    """POST of an Eviction to `pods/NAME/eviction`; 201 and a Status."""
    eviction = shaped(ctx, read_document(ctx), definition("io.k8s.api.policy.v1.Eviction"))
    given = dig(eviction, "metadata", "name", default=ctx.name)
    if given != ctx.name:
        raise BadRequest(f"name in URL does not match name in Eviction object: {ctx.name}, {given}")
    options: Object = eviction.get("deleteOptions") or {}
    ctx.dry_run = wants_dry_run(options.get("dryRun") or ctx.request.query.get("dryRun"))
    await backend.hub.fresh()
    pod = backend.parts.reader.get(PODS, ctx.name, ctx.namespace)
    if pod is None:
        raise errors.not_found(PODS, ctx.name)
    kind = backend.table.kind("", "v1", "pods")
    assert kind is not None
    await backend.parts.admit(AdmissionAttributes(
        "CREATE", kind, EVICTIONS, ctx.name, ctx.namespace, user_of(ctx), eviction, subresource="eviction",
        dry_run=ctx.dry_run, context=ctx,
    ))
    if not _is_free(pod):
        await _spend(ctx, backend, pod)
    if not ctx.dry_run:
        marking = WriteRequest(
            kind, ctx.namespace, ctx.name, user_of(ctx), ctx, False, kind.subresources["status"], admitted=True
        )
        await backend.writes.update(marking, _marked)
    request = WriteRequest(
        kind, ctx.namespace, ctx.name, user_of(ctx), ctx, ctx.dry_run, options=options, admitted=True
    )
    await backend.writes.delete(request)
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answers.document(status, 201)


async def _marked(pod: Object) -> Object:
    """The pod with the condition that announces its eviction."""
    status = pod.setdefault("status", {})
    found = status.setdefault("conditions", [])
    known = next((one for one in found if one.get("type") == "DisruptionTarget"), None)
    if known is not None and known.get("status") == "True":
        return pod
    others = [one for one in found if one is not known]
    status["conditions"] = [*others, {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": effects.timestamp(),
        "observedGeneration": dig(pod, "metadata", "generation"),
    }]
    return pod


def _is_free(pod: Object) -> bool:
    """A pod that is over, waits for a node or is being deleted anyway disturbs nobody."""
    return (
        dig(pod, "status", "phase") in ("Succeeded", "Failed", "Pending")
        or bool(dig(pod, "metadata", "deletionTimestamp"))
    )


async def _spend(ctx: RequestContext, backend: Backend, pod: Object) -> None:
    """Take one disruption out of the pod's budget. Raises TooManyRequests, InternalError."""
    budgets = [
        budget for budget in backend.parts.reader.list(POD_DISRUPTION_BUDGETS, ctx.namespace)
        if selectors.from_document(dig(budget, "spec", "selector")).matches(labels_of(pod))
    ]
    if not budgets:
        return
    if len(budgets) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    policy = dig(budgets[0], "spec", "unhealthyPodEvictionPolicy", default="IfHealthyBudget")
    if not _is_ready(pod):
        status = budgets[0].get("status") or {}
        enough = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
        if policy == "AlwaysAllow" or enough:
            return
    kind = backend.table.kind("policy", "v1", "poddisruptionbudgets")
    assert kind is not None
    name = name_of(budgets[0])
    request = WriteRequest(
        kind, ctx.namespace, name, user_of(ctx), ctx, ctx.dry_run, kind.subresources["status"]
    )

    async def change(budget: Object) -> Object:
        _check_and_take(budget, ctx.name)
        return budget

    await backend.writes.update(request, change)


def _check_and_take(budget: Object, pod_name: str) -> None:
    status = budget.setdefault("status", {})
    name = name_of(budget)
    if status.get("observedGeneration", 0) < (dig(budget, "metadata", "generation", default=0)):
        raise TooManyRequests(
            _REFUSED, _details(f"The disruption budget {name} is still being processed by the server."),
            retry_after_s=10,
        )
    allowed = status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        raise TooManyRequests(_REFUSED, _details(_why(name, status)))
    status["disruptionsAllowed"] = allowed - 1
    status.setdefault("disruptedPods", {})[pod_name] = effects.timestamp()


def _why(name: str, status: Object) -> str:
    """Why the budget allows nothing."""
    found: list[Object] = status.get("conditions") or []
    failed: Object = next((one for one in found if one.get("type") == _ALLOWED and one.get("status") == "False"), {})
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    nothing = f"The disruption budget {name} does not allow evicting pods currently"
    if failed.get("reason") == "SyncFailed":
        return f"{nothing} because it failed sync: {failed.get('message', '')}"
    if has > needs:
        return nothing
    return f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"


def _details(message: str) -> Object:
    return {"causes": [{"reason": "DisruptionBudget", "message": message}]}


def _is_ready(pod: Object) -> bool:
    conditions = dig(pod, "status", "conditions", default=[])
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions)
