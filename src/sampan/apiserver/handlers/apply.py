"""PATCH with `application/apply-patch+yaml`: server-side apply.

The body is a manager's whole opinion of the object. What it sets is merged into the live object, what it set before
and no longer mentions is given up; a field that another manager owns with another value is a conflict unless `force`
is set. An object that does not exist is created.
"""

from __future__ import annotations

from typing import Final

from sampan.api.kind import Kind
from sampan.apimachinery import errors
from sampan.apimachinery.apply import apply as merge
from sampan.apimachinery.apply.apply import Write
from sampan.apimachinery.apply.typed import check as check_shape
from sampan.apimachinery.errors import AlreadyExists, BadRequest, NotFound
from sampan.apimachinery.field import FieldError, Path, forbidden, required
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.compile import Schema
from sampan.apimachinery.strict import yaml_duplicates
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.bodies import STRICT, WARN, check_name, field_validation, media_type, read_applied, schema_of
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.target import check_may_create, kind_of, write_request
from sampan.apiserver.negotiation import negotiate
from sampan.apiserver.registry.ownership import write_of
from sampan.apiserver.registry.write_request import WriteRequest

APPLY: Final = "application/apply-patch+yaml"
_OPTIONS: Final = Resource("meta.k8s.io", "v1", "patchoptions", "PatchOptions")
_TRUE: Final = ("true", "1")


async def apply(ctx: RequestContext, backend: Backend) -> Response:
    """The merged object; 201 when it is new."""
    kind = kind_of(ctx)
    accepted = negotiate(ctx.request.headers, kind)
    check_options(ctx)
    applied = read_applied(ctx, kind)
    check_name(ctx, applied)
    request = write_request(ctx)
    write = write_of(kind, request.manager, ctx.subresource)
    schema, force = schema_of(kind), ctx.request.param("force") in _TRUE
    _check_duplicates(ctx)

    async def change(old: Object) -> Object:
        merged, request.managed = _merged(old, _unversioned(kind, applied, old), write, schema, force=force)
        return merged

    for _ in range(3):
        try:
            stored = await backend.writes.update(request, change)
            return answers.stored(backend, kind, stored, (accepted, ctx.request))
        except NotFound:
            if ctx.subresource or applied["metadata"].get("uid"):
                raise
        await check_may_create(ctx, backend)
        try:
            stored = await _create(backend, request, applied, (write, schema))
            return answers.stored(backend, kind, stored, (accepted, ctx.request), 201)
        except AlreadyExists:
            continue
    raise errors.conflict(kind.resource, ctx.name, errors.OPTIMISTIC_LOCK)


def _check_duplicates(ctx: RequestContext) -> None:
    """Keys that are written twice are refused or warned of, as the client wishes. Raises BadRequest."""
    mode = field_validation(ctx)
    twice = yaml_duplicates(ctx.request.body) if mode in (STRICT, WARN) else ""
    if twice and mode == STRICT:
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {twice}")
    if twice:
        ctx.warn(f"error converting YAML to JSON: {twice}")


async def _create(
    backend: Backend, request: WriteRequest, applied: Object, how: tuple[Write, Schema | None]
) -> Object:
    write, schema = how
    obj, request.managed = _merged(None, applied, write, schema)
    return await backend.writes.create(request, answers.copy(obj))


def _merged(
    live: Object | None, applied: Object, write: Write, schema: Schema | None, *, force: bool = False
) -> tuple[Object, list[Object]]:
    try:
        return merge(live, applied, write, schema, force=force)
    except BadRequest:
        check_shape(applied, schema)
        raise


def check_options(ctx: RequestContext) -> None:
    """An apply must say who applies; only an apply may force. Raises Invalid."""
    found: list[FieldError] = []
    if media_type(ctx) == APPLY:
        if not ctx.request.param("fieldManager"):
            found.append(required(Path("fieldManager"), "is required for apply patch"))
    elif "force" in ctx.request.query:
        found.append(forbidden(Path("force"), "may not be specified for non-apply patch"))
    if found:
        raise errors.invalid(_OPTIONS, "", found)


def _unversioned(kind: Kind, applied: Object, old: Object) -> Object:
    """What is applied, without the fields that only say which state was meant; those are checked here."""
    metadata = dict(applied["metadata"])
    version, uid = metadata.pop("resourceVersion", None), metadata.pop("uid", None)
    resource = kind.resource
    if version and version != old["metadata"].get("resourceVersion"):
        raise errors.conflict(resource, metadata["name"], errors.OPTIMISTIC_LOCK)
    if uid and uid != old["metadata"].get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old['metadata'].get('uid')}"
        raise errors.conflict(resource, metadata["name"], why)
    return {**applied, "metadata": metadata}
