"""The body of a review: a small document that is answered and never stored."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from sampan.apimachinery import protobuf
from sampan.apimachinery.errors import BadRequest, UnsupportedMediaType
from sampan.apimachinery.object import Object, dig
from sampan.apimachinery.resource import Resource
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers.review_messages import MESSAGES

_JSON, _YAML = "application/json", ("application/yaml", "text/yaml", "application/x-yaml")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def decoded(ctx: RequestContext, resource: Resource, *, empty: bool = False) -> Object:
    """The document, of the resource's kind. Raises BadRequest, UnsupportedMediaType; `empty` allows no body at all."""
    body = ctx.request.body
    if not body.strip() and empty:
        return {"kind": resource.kind, "apiVersion": resource.api_version}
    media = ctx.request.headers.get("content-type", _JSON).partition(";")[0].strip().lower() or _JSON
    if media not in (_JSON, *_YAML, protobuf.MEDIA_TYPE):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    document = _parsed(body, media, resource)
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


def _parsed(body: bytes, media: str, resource: Resource) -> Any:
    try:
        if media == _JSON:
            return orjson.loads(body)
        if media == protobuf.MEDIA_TYPE:
            api_version, kind, message = protobuf.unwrap(body)
            return {"apiVersion": api_version, "kind": kind, **_decoded(message, resource)}
        return yaml.load(body, Loader=_Loader)
    except (orjson.JSONDecodeError, yaml.YAMLError, protobuf.ProtobufError) as error:
        raise _unreadable(resource, str(error)) from error


def _decoded(message: bytes, resource: Resource) -> Object:
    """Protobuf spells the extra fields of a user as messages; in JSON they are lists."""
    document = protobuf.decode(MESSAGES[resource.kind], message)
    extra = dig(document, "spec", "extra")
    if extra is not None:
        document["spec"]["extra"] = {key: value.get("items", []) for key, value in extra.items()}
    return document


def _unreadable(resource: Resource, why: str) -> BadRequest:
    kind = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
    return BadRequest(f"{kind}: {why}")
