"""GET of a collection."""

from __future__ import annotations

from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import kind_of, namespace_of
from sampan.apiserver.negotiation import negotiate
from sampan.apiserver.registry.selection import select


async def list_(ctx: RequestContext, backend: Backend) -> Response:
    """A page of the objects that match, in key order."""
    kind = kind_of(ctx)
    request = ctx.request
    accepted = negotiate(request.headers, kind, "list")
    selection = select(kind, namespace_of(ctx, kind), request.param("labelSelector"), request.param("fieldSelector"))
    entries, page = await backend.reads.list(kind, selection, request)
    return answers.collection(backend.rendering(kind, accepted, request).collection(entries, page), accepted, request)
