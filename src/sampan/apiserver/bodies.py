"""Request bodies: which media type, how large, which kind, and that the names agree with the URL."""

from __future__ import annotations

from typing import Any, Final

import orjson
import yaml

from sampan.api.kind import Kind, Subresource
from sampan.apimachinery.errors import BadRequest, UnsupportedMediaType
from sampan.apimachinery.object import Object
from sampan.apiserver.context import RequestContext

_JSON: Final = frozenset({"", "application/json", "*/*"})
_YAML: Final = frozenset({"application/yaml", "text/yaml", "text/x-yaml"})
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def media_type(ctx: RequestContext) -> str:
    return ctx.request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_document(ctx: RequestContext) -> Object:
    """The body as a document. Raises BadRequest, UnsupportedMediaType."""
    media = media_type(ctx)
    body = ctx.request.body
    if not body:
        raise BadRequest("no body was sent")
    if media in _JSON:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"error decoding the body: {error}") from None
    elif media in _YAML:
        try:
            found = yaml.load(body, Loader=_Loader)
        except yaml.YAMLError as error:
            raise BadRequest(f"error decoding the body: {error}") from None
    else:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml"
        )
    if not isinstance(found, dict):
        raise BadRequest("the body of the request is not an object")
    return found


def read_object(ctx: RequestContext, kind: Kind) -> Object:
    """An object of the kind, with metadata, kind and apiVersion, in the namespace that the URL says."""
    obj = read_document(ctx)
    resource = kind.resource
    _check_version(obj, resource.api_version, resource.kind)
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        metadata = obj["metadata"] = {}
    if resource.namespaced:
        given = metadata.get("namespace")
        if given and given != ctx.namespace:
            raise BadRequest(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata["namespace"] = ctx.namespace
    return obj


def read_view(ctx: RequestContext, view: Subresource) -> Object:
    """The document of a subresource that shows another kind."""
    obj = read_document(ctx)
    if view.resource is not None:
        _check_version(obj, view.resource.api_version, view.resource.kind)
    return obj


def check_name(ctx: RequestContext, obj: Object) -> None:
    """An update's object must bear the URL's name; a missing one is filled in."""
    metadata = obj.setdefault("metadata", {})
    name = metadata.get("name")
    if not name:
        metadata["name"] = ctx.name
    elif name != ctx.name:
        raise BadRequest(
            f"the name of the object ({name}) does not match the name on the URL ({ctx.name})"
        )


def _check_version(obj: Object, api_version: str, kind: str) -> None:
    given_version, given_kind = obj.get("apiVersion") or api_version, obj.get("kind") or kind
    if given_version != api_version:
        raise BadRequest(
            f"the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )
    if given_kind != kind:
        raise BadRequest(f"{given_kind} in version \"{given_version}\" cannot be handled as a {kind}")
    obj["apiVersion"], obj["kind"] = api_version, kind
