"""GET of one object: the bytes that the watch cache holds."""

from __future__ import annotations

from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import kind_of, namespace_of
from sampan.apiserver.negotiation import PLAIN, negotiate


async def get(ctx: RequestContext, backend: Backend) -> Response:
    """The object, or a subresource's view of it."""
    kind = kind_of(ctx)
    request = ctx.request
    accepted = negotiate(request.headers, kind)
    entry = await backend.reads.get(kind, namespace_of(ctx, kind), ctx.name, request)
    if ctx.subresource:
        view = kind.subresources[ctx.subresource]
        if view.to_view is not None:
            return answers.view(view, entry.object(), accepted, request)
    if accepted is PLAIN and not request.query and kind.from_storage is None:
        return answers.json(entry.data)
    return answers.encoded(backend.rendering(kind, accepted, request).item(entry), accepted, request)
