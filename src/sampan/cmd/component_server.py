"""The HTTPS server of a component that has no API of its own: is it well, and its figures.

    /healthz /livez /readyz    open to everyone; `?verbose` lists the checks, and a failing check makes it 500
    /metrics                   Prometheus' text, for who may `get` that path (a client certificate or a bearer token)
    /statusz /flagz            what runs, since when, and how it was told to; for them, too
    others                     documents that the component offers below a path, for who may `get` them, too

Ports are upstream's: 10257 for the controller manager, 10259 for the scheduler. In a local cluster they are on the
node's address and serve with the API server's certificate.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

import sampan
from sampan import effects
from sampan.apimachinery import zpages
from sampan.apimachinery.http import Response, UserInfo
from sampan.apimachinery.object import Object
from sampan.client.client import Client
from sampan.client.reviews import Reviews

RELOAD_S = 3600.0
CONTROLLER_MANAGER_PORT = 10257
SCHEDULER_PORT = 10259
_HEALTH = ("/healthz", "/livez", "/readyz")


Checks: TypeAlias = Mapping[str, Callable[[], str | None]]


@dataclass(frozen=True, slots=True)
class ServingFiles:
    """Certificate and key to serve with, and the CA of callers' certificates as a file or as PEM.

    Without a CA, only tokens count.
    """

    certificate: str
    key: str
    client_ca: str = ""
    client_ca_data: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a component shows: checks by name, each None or what is wrong; and Prometheus collectors.

    `ready` are those that only /readyz asks. `documents` answer by path prefix, each given the rest of the path, with
    JSON or None if there is nothing under that name. `name` and `flags` are for /statusz and /flagz.
    """

    checks: Checks
    collectors: Sequence[Any]
    ready: Checks = field(default_factory=dict)
    documents: Mapping[str, Callable[[str], Object | None]] = field(default_factory=dict)
    name: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)


class ComponentServer:
    """Serves `shown`; asks `client` about callers."""

    def __init__(self, client: Client, shown: Shown) -> None:
        self._reviews = Reviews(client)
        self._shown = shown
        self._registry: Any = None
        self._began = effects.now()

    async def run(self, address: str, port: int, files: ServingFiles) -> None:
        """Until cancelled."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if files.client_ca or files.client_ca_data:
            context.load_verify_locations(files.client_ca or None, cadata=files.client_ca_data or None)
            context.verify_mode = ssl.CERT_OPTIONAL
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files.certificate, files.key)
        runner = web.AppRunner(self.app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, address, port, ssl_context=context, reuse_address=True).start()
            while True:
                await asyncio.sleep(RELOAD_S)
                context.load_cert_chain(files.certificate, files.key)  # it may have been renewed
        finally:
            await runner.cleanup()

    def app(self) -> web.Application:
        """The paths."""
        app = web.Application()
        for path in _HEALTH:
            app.router.add_get(path, self._health)
        app.router.add_get("/metrics", self._metrics)
        if self._shown.name:
            app.router.add_get("/statusz", self._statusz)
            app.router.add_get("/flagz", self._flagz)
        for prefix in self._shown.documents:
            app.router.add_get(prefix + "{name:.+}", self._document)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        checks = {**self._shown.checks, **(self._shown.ready if name == "readyz" else {})}
        wrong = {one: why for one, check in checks.items() if (why := check()) is not None}
        if not wrong and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [
            f"[-]{one} failed: {wrong[one]}" if one in wrong else f"[+]{one} ok"
            for one in ("ping", *checks)
        ]
        lines.append(f"{name} check {'failed' if wrong else 'passed'}")
        return web.Response(text="\n".join(lines) + "\n", status=500 if wrong else 200)

    async def _refusal(self, request: web.Request) -> web.Response | None:
        """Why the caller may not have it."""
        user = await self._user(request)
        if user is None:
            return web.Response(status=401, text="Unauthorized\n")
        attributes = {"nonResourceAttributes": {"path": request.path, "verb": "get"}}
        if not await self._reviews.allowed(user, attributes):
            return web.Response(status=403, text=f'User "{user.name}" cannot get path "{request.path}"\n')
        return None

    async def _document(self, request: web.Request) -> web.Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        name = request.match_info["name"]
        answer = self._shown.documents[request.path.removesuffix(name)]
        found = answer(name)
        if found is None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            return web.json_response({**status, "message": f"nothing is known of {name}"}, status=404)
        return web.json_response(found)

    async def _statusz(self, request: web.Request) -> web.Response:
        times = self._began, effects.now()
        paths = (*_HEALTH, "/flagz", "/metrics", "/statusz")
        accept = request.headers.get("accept", "")
        found = zpages.statusz(accept, self._shown.name, sampan.KUBERNETES_VERSION, times, paths)
        return await self._refusal(request) or _passed_on(found)

    async def _flagz(self, request: web.Request) -> web.Response:
        found = zpages.flagz(request.headers.get("accept", ""), self._shown.name, self._shown.flags)
        return await self._refusal(request) or _passed_on(found)

    async def _metrics(self, request: web.Request) -> web.Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            for collector in self._shown.collectors:
                self._registry.register(collector)
        return web.Response(body=generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _user(self, request: web.Request) -> UserInfo | None:
        certificate = request.get_extra_info("peercert")
        if certificate:
            pairs = [pair for part in certificate.get("subject", ()) for pair in part]
            name = next((value for key, value in pairs if key == "commonName"), "")
            groups = [value for key, value in pairs if key == "organizationName"]
            return UserInfo(name, groups=(*groups, "system:authenticated")) if name else None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return await self._reviews.user_of_token(token.strip()) if scheme.lower() == "bearer" else None


def _passed_on(response: Response) -> web.Response:
    return web.Response(status=response.status, headers=dict(response.headers), body=response.body)
