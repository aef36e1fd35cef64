"""OpenAPI v2 (one document) and v3 (an index, and a document a group version), made from what is served.

Documents are large and asked for rarely: they are made when first wanted and kept compressed. A v3 document is asked
for by its hash, which the index names, and may then be cached for ever; a stale hash is redirected to the present one.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from typing import Any

import orjson

from sampan.apimachinery.errors import NotAcceptable, NotFound
from sampan.apimachinery.http import Response
from sampan.apimachinery.openapi import ServedResource, ServedSubresource, v2, v2_protobuf, v3
from sampan.apimachinery.resource import Resource
from sampan.apimachinery.schema.loader import definitions
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext
from sampan.apiserver.negotiation import JSON, alternatives
from sampan.apiserver.served import Served, Subresource, group_versions

_ACCEPTED = "only the following media types are accepted: application/json"


class OpenAPI:
    """The documents of one server. Each is a compressed body and its ETag."""

    def __init__(self) -> None:
        self._version = -1
        self._by_path: dict[str, list[ServedResource]] = {}
        self._made: dict[str, tuple[bytes, str]] = {}

    async def v2(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/openapi/v2`"""
        self._refresh(backend)
        everything = [resource for resources in self._by_path.values() for resource in resources]
        accept = ctx.request.headers.get("accept", "")
        if any(part.partition(";")[0].strip() in v2_protobuf.ACCEPTED for part in accept.split(",")):
            data, tag = await self._document("v2 protobuf", lambda: v2_protobuf.encode(v2.document(everything)))
            return _answer(ctx, data, tag, media=v2_protobuf.MEDIA_TYPE)
        _check_accept(ctx)
        data, tag = await self._document("v2", lambda: v2.document(everything))
        return _answer(ctx, data, tag)

    async def v3_index(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/openapi/v3`"""
        self._refresh(backend)
        everything = [resource for resources in self._by_path.values() for resource in resources]
        others = {
            f"apis/{one.group}/{one.version}": {"serverRelativeURL": one.openapi}
            for one in backend.table.remote.values() if one.openapi
        }
        data, tag = await self._document("v3", lambda: {"paths": {**v3.index(everything)["paths"], **others}})
        return _answer(ctx, data, tag)

    async def v3_document(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/openapi/v3/apis/GROUP/VERSION?hash=…`"""
        self._refresh(backend)
        path = ctx.request.path.removeprefix("/openapi/v3/").strip("/")
        resources = self._by_path.get(path)
        if resources is None:
            raise NotFound("the server could not find the requested resource", {})
        _check_accept(ctx)
        asked = ctx.request.param("hash")
        present = v3.document_hash(resources) if asked else ""
        if asked and asked != present:
            return Response(301, {"location": f"/openapi/v3/{path}?hash={present}"})
        data, tag = await self._document(path, lambda: v3.document(resources))
        return _answer(ctx, data, tag, immutable=bool(asked))

    async def _document(self, key: str, make: Callable[[], Any]) -> tuple[bytes, str]:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = await asyncio.get_running_loop().run_in_executor(None, _encode, make)
        return found

    def _refresh(self, backend: Backend) -> None:
        if self._version == backend.table.version:
            return
        self._version = backend.table.version
        self._made.clear()
        self._by_path = {}
        for item in group_versions(backend.table):
            for served in item.resources:
                resource = _served(served)
                self._by_path.setdefault(v3.group_version_path(resource), []).append(resource)


def _encode(make: Callable[[], Any]) -> tuple[bytes, str]:
    made = make()
    data = made if isinstance(made, bytes) else orjson.dumps(made)
    return gzip.compress(data, 5), f'"{hashlib.sha512(data).hexdigest().upper()}"'


def _served(served: Served) -> ServedResource:
    resource, kind = served.resource, served.kind
    definition = kind.definition if kind is not None else _definition(served.document)
    return ServedResource(
        resource.group, resource.version, resource.plural, served.document.kind, definition, resource.namespaced,
        served.verbs, tuple(_subresource(view, resource, definition) for view in served.subresources),
        schema=kind.custom.published if kind is not None and kind.custom is not None else None,
    )


def _definition(document: Resource) -> str:
    """`io.k8s.api.GROUP.VERSION.KIND`, the group by its first word; empty for what has no definition."""
    name = f"io.k8s.api.{document.group.partition('.')[0] or 'core'}.{document.version}.{document.kind}"
    return name if name in definitions() else ""


def _subresource(view: Subresource, parent: Resource, definition: str) -> ServedSubresource:
    document = view.document
    if document == parent:
        return ServedSubresource(view.name, view.verbs, definition)
    return ServedSubresource(
        view.name, view.verbs, _definition(document), document.kind, document.group, document.version
    )


def _check_accept(ctx: RequestContext) -> None:
    accept = ctx.request.headers.get("accept", "")
    if accept and not any(item.media == JSON for item in alternatives(accept)):
        raise NotAcceptable(_ACCEPTED)


def _answer(ctx: RequestContext, data: bytes, tag: str, *, immutable: bool = False, media: str = JSON) -> Response:
    headers = {
        "content-type": media, "etag": tag, "vary": "Accept, Accept-Encoding", "cache-control": "no-cache, private",
    }
    if immutable:
        headers["cache-control"] = "public, immutable"
    if ctx.request.headers.get("if-none-match") == tag:
        return Response(304, headers)
    if "gzip" in ctx.request.headers.get("accept-encoding", ""):
        return Response(200, {**headers, "content-encoding": "gzip"}, data)
    return Response(200, headers, gzip.decompress(data))

