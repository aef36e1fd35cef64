"""Requests to every operation that the server's own OpenAPI names, sensible and not.

`operations` reads what is served; `request` makes one request of an operation from a source of randomness, so that a
seed says everything. Left out is what would speak to other machines: streams and proxies, webhooks and API services.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

import yaml
from tests.apiserver.fuzz.documents import KINDS, NAMES, TEXTS, anything, document
from tests.apiserver.serving import call
from tests.apiserver.serving import document as parsed

from sampan.apimachinery import protobuf
from sampan.apimachinery.http import Request
from sampan.apiserver.server import ITSELF, APIServer

METHODS = ("get", "put", "post", "delete", "patch")
ELSEWHERE = ("/proxy", "/exec", "/attach", "/portforward", "/log", "apiservices")
PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
           "application/apply-patch+yaml")
ACCEPTS = (
    "", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/html", ";;",
    "application/*",
    "application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json", "application/json;as=Nothing;v=v9",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,*/*;q=0.1", "application/json;q=x",
)
VALUES: dict[str, tuple[str, ...]] = {
    "dryRun": ("All", "All", "", "None"), "fieldManager": ("m", "x" * 129, "", "é\x00"), "force": ("true", "1", "x"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "", "x"), "limit": ("0", "1", "2", "-1", "x", "9" * 30),
    "labelSelector": ("a=b", "a in (b,c)", "!a", "a notin (", "=", "a==b,,", "é", "a in ()", "((", "x" * 300, "a!=b"),
    "fieldSelector": ("metadata.name=a", "metadata.namespace!=x", "spec.nodeName=", "status.phase=Running", "=", "a",
                      ",", "x=y", "metadata.name=a,metadata.name=b", "\\="),
    "resourceVersion": ("0", "1", "", "-1", "x", "9" * 30, "1.5"), "continue": ("", "x", "eyJ2IjoibWV0YSJ9", "e30"),
    "resourceVersionMatch": ("Exact", "NotOlderThan", "x", ""), "sendInitialEvents": ("true", "false", "x"),
    "timeoutSeconds": ("0", "1", "-1", "x", "9" * 30), "watch": ("true", "false", "0", "x"), "pretty": ("true", "x"),
    "allowWatchBookmarks": ("true", "x"), "gracePeriodSeconds": ("0", "30", "-1", "x", "9" * 30),
    "propagationPolicy": ("Orphan", "Background", "Foreground", "x", ""), "orphanDependents": ("true", "false", "x"),
}


@dataclass(frozen=True)
class Operation:
    """A method of a path; `body` names the definition that it takes."""

    method: str
    path: str
    parameters: tuple[str, ...]
    body: str


async def operations(server: APIServer) -> list[Operation]:
    """Everything that the OpenAPI v3 documents of the server list."""
    index = parsed(await call(server, "GET", "/openapi/v3"))["paths"]
    found = []
    for place in sorted(index):
        served = parsed(await call(server, "GET", index[place]["serverRelativeURL"]))
        for path, item in served.get("paths", {}).items():
            if not path.endswith(ELSEWHERE[:-1]) and "/proxy/" not in path and ELSEWHERE[-1] not in path:
                found += [_operation(method, path, item) for method in METHODS if method in item]
    return found


def _operation(method: str, path: str, item: Any) -> Operation:
    listed = [*item.get("parameters", []), *item[method].get("parameters", [])]
    content = item[method].get("requestBody", {}).get("content", {})
    schema = next(iter(content.values()), {}).get("schema", {})
    return Operation(
        method.upper(), path, tuple(one["name"] for one in listed if one.get("in") == "query"),
        schema.get("$ref", "").rpartition("/")[2],
    )


def request(rng: random.Random, operation: Operation) -> Request:
    """One request, as somebody who may everything."""
    path = operation.path
    for place in ("namespace", "name", "path"):
        usual = "default" if place == "namespace" else rng.choice(("sample-a", "sample-b"))
        path = path.replace(f"{{{place}}}", usual if rng.random() < 0.8 else rng.choice(NAMES))
    query = {name: [rng.choice(VALUES.get(name, TEXTS))] for name in operation.parameters if rng.random() < 0.15}
    headers = {"accept": rng.choice(ACCEPTS)} if rng.random() < 0.5 else {}
    if rng.random() < 0.1:
        headers["user-agent"] = rng.choice(TEXTS)
    body, media = _body(rng, operation)
    if operation.method == "PATCH" and media == PATCHES[-1] and rng.random() < 0.8:
        query["fieldManager"] = ["m"]
    if media:
        headers["content-type"] = media
    return Request(operation.method, path, query, headers, body, user=ITSELF)


def _body(rng: random.Random, operation: Operation) -> tuple[bytes, str]:
    if operation.method == "GET" or (operation.method == "DELETE" and rng.random() < 0.5):
        return b"", ""
    if rng.random() < 0.03:
        medias = ("application/json", "application/yaml", "", "x/y", *PATCHES)
        return rng.randbytes(rng.randrange(40)), rng.choice(medias)
    if operation.method == "PATCH":
        return _patch(rng, operation)
    found = anything(rng) if rng.random() < 0.05 else document(rng, operation.body)
    media = rng.choice(("application/json",) * 2 + ("application/yaml", "application/vnd.kubernetes.protobuf"))
    if media.endswith("yaml"):
        return yaml.safe_dump(found, allow_unicode=True).encode("utf-8", "replace"), media
    if media.endswith("protobuf"):
        try:
            return _damaged(rng, protobuf.encode_object(found)), media
        except Exception:  # what has no message, or does not fit into one, goes as JSON
            media = "application/json"
    return json.dumps(found).encode(), media


def _damaged(rng: random.Random, data: bytes) -> bytes:
    if rng.random() < 0.8 or not data:
        return data
    place = rng.randrange(len(data))
    return data[:place] + rng.randbytes(1) + data[place + 1:] if rng.random() < 0.5 else data[:place]


def _patch(rng: random.Random, operation: Operation) -> tuple[bytes, str]:
    media = rng.choice(PATCHES)
    kind = next((kind for kind in KINDS.values() if f"/{kind.resource.plural}/" in operation.path
                 and f"/{kind.resource.version}/" in operation.path), None)
    found = document(rng, kind.definition) if kind is not None else anything(rng)
    if media.startswith("application/json-patch"):
        words = ("add", "remove", "replace", "move", "copy", "test", "x")
        paths = ("", "/", "/metadata", "/metadata/labels", "/spec", "/spec/a/b", "/status", "/x~1y", "/spec/0", "/data",
                 "/metadata/name", "/metadata/annotations", "/metadata/finalizers/-", "a")
        made = [{"op": rng.choice(words), "path": rng.choice(paths), "from": rng.choice(paths),
                 "value": anything(rng, 2)} for _ in range(rng.randrange(4))]
        found = made if rng.random() < 0.9 else found
    elif media.startswith("application/strategic") and isinstance(found, dict) and rng.random() < 0.4:
        word = rng.choice(("$patch", "$retainKeys", "$setElementOrder/containers",
                           "$deleteFromPrimitiveList/finalizers"))
        place = rng.choice([found, *[value for value in found.values() if isinstance(value, dict)]])
        place[word] = rng.choice(("delete", "replace", "merge", ["a"], [{"name": "a"}], None, 1))
    return json.dumps(found).encode(), media
