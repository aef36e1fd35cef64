"""The body of a review: a small document that is answered and never stored.

It is decoded as objects are, with `fieldValidation`, and its answer is the document alone: no table, no metadata.
"""

from __future__ import annotations

from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.loader import definition
from sampan.apiserver.bodies import shaped
from sampan.apiserver.context import RequestContext
from sampan.apiserver.negotiation import plain_only


def decoded(ctx: RequestContext, resource: Resource, *, empty: bool = False) -> Object:
    """The document, of the resource's kind; `empty` allows no body at all.

    Raises BadRequest, NotAcceptable, UnsupportedMediaType.
    """
    plain_only(ctx.request.headers)
    body = ctx.request.body
    if not body.strip() and empty:
        return {"kind": resource.kind, "apiVersion": resource.api_version}
    document = decode(body, ctx.request.headers.get("content-type", ""))
    if not isinstance(document, dict):
        kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
        raise BadRequest(f"{kind}: the document is not an object")
    for field, expected in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        found = document.setdefault(field, expected)
        if found != expected:
            raise BadRequest(
                f"the {'kind' if field == 'kind' else 'API version'} in the data ({found}) does not match the expected "
                f"{'kind' if field == 'kind' else 'API version'} ({expected})"
            )
    group = resource.group.partition(".")[0]
    document = shaped(ctx, document, definition(f"io.k8s.api.{group}.{resource.version}.{resource.kind}"))
    document["metadata"] = {**(document.get("metadata") or {})}
    document["spec"] = {**(document.get("spec") or {})}
    return document
