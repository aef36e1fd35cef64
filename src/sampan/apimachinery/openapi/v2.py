"""OpenAPI v2 (swagger 2.0): one document for everything the server serves.

It is large (a megabyte of prose) and rarely asked for, so nothing is kept here; the server caches the encoded answer
for as long as what it serves does not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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


def document(resources: Sequence[ServedResource]) -> Json:
    """What /openapi/v2 answers."""
    publisher = Publisher(2)
    items = list(path_items(resources))
    names = {
        name for item in items for operation in item.operations for name in (operation.body, operation.answer) if name
    }
    names |= {r.list_definition for r in resources} | {r.definition for r in resources}
    return {
        "swagger": "2.0", "info": _INFO,
        "paths": {item.path: _path(item, publisher) for item in sorted(items, key=lambda item: item.path)},
        "definitions": publisher.publish(names, resources),
        "securityDefinitions": {"BearerToken": {
            "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header",
        }},
        "security": [{"BearerToken": []}],
    }


def _path(item: PathItem, publisher: Publisher) -> Json:
    path: Json = {operation.method: _operation(operation, publisher) for operation in item.operations}
    path["parameters"] = [_parameter(name) for name in item.parameters]
    return path


def _operation(operation: Operation, publisher: Publisher) -> Json:
    group, version, kind = operation.gvk
    parameters = [_parameter(name) for name in sorted(operation.parameters)]
    if operation.body:
        body: Json = {"name": "body", "in": "body", "schema": publisher.reference(operation.body)}
        if operation.body != DELETE_OPTIONS:
            body["required"] = True
        parameters.insert(0, body)
    written: Json = {
        "description": operation.description,
        "consumes": list(operation.body_types),
        "produces": list(operation.media_types),
        "schemes": ["https"], "tags": [operation.tag], "operationId": operation.id,
        "responses": _responses(operation, publisher),
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }
    if parameters:
        written["parameters"] = parameters
    return written


def _responses(operation: Operation, publisher: Publisher) -> Json:
    schema: Json = publisher.reference(operation.answer) if operation.answer else {"type": "string"}
    words = {200: "OK", 201: "Created", 202: "Accepted"}
    responses: Json = {str(code): {"description": words[code], "schema": schema} for code in operation.codes}
    responses["401"] = {"description": "Unauthorized"}
    return responses


def _parameter(name: str) -> Json:
    kind, description = PARAMETERS[name]
    parameter: Json = {
        "uniqueItems": True, "type": kind, "description": description, "name": name,
        "in": "path" if name in PATH_PARAMETERS else "query",
    }
    if name in PATH_PARAMETERS:
        parameter["required"] = True
    return parameter
