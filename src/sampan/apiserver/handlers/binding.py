"""Binding: the scheduler's verdict. It sets a pod's node once, marks it scheduled, and never moves a bound pod."""

from __future__ import annotations

from typing import Final

from sampan import effects
from sampan.api.core.pod_binding import binding_conflict, bound, validate_binding
from sampan.api.kind import Subresource
from sampan.api.resources import BINDINGS, PODS
from sampan.api.strategy import count_generation
from sampan.apimachinery import errors
from sampan.apimachinery.errors import BadRequest, Conflict
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.schema.loader import definition
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import read_document, shaped
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import user_of, wants_dry_run
from sampan.apiserver.registry.write_request import WriteRequest
from sampan.apiserver.seams import AdmissionAttributes

BINDING: Final = Subresource(
    "binding", ("create",), BINDINGS, prepare_update=count_generation, default=lambda pod: None
)


async def create_binding(ctx: RequestContext, backend: Backend) -> Response:
    """POST of a Binding to `pods/NAME/binding` or to `bindings`; 201 and a Status."""
    binding = shaped(ctx, read_document(ctx), definition("io.k8s.api.core.v1.Binding"))
    name = ctx.name or dig(binding, "metadata", "name", default="")
    if dig(binding, "metadata", "name", default=name) != name:
        raise BadRequest("name in URL does not match name in Binding object")
    found = validate_binding(binding)
    if found:
        raise errors.invalid(BINDINGS, name, found)
    kind = backend.table.kind("", "v1", "pods")
    assert kind is not None
    ctx.dry_run = wants_dry_run(ctx.request.query.get("dryRun"))
    await backend.parts.admit(AdmissionAttributes(
        "CREATE", kind, BINDINGS, name, ctx.namespace, user_of(ctx), binding, subresource="binding",
        dry_run=ctx.dry_run, context=ctx,
    ))
    request = WriteRequest(
        kind, ctx.namespace, name, user_of(ctx), ctx, ctx.dry_run, BINDING, admitted=True, shares=True
    )
    version = dig(binding, "metadata", "resourceVersion")

    async def change(pod: Object) -> Object:
        why = binding_conflict(pod, binding)
        if why:
            message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
            raise Conflict(message, errors.details_for(PODS, name))
        result = bound(pod, binding, effects.timestamp())
        if version:
            result["metadata"] = {**result["metadata"], "resourceVersion": version}
        return result

    await backend.writes.update(request, change)
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
    return answers.document(status, 201)
