"""The body of a review: a small document that is answered and never stored."""

from __future__ import annotations

from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.context import RequestContext


def decoded(ctx: RequestContext, resource: Resource, *, empty: bool = False) -> Object:
    """The document, of the resource's kind. Raises BadRequest, UnsupportedMediaType; `empty` allows no body at all."""
    body = ctx.request.body
    if not body.strip() and empty:
        return {"kind": resource.kind, "apiVersion": resource.api_version}
    document = decode(body, ctx.request.headers.get("content-type", ""))
    if not isinstance(document, dict):
        raise _unreadable(resource, "the document is not an object")
    for field, expected in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        found = document.setdefault(field, expected)
        if found != expected:
            raise BadRequest(
                f"the {'kind' if field == 'kind' else 'API version'} in the data ({found}) does not match the expected "
                f"{'kind' if field == 'kind' else 'API version'} ({expected})"
            )
    if not isinstance(document.get("metadata", {}) or {}, dict) or not isinstance(document.get("spec", {}) or {}, dict):
        raise _unreadable(resource, "metadata and spec must be objects")
    document["metadata"] = {**(document.get("metadata") or {})}
    document.setdefault("spec", {})
    return document


def _unreadable(resource: Resource, why: str) -> BadRequest:
    kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    return BadRequest(f"{kind}: {why}")
