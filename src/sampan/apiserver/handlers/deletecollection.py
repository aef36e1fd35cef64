"""DELETE of a collection: every object that matches, each deleted as if alone."""

from __future__ import annotations

from sampan.apimachinery import errors
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.delete import delete_options
from sampan.apiserver.handlers.target import kind_of, namespace_of, write_request
from sampan.apiserver.negotiation import negotiate
from sampan.apiserver.registry.selection import select


async def deletecollection(ctx: RequestContext, backend: Backend) -> Response:
    """The list of what was there."""
    kind = kind_of(ctx)
    request = ctx.request
    accepted = negotiate(request.headers, kind, "list")
    options = delete_options(ctx)
    selection = select(kind, namespace_of(ctx, kind), request.param("labelSelector"), request.param("fieldSelector"))
    entries, page = await backend.reads.list(kind, selection, request)
    found = list(entries)
    for entry in found:
        one = write_request(ctx)
        one.namespace, one.name = entry.namespace, entry.name
        one.options, one.dry_run = {**options}, ctx.dry_run
        try:
            await backend.writes.delete(one)
        except errors.NotFound:
            continue
    return answers.collection(backend.rendering(kind, accepted, request).collection(found, page), accepted, request)
