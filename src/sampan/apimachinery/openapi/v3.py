"""OpenAPI v3: the index at /openapi/v3 and one document for each group and version.

The index carries for each document a hash; a client that has a document under the same hash does not ask again. The
hash is made from what the document is made from, so the index costs nothing: documents are built when someone asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sampan.apimachinery.openapi.definitions import Json, Publisher
from sampan.apimachinery.openapi.operations import (
    DELETE_OPTIONS,
    Operation,
    PathItem,
    path_items,
)
from sampan.apimachinery.openapi.parameters import PARAMETERS, PATH_PARAMETERS
from sampan.apimachinery.openapi.served import ServedResource

_INFO: Final = {"title": "Kubernetes", "version": "v1.37.0"}
_DOCUMENT_FORM: Final = 1
"""Part of every hash: raise it when the way a document is written changes."""


def group_version_path(resource: ServedResource) -> str:
    """The document a resource is in: `api/v1`, `apis/apps/v1`."""
    return resource.root[1:]


def index(resources: Iterable[ServedResource]) -> Json:
    """What /openapi/v3 answers: for each document its address with a hash in it."""
    grouped: dict[str, list[ServedResource]] = {}
    for resource in resources:
        grouped.setdefault(group_version_path(resource), []).append(resource)
    return {"paths": {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={document_hash(served)}"}
        for path, served in sorted(grouped.items())
    }}


def document_hash(resources: Sequence[ServedResource]) -> str:
    """Changes when the document of these resources does."""
    text = f"{_DOCUMENT_FORM} {_INFO['version']} {resources!r}"
    return hashlib.sha512(text.encode()).hexdigest().upper()


def document(resources: Sequence[ServedResource]) -> Json:
    """The document of one group and version: give it all its resources and no others."""
    publisher = Publisher(3)
    items = list(path_items(resources))
    names = {
        name for item in items for operation in item.operations for name in (operation.body, operation.answer) if name
    }
    names |= {f"{r.definition}List" for r in resources} | {r.definition for r in resources}
    return {
        "openapi": "3.0.0", "info": _INFO,
        "paths": {item.path: _path(item, publisher) for item in sorted(items, key=lambda item: item.path)},
        "components": {
            "schemas": publisher.publish(names, resources),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
            }},
        },
    }


def _path(item: PathItem, publisher: Publisher) -> Json:
    path: Json = {operation.method: _operation(operation, publisher) for operation in item.operations}
    path["parameters"] = [_parameter(name) for name in item.parameters]
    return path


def _operation(operation: Operation, publisher: Publisher) -> Json:
    group, version, kind = operation.gvk
    written: Json = {
        "tags": [operation.tag], "description": operation.description, "operationId": operation.id,
        "responses": _responses(operation, publisher),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }
    if operation.parameters:
        written["parameters"] = [_parameter(name) for name in sorted(operation.parameters)]
    if operation.body:
        content = {media: {"schema": publisher.reference(operation.body)} for media in operation.body_types}
        written["requestBody"] = {"content": content}
        if operation.body != DELETE_OPTIONS:
            written["requestBody"]["required"] = True
    return written


def _responses(operation: Operation, publisher: Publisher) -> Json:
    media = operation.media_types
    schema: Json = publisher.reference(operation.answer) if operation.answer else {"type": "string"}
    content = {name: {"schema": schema} for name in media} if operation.answer else {"*/*": {"schema": schema}}
    words = {200: "OK", 201: "Created", 202: "Accepted"}
    responses: Json = {str(code): {"description": words[code], "content": content} for code in operation.codes}
    responses["401"] = {"description": "Unauthorized"}
    return responses


def _parameter(name: str) -> Json:
    kind, description = PARAMETERS[name]
    parameter: Json = {"name": name, "in": "path" if name in PATH_PARAMETERS else "query", "description": description}
    if name in PATH_PARAMETERS:
        parameter["required"] = True
    schema: dict[str, Any] = {"type": kind, "uniqueItems": True}
    parameter["schema"] = schema
    return parameter
