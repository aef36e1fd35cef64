"""Request bodies: decoded, brought into the kind's shape, checked against the URL.

`fieldValidation` says what happens to unknown and duplicate fields: Strict refuses them, Warn (the default) drops them
and says so in a Warning header, Ignore drops them silently. Duplicates cost a second pass over the body, so they are
looked for only when the client asked for validation by name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sampan.api.kind import Kind, Subresource
from sampan.apimachinery import errors
from sampan.apimachinery.apply.typed import check as check_shape
from sampan.apimachinery.decode import decode
from sampan.apimachinery.errors import BadRequest
from sampan.apimachinery.field import Path, not_supported
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.compile import Schema, strict_error
from sampan.apimachinery.schema.loader import definition, definitions
from sampan.apimachinery.strict import complaints as strict_complaints
from sampan.apiserver.context import RequestContext

STRICT: Final = "Strict"
WARN: Final = "Warn"
IGNORE: Final = "Ignore"
SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"
"""The only kind that a subresource shows instead of its own."""
_CREATE_OPTIONS: Final = Resource("meta.k8s.io", "v1", "createoptions", "CreateOptions")


def media_type(ctx: RequestContext) -> str:
    """The body's content type without parameters."""
    return ctx.request.headers.get("content-type", "").partition(";")[0].strip().lower()


def field_validation(ctx: RequestContext) -> str:
    """Strict, Warn or Ignore; empty when the client did not say, which means Warn. Raises Invalid."""
    value = ctx.request.param("fieldValidation")
    if value and value not in (STRICT, WARN, IGNORE):
        found = not_supported(Path("fieldValidation"), value, ("", IGNORE, STRICT, WARN))
        raise errors.invalid(_CREATE_OPTIONS, "", [found])
    return value


def schema_of(kind: Kind) -> Schema | None:
    """The shape of a kind's objects, None if nothing is known of it."""
    return kind.custom.schema if kind.custom is not None else _built_in(kind.definition)


@lru_cache(maxsize=256)
def _built_in(name: str) -> Schema | None:
    return definition(name) if name and name in definitions() else None


def read_document(ctx: RequestContext) -> Object:
    """The body as a document. Raises BadRequest, UnsupportedMediaType, RequestEntityTooLarge."""
    if not ctx.request.body:
        raise BadRequest("no body was sent")
    found = decode(ctx.request.body, ctx.request.headers.get("content-type", ""))
    if not isinstance(found, dict):
        raise BadRequest("the body of the request is not an object")
    return found


def read_object(ctx: RequestContext, kind: Kind) -> Object:
    """An object of the kind, with metadata, kind and apiVersion, in the namespace that the URL says."""
    obj = read_document(ctx)
    resource = kind.resource
    _check_version(obj, resource.api_version, resource.kind)
    obj = shaped(ctx, obj, schema_of(kind))
    check_namespace(ctx, kind, obj)
    return obj


def read_applied(ctx: RequestContext, kind: Kind) -> Object:
    """As `read_object`, for an apply: what the kind does not have is always refused. Raises BadRequest.

    Whether items of lists have their keys, and each once, is left to those who go through them anyway (`check_shape`
    then has the words).
    """
    obj, schema = read_document(ctx), schema_of(kind)
    given, wanted = obj.get("apiVersion") or "", kind.resource.api_version
    if given != wanted:
        raise BadRequest(
            f"Incorrect version specified in apply patch. Specified patch version: {given}, expected: {wanted}"
        )
    _check_version(obj, kind.resource.api_version, kind.resource.kind)
    is_regular = schema is None or schema.decode_regular(obj) is not None  # then it has become what it decodes to
    if not is_regular:
        check_shape(obj, schema)
    check_namespace(ctx, kind, obj)
    return obj if is_regular or schema is None else schema.decode_strict(obj)[0]


def shaped(ctx: RequestContext, obj: Object, schema: Schema | None) -> Object:
    """The document without unknown fields, which are reported as the client wishes. Raises DecodeError."""
    if schema is None:
        return obj
    decoded, complaints = schema.decode_own(obj)
    mode = field_validation(ctx)
    if mode in (STRICT, WARN):
        typed = ctx.kind is None or ctx.kind.custom is None
        content_type = ctx.request.headers.get("content-type", "")
        complaints = strict_complaints(ctx.request.body, content_type, complaints, typed=typed)
    if complaints and mode == STRICT:
        raise strict_error(schema, complaints)
    if complaints and mode != IGNORE:
        for complaint in complaints:
            ctx.warn(complaint)
    return decoded


def read_view(ctx: RequestContext, view: Subresource) -> Object:
    """The document of a subresource that shows another kind."""
    obj = read_document(ctx)
    if view.resource is None:
        return obj
    _check_version(obj, view.resource.api_version, view.resource.kind)
    return shaped(ctx, obj, definition(SCALE))


def check_namespace(ctx: RequestContext, kind: Kind, obj: Object) -> None:
    """An object belongs where the URL says. Raises BadRequest."""
    metadata: Any = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = obj["metadata"] = {}
    if not kind.resource.namespaced:
        return
    given = metadata.get("namespace")
    if given and given != ctx.namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = ctx.namespace


def check_name(ctx: RequestContext, obj: Object) -> None:
    """An update's object must bear the URL's name; a missing one is filled in."""
    metadata = obj.setdefault("metadata", {})
    name = metadata.get("name")
    if not name:
        metadata["name"] = ctx.name
    elif name != ctx.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({ctx.name})")


def _check_version(obj: Object, api_version: str, kind: str) -> None:
    given_version, given_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind
    if given_version != api_version:
        raise BadRequest(
            f"the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )
    if given_kind != kind:
        raise BadRequest(f'{given_kind} in version "{given_version}" cannot be handled as a {kind}')
    obj["apiVersion"], obj["kind"] = api_version, kind
