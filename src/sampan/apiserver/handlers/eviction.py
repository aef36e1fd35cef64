"""Eviction: a deletion that first asks the pod's disruption budget.

A pod that has ended, waits for a node or is going anyway, or that no budget covers, is deleted at once; so is one that
is not ready, where its budget allows that. Otherwise the budget's `disruptionsAllowed` is lowered by compare-and-swap
and the pod noted in `disruptedPods`, so that two evictions never spend the same allowance; none left is 429 and the
client tries again. Before the pod is deleted its condition DisruptionTarget says why, so that a Job's failure policy
can tell an eviction from a failure.

What spends nothing counts on how the pod looked: it is deleted only in that version. If it has changed, a pod that was
free is looked at again; for one that was not ready the client is told to try again. Source: the eviction API's
documentation and upstream's registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Final

from sampan import effects
from sampan.api.resources import EVICTIONS, POD_DISRUPTION_BUDGETS, PODS
from sampan.apimachinery import errors, selectors
from sampan.apimachinery.errors import BadRequest, Conflict, Forbidden, InternalError, TooManyRequests
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

_VERSIONS: Final = ("policy/v1", "policy/v1beta1")
_ATTEMPTS: Final = 20
_MOST_DISRUPTED: Final = 2000
_ALLOWED: Final = "DisruptionAllowed"
_REFUSED: Final = "Cannot evict pod as it would violate the pod's disruption budget."


async def create_eviction(ctx: RequestContext, backend: Backend) -> Response:
    """POST of an Eviction to `pods/NAME/eviction`; 201 and a Status."""
    eviction = shaped(ctx, read_document(ctx), definition("io.k8s.api.policy.v1.Eviction"))
    version, said = eviction.get("apiVersion") or EVICTIONS.api_version, eviction.get("kind") or EVICTIONS.kind
    if version not in _VERSIONS or said != EVICTIONS.kind:
        raise BadRequest(f'no kind "{said}" is registered for version "{version}" in scheme "sampan"')
    given = dig(eviction, "metadata", "name", default=ctx.name)
    if given != ctx.name:
        raise BadRequest(f"name in URL does not match name in Eviction object: {ctx.name}, {given}")
    options: Object = eviction.get("deleteOptions") or {}
    ctx.dry_run = wants_dry_run(options.get("dryRun") or ctx.request.query.get("dryRun"))
    pod = await _pod(ctx, backend)
    kind = backend.table.kind("", "v1", "pods")
    assert kind is not None
    await backend.parts.admit(AdmissionAttributes(
        "CREATE", kind, EVICTIONS, ctx.name, ctx.namespace, user_of(ctx), eviction, subresource="eviction",
        dry_run=ctx.dry_run, context=ctx,
    ))
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    await _Eviction(ctx, backend, options).run(pod)
    return answers.document(status, 201)


async def _pod(ctx: RequestContext, backend: Backend) -> Object:
    await backend.hub.fresh()
    pod = backend.parts.reader.get(PODS, ctx.name, ctx.namespace)
    if pod is None:
        raise errors.not_found(PODS, ctx.name)
    return pod


class _Eviction:
    """The deletion of a pod, with the options of whoever asks for it."""

    def __init__(self, ctx: RequestContext, backend: Backend, options: Object) -> None:
        self._ctx, self._backend, self._options = ctx, backend, options
        self._names_version = bool(dig(options, "preconditions", "resourceVersion"))

    async def run(self, pod: Object) -> None:
        """Delete the pod. Raises TooManyRequests, InternalError, Conflict."""
        attempts = 1 if self._names_version else _ATTEMPTS
        while _is_free(pod):
            attempts -= 1
            try:
                await self._delete(pod, only_so=_may_become_ready(pod))
                return
            except Conflict:
                if not attempts:
                    raise
            pod = await _pod(self._ctx, self._backend)
        await self._guarded(pod)

    async def _guarded(self, pod: Object) -> None:
        """Delete a pod that a budget may guard."""
        unspent = await _spend(self._ctx, self._backend, pod)
        try:
            await self._delete(pod, only_so=unspent is not None)
        except Conflict as changed:
            if unspent is None or self._names_version:
                raise
            raise _busy(unspent) from changed

    async def _delete(self, pod: Object, *, only_so: bool) -> None:
        """Say why, and delete; with `only_so` the pod as it is and not when it has changed. Raises Conflict."""
        ctx, writes = self._ctx, self._backend.writes
        kind = self._backend.table.kind("", "v1", "pods")
        assert kind is not None
        wanted: Object = {**(self._options.get("preconditions") or {})}
        if only_so:
            wanted.setdefault("resourceVersion", dig(pod, "metadata", "resourceVersion"))
        if not ctx.dry_run:
            async def mark(latest: Object) -> Object:
                _check(latest, wanted)
                return _marked(latest)

            marking = WriteRequest(
                kind, ctx.namespace, ctx.name, user_of(ctx), ctx, False, kind.subresources["status"], admitted=True
            )
            marked = await writes.update(marking, mark)
            if wanted.get("resourceVersion"):
                wanted["resourceVersion"] = marked["metadata"]["resourceVersion"]
        options = {**self._options, **({"preconditions": wanted} if wanted else {})}
        await writes.delete(WriteRequest(
            kind, ctx.namespace, ctx.name, user_of(ctx), ctx, ctx.dry_run, options=options, admitted=True
        ))


def _check(pod: Object, wanted: Object) -> None:
    """Raises Conflict unless the pod is the one that is meant."""
    for key, label, may in (
        ("uid", "UID", "deleted and then recreated"), ("resourceVersion", "ResourceVersion", "modified"),
    ):
        expected, found = wanted.get(key), pod["metadata"].get(key)
        if expected and expected != found:
            raise Conflict(
                f'Operation cannot be fulfilled on Pod "{name_of(pod)}": the {label} in the precondition ({expected}) '
                f"does not match the {label} in record ({found}). The object might have been {may}",
                {"name": name_of(pod), "kind": "Pod"},
            )


def _marked(pod: Object) -> Object:
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


def _may_become_ready(pod: Object) -> bool:
    return dig(pod, "status", "phase") == "Pending" and not dig(pod, "metadata", "deletionTimestamp")


async def _spend(ctx: RequestContext, backend: Backend, pod: Object) -> str | None:
    """Take one disruption out of the pod's budget. Raises TooManyRequests, InternalError.

    If the pod may go without, because it is not ready: the name of the budget that says so.
    """
    budgets = [
        budget for budget in backend.parts.reader.list(POD_DISRUPTION_BUDGETS, ctx.namespace)
        if selectors.from_document(dig(budget, "spec", "selector")).matches(labels_of(pod))
    ]
    if not budgets:
        return None
    if len(budgets) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    policy = dig(budgets[0], "spec", "unhealthyPodEvictionPolicy", default="IfHealthyBudget")
    if not _is_ready(pod):
        status = budgets[0].get("status") or {}
        enough = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
        if policy == "AlwaysAllow" or enough:
            return name_of(budgets[0])
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
    return None


def _check_and_take(budget: Object, pod_name: str) -> None:
    status = budget.setdefault("status", {})
    name = name_of(budget)
    if status.get("observedGeneration", 0) < (dig(budget, "metadata", "generation", default=0)):
        raise _busy(name)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed <= 0:
        raise TooManyRequests(_REFUSED, _details(_why(name, status)))
    if len(status.get("disruptedPods") or ()) > _MOST_DISRUPTED:
        text = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise Forbidden(f'{POD_DISRUPTION_BUDGETS.qualified} "{name}" is forbidden: {text}')
    status["disruptionsAllowed"] = allowed - 1
    status.setdefault("disruptedPods", {})[pod_name] = effects.timestamp()
    if allowed == 1:
        others = [one for one in status.get("conditions") or () if one.get("type") != _ALLOWED]
        status["conditions"] = [*others, {
            "type": _ALLOWED, "status": "False", "reason": "InsufficientPods", "message": "",
            "observedGeneration": status.get("observedGeneration", 0), "lastTransitionTime": effects.timestamp(),
        }]


def _busy(budget: str) -> TooManyRequests:
    text = f"The disruption budget {budget} is still being processed by the server."
    return TooManyRequests(_REFUSED, _details(text), retry_after_s=10)


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
