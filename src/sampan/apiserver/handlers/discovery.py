"""Discovery: which groups, versions and resources there are, in the old form (a document a version) and aggregated.

Documents are made when first asked for and again when the table of kinds changes; each carries an ETag, so that a
client which knows it already gets 304.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Final

import orjson

from sampan.api.kind import Kind
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.backend import Backend
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers import remote_discovery as remote
from sampan.apiserver.negotiation import JSON, alternatives
from sampan.apiserver.served import GroupVersion, Served, Subresource, group_versions, groups

_AGGREGATED: Final = "APIGroupDiscoveryList"
OWN_PATHS: Final = (
    "/.well-known/openid-configuration", "/api", "/apis", "/flagz", "/healthz", "/livez", "/metrics", "/metrics/slis",
    "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/statusz", "/version",
)


class Discovery:
    """The documents of one server."""

    def __init__(self) -> None:
        self._version = -1
        self._served: list[GroupVersion] = []
        self._encoded: dict[str, tuple[bytes, str]] = {}

    async def api(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/api`"""
        core = [item for item in self._current(backend) if not item.group]
        form = _aggregated_form(ctx)
        if form:
            return self._answer(ctx, f"api;{form}", lambda: _aggregated(core, form), form)
        return self._answer(ctx, "api", lambda: _api_versions(backend.config))

    async def apis(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/apis`"""
        served, others = [item for item in self._current(backend) if item.group], backend.table.remote
        form = _aggregated_form(ctx)
        if form:
            return self._answer(ctx, f"apis;{form}", lambda: remote.discovered(_aggregated(served, form), others), form)
        return self._answer(ctx, "apis", lambda: {
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": remote.listed([_group(versions) for versions in groups(served).values()], others),
        })

    async def below(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/api/VERSION`, `/apis/GROUP`, `/apis/GROUP/VERSION`"""
        served = self._current(backend)
        parts = ctx.request.path.strip("/").split("/")
        path = "/".join(parts)
        if parts[0] == "apis" and len(parts) == 2:
            versions, others = groups(served).get(parts[1]), backend.table.remote
            known = remote.listed([_group(versions)] if versions else [], others)
            group = next((one for one in known if one["name"] == parts[1]), None)
            if group is not None:
                return self._answer(ctx, path, lambda: {"kind": "APIGroup", "apiVersion": "v1", **group})
        wanted = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else tuple(parts[1:])
        found = next((item for item in served if (item.group, item.version) == wanted), None)
        if found is None:
            raise NotFound("the server could not find the requested resource", {})
        return self._answer(ctx, path, lambda: _resource_list(found))

    async def root(self, ctx: RequestContext, backend: Backend) -> Response:
        """`/`: every path that answers something, but for objects."""
        served = self._current(backend)
        versions = {f"/apis/{item.text}" if item.group else f"/api/{item.text}" for item in served}
        versions |= {f"/apis/{group}/{version}" for group, version in backend.table.remote}
        parents = {path.rpartition("/")[0] for path in versions}
        return self._answer(ctx, "", lambda: {"paths": sorted({*OWN_PATHS, *versions, *parents})})

    def _current(self, backend: Backend) -> list[GroupVersion]:
        if self._version != backend.table.version:
            self._version = backend.table.version
            self._served = group_versions(backend.table)
            self._encoded.clear()
        return self._served

    def _answer(self, ctx: RequestContext, key: str, make: Callable[[], Object], form: str = "") -> Response:
        found = self._encoded.get(key)
        if found is None:
            data = orjson.dumps(make())
            found = self._encoded[key] = (data, f'"{hashlib.sha256(data).hexdigest().upper()}"')
        data, tag = found
        media = f"{JSON};g=apidiscovery.k8s.io;v={form};as={_AGGREGATED}" if form else JSON
        headers = {"content-type": media, "vary": "Accept", "cache-control": "no-cache, private"}
        if form:
            headers |= {"etag": tag, "cache-control": "public"}
            if ctx.request.headers.get("if-none-match") == tag:
                return Response(304, headers)
        return Response(200, headers, data)


def _aggregated_form(ctx: RequestContext) -> str:
    """`v2` or `v2beta1` where the client prefers the aggregated form, else empty."""
    for item in alternatives(ctx.request.headers.get("accept", "")):
        if not item.shown_as:
            return ""
        if item.shown_as == _AGGREGATED and item.group == "apidiscovery.k8s.io" and item.version in ("v2", "v2beta1"):
            return item.version
    return ""


def _api_versions(config: APIServerConfig) -> Object:
    address = f"{config.advertise_address}:{config.advertise_port}"
    return {
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def _group(versions: list[GroupVersion]) -> Object:
    listed = [{"groupVersion": item.text, "version": item.version} for item in versions]
    return {"name": versions[0].group, "versions": listed, "preferredVersion": listed[0]}


def _resource_list(item: GroupVersion) -> Object:
    resources: list[Object] = []
    for served in item.resources:
        resources.append(_resource(served))
        resources += [_subresource(served, view) for view in served.subresources]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": item.text, "resources": resources}


def _resource(served: Served) -> Object:
    resource, kind = served.resource, served.kind
    document: Object = {
        "name": resource.plural, "singularName": served.singular, "namespaced": resource.namespaced,
        "kind": served.document.kind, "verbs": list(served.verbs),
    }
    if served.short_names:
        document["shortNames"] = list(served.short_names)
    if kind is not None:
        if kind.categories:
            document["categories"] = list(kind.categories)
        document["storageVersionHash"] = _storage_version_hash(kind)
    return document


def _storage_version_hash(kind: Kind) -> str:
    """Eight bytes of a hash of what the objects are stored as; clients see by it that this changed."""
    stored = kind.storage_resource or kind.resource
    version = kind.custom.storage_version.rpartition("/")[2] if kind.custom is not None else stored.version
    name = f"{stored.group}/{version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(name.encode()).digest()[:8]).decode()


def _subresource(served: Served, view: Subresource) -> Object:
    document: Object = {
        "name": f"{served.resource.plural}/{view.name}", "singularName": "", "namespaced": served.resource.namespaced,
    }
    if (view.document.group, view.document.version) != (served.resource.group, served.resource.version):
        document |= {"group": view.document.group, "version": view.document.version}
    return {**document, "kind": view.document.kind, "verbs": list(view.verbs)}


def _aggregated(served: list[GroupVersion], form: str) -> Object:
    by_group: dict[str, list[GroupVersion]] = {}
    for item in served:
        by_group.setdefault(item.group, []).append(item)
    items = []
    for group, versions in by_group.items():
        metadata: Object = {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}
        listed = [
            {"version": item.version, "resources": [_discovered(one) for one in item.resources],
             "freshness": "Current"}
            for item in versions
        ]
        items.append({"metadata": metadata, "versions": listed})
    return {"kind": _AGGREGATED, "apiVersion": f"apidiscovery.k8s.io/{form}", "metadata": {}, "items": items}


def _discovered(served: Served) -> Object:
    kind = served.kind
    document: Object = {
        "resource": served.resource.plural, "responseKind": _response_kind(served.document, served),
        "scope": "Namespaced" if served.resource.namespaced else "Cluster",
        "singularResource": served.singular, "verbs": list(served.verbs),
    }
    if served.short_names:
        document["shortNames"] = list(served.short_names)
    if kind is not None and kind.categories:
        document["categories"] = list(kind.categories)
    if served.subresources:
        document["subresources"] = [
            {"subresource": view.name, "responseKind": _response_kind(view.document, served),
             "verbs": list(view.verbs)}
            for view in served.subresources
        ]
    return document


def _response_kind(document: Resource, served: Served) -> Object:
    """Upstream leaves out the group and version of the resource itself, but not those of custom resources."""
    is_custom = served.kind is not None and served.kind.custom is not None
    same = (document.group, document.version) == (served.resource.group, served.resource.version) and not is_custom
    return {
        "group": "" if same else document.group, "version": "" if same else document.version, "kind": document.kind,
    }
