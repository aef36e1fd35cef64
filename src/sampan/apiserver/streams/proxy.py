"""`pods`, `services` and `nodes` proxy: an HTTP request passed on to them through the API server, upgrades included.

The caller's credentials stay here: Authorization and the impersonation headers are not passed on. Redirects of the
backend to its own paths are turned into paths below the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from sampan.apimachinery.errors import InternalError
from sampan.apimachinery.http import Duplex, Response
from sampan.apimachinery.object import Object
from sampan.apimachinery.resource import Resource
from sampan.apiserver.context import RequestContext
from sampan.apiserver.seams import ServerParts
from sampan.apiserver.streams import upstream
from sampan.apiserver.streams.proxy_target import node_target, pod_target, service_target
from sampan.apiserver.streams.remote_command import admit_connect, require_create
from sampan.apiserver.streams.splice import splice
from sampan.apiserver.streams.upstream import Target

POD_PROXY_OPTIONS = Resource("", "v1", "podproxyoptions", "PodProxyOptions")
SERVICE_PROXY_OPTIONS = Resource("", "v1", "serviceproxyoptions", "ServiceProxyOptions")
NODE_PROXY_OPTIONS = Resource("", "v1", "nodeproxyoptions", "NodeProxyOptions", namespaced=False)

_TARGETS: Final = {
    "pods": (pod_target, POD_PROXY_OPTIONS), "services": (service_target, SERVICE_PROXY_OPTIONS),
    "nodes": (node_target, NODE_PROXY_OPTIONS),
}
_HOP_BY_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length", "host",
})
_OURS: Final = frozenset({"authorization", "cookie"})


async def proxy(ctx: RequestContext, parts: ServerParts) -> Response:
    """One proxied request."""
    locate, document = _TARGETS[ctx.resource]
    here = _proxy_path(ctx)
    if not ctx.subpath and ctx.request.method in ("GET", "HEAD"):
        query = urlencode(ctx.request.query, doseq=True)
        return Response(301, {"location": f"{here}/?{query}" if query else f"{here}/"})
    options: Object = {"kind": document.kind, "apiVersion": document.api_version, "path": ctx.subpath}
    await admit_connect(ctx, parts, document, options)
    target = await locate(ctx, parts)
    path = quote(ctx.subpath or "/", safe="/:@!$&'()*+,;=~-._")
    if ctx.request.query:
        path += "?" + urlencode(ctx.request.query, doseq=True)
    if "upgrade" in ctx.request.headers.get("connection", "").lower() and ctx.request.headers.get("upgrade"):
        if ctx.resource == "nodes":
            # An upgraded GET to a kubelet can be an exec: reading nodes/proxy must not be enough for that.
            await require_create(ctx, parts)
        return await _upgraded(ctx, target, path)
    body = await upstream.request(target, ctx.request.method, path, _forwarded(ctx), ctx.request.body)
    headers = {
        name.lower(): value for name, value in body.answer.headers.items() if name.lower() not in _HOP_BY_HOP
    }
    if "location" in headers:
        headers["location"] = _rewritten(headers["location"], target, here)
    return Response(body.answer.status, headers, stream=body)


async def _upgraded(ctx: RequestContext, target: Target, path: str) -> Response:
    headers = [("Connection", "Upgrade"), ("Upgrade", ctx.request.headers["upgrade"]), *_forwarded(ctx).items()]
    backend = await upstream.upgrade(target, ctx.request.method, path, headers)

    async def run(client: Duplex) -> None:
        await splice(client, backend.duplex)

    answer = {name: value for name, value in backend.headers.items() if name.lower() != "content-length"}
    return Response(101, answer, upgrade=run)


def _forwarded(ctx: RequestContext) -> dict[str, str]:
    """The request's headers as the backend gets them."""
    found: dict[str, str] = {}
    for name, value in ctx.request.headers.items():
        lower = name.lower()
        private = lower in _OURS or lower.startswith(("impersonate-", "x-remote-"))
        if lower not in _HOP_BY_HOP and not private and not ("\r" in value or "\n" in value):
            found[lower] = f"{found[lower]}, {value}" if lower in found else value
    found["x-forwarded-uri"] = quote(ctx.request.path)
    if ctx.request.remote:
        before = found.get("x-forwarded-for")
        found["x-forwarded-for"] = f"{before}, {ctx.request.remote}" if before else ctx.request.remote
    host = _host(ctx.request.headers)
    if host:
        found["x-forwarded-host"] = host
    found["x-forwarded-proto"] = "https"
    return found


def _host(headers: Mapping[str, str]) -> str:
    return headers.get("host", "")


def _proxy_path(ctx: RequestContext) -> str:
    path = ctx.request.path
    if not ctx.subpath:
        return path
    if not path.endswith(ctx.subpath):
        raise InternalError("the proxied path is not the end of the URL")
    return path[: -len(ctx.subpath)]


def _rewritten(url: str, target: Target, here: str) -> str:
    """A redirect to the backend itself leads through the proxy; one to anywhere else is left alone."""
    parts = urlsplit(url)
    if parts.netloc and parts.netloc not in (target.authority, target.host):
        return url
    if not parts.path.startswith("/"):
        return url
    return here + parts.path + (f"?{parts.query}" if parts.query else "")
