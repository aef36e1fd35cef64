"""POST to a collection."""

from __future__ import annotations

from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import read_object
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import kind_of, write_request
from sampan.apiserver.negotiation import negotiate


async def create(ctx: RequestContext, backend: Backend) -> Response:
    """201 and the object as stored."""
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers, kind)
    request = write_request(ctx)
    obj = read_object(ctx, kind)
    if obj["metadata"].get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    created = await backend.writes.create(request, obj)
    return answers.stored(backend, kind, created, (accepted, ctx.request), 201)
