"""PUT of an object or of a subresource's view of it."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery import errors
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import check_name, read_object, read_view
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import check_may_create, kind_of, write_request
from sampan.apiserver.negotiation import negotiate
from sampan.apiserver.registry.writing import check_version_given

_CREATED_BY_UPDATE: Final = frozenset({
    ("", "endpoints"), ("", "events"), ("", "limitranges"), ("", "services"), ("coordination.k8s.io", "leases"),
    ("node.k8s.io", "runtimeclasses"),
    ("rbac.authorization.k8s.io", "roles"), ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"), ("rbac.authorization.k8s.io", "clusterrolebindings"),
})


async def update(ctx: RequestContext, backend: Backend) -> Response:
    """The object as stored; 201 for the few kinds that an update may create."""
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers, kind)
    request = write_request(ctx)
    view = request.subresource
    if view is not None and view.from_view is not None:
        return await _update_view(ctx, backend)
    obj = read_object(ctx, kind)
    check_name(ctx, obj)
    request.unconditional = not obj["metadata"].get("resourceVersion")
    request.shares = True  # nothing of the old state is part of the new one

    async def change(old: Object) -> Object:
        check_version_given(request, obj)
        return answers.copy(obj) if request.unconditional else obj  # only then it may be asked for again

    try:
        updated = await backend.writes.update(request, change)
    except errors.NotFound:
        where = (kind.resource.group, kind.resource.plural)
        if view is not None or where not in _CREATED_BY_UPDATE or obj["metadata"].get("resourceVersion"):
            raise
        await check_may_create(ctx, backend)
        created = await backend.writes.create(request, obj)
        return answers.stored(backend, kind, created, (accepted, ctx.request), 201)
    return answers.stored(backend, kind, updated, (accepted, ctx.request))


async def _update_view(ctx: RequestContext, backend: Backend) -> Response:
    """A Scale: its document is put into the object."""
    request = write_request(ctx)
    view = request.subresource
    assert view is not None and view.from_view is not None
    from_view = view.from_view
    document = read_view(ctx, view)
    check_name(ctx, document)
    metadata = document.get("metadata") or {}
    request.unconditional = not metadata.get("resourceVersion")

    async def change(old: Object) -> Object:
        from_view(document, old)
        for key in ("resourceVersion", "uid"):
            if metadata.get(key):
                old["metadata"][key] = metadata[key]
        return old

    updated = await backend.writes.update(request, change)
    return answers.view(view, updated, negotiate(ctx.request.headers, request.kind), ctx.request)
