"""The HTTPS server of a component that has no API of its own: is it well, and its figures.

    /healthz /livez /readyz    open to everyone; a failing check makes it 500, `?verbose` lists them, `?exclude=NAME`
                               leaves one out, and each has a path of its own below these
    /metrics /metrics/slis     Prometheus' text, for who may `get` that path (a client certificate or a bearer token);
                               the second is what health checks said so far
    /statusz /flagz /configz   what runs, since when, and how it was told to; for them, too
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
from sampan.apimachinery.healthchecks import CONTENT_TYPE, HealthFigures
from sampan.apimachinery.http import Response, UserInfo
from sampan.apimachinery.object import Object
from sampan.apimachinery.release import BuildInfo
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
    JSON or None if there is nothing under that name. `name` and `flags` are for /statusz and /flagz, `config` is what
    /configz answers: a configuration under the name of its group.
    """

    checks: Checks
    collectors: Sequence[Any]
    ready: Checks = field(default_factory=dict)
    documents: Mapping[str, Callable[[str], Object | None]] = field(default_factory=dict)
    name: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    config: Object = field(default_factory=dict)


class ComponentServer:
    """Serves `shown`; asks `client` about callers."""

    def __init__(self, client: Client, shown: Shown) -> None:
        self._reviews = Reviews(client)
        self._shown = shown
        self._registry: Any = None
        self._health_figures = HealthFigures()
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
            app.router.add_get(path + "/{name}", self._one_check)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/metrics/slis", self._slis)
        if self._shown.config:
            app.router.add_get("/configz", self._configz)
        if self._shown.name:
            app.router.add_get("/statusz", self._statusz)
            app.router.add_get("/flagz", self._flagz)
        for prefix in self._shown.documents:
            app.router.add_get(prefix + "{name:.+}", self._document)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        endpoint = request.path.strip("/")
        excluded = request.query.getall("exclude", [])
        lines, healthy = [], True
        for name, check in self._checks(endpoint).items():
            if name in excluded:
                lines.append(f"[+]{name} excluded: ok")
                continue
            why = check()
            self._health_figures.note(name, endpoint, well=why is None)
            healthy = healthy and why is None
            lines.append(f"[+]{name} ok" if why is None else f"[-]{name} failed: {why}")
        if healthy and "verbose" not in request.query:
            return web.Response(text="ok")
        lines.append(f"{endpoint} check {'passed' if healthy else 'failed'}")
        return web.Response(text="\n".join(lines) + "\n", status=200 if healthy else 500)

    def _checks(self, endpoint: str) -> Checks:
        ready = self._shown.ready if endpoint == "readyz" else {}
        return {"ping": lambda: None, **self._shown.checks, **ready}

    async def _one_check(self, request: web.Request) -> web.Response:
        endpoint, _, name = request.path.strip("/").partition("/")
        check = self._checks(endpoint).get(name)
        if check is None:
            return web.Response(status=404, text="404 page not found\n")
        why = check()
        return web.Response(text="ok") if why is None else web.Response(status=500, text=f"{name} failed: {why}\n")

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
        configz = ("/configz",) if self._shown.config else ()
        paths = (*_HEALTH, *configz, "/flagz", "/metrics", "/metrics/slis", "/statusz")
        accept = request.headers.get("accept", "")
        found = zpages.statusz(accept, self._shown.name, sampan.KUBERNETES_VERSION, times, paths)
        return await self._refusal(request) or _passed_on(found)

    async def _flagz(self, request: web.Request) -> web.Response:
        found = zpages.flagz(request.headers.get("accept", ""), self._shown.name, self._shown.flags)
        return await self._refusal(request) or _passed_on(found)

    async def _configz(self, request: web.Request) -> web.Response:
        return await self._refusal(request) or web.json_response(self._shown.config)

    async def _slis(self, request: web.Request) -> web.Response:
        refusal = await self._refusal(request)
        figures = web.Response(body=self._health_figures.exposition(), headers={"content-type": CONTENT_TYPE})
        return refusal or figures

    async def _metrics(self, request: web.Request) -> web.Response:
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            self._registry = CollectorRegistry()
            ProcessCollector(registry=self._registry)
            self._registry.register(BuildInfo())
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
