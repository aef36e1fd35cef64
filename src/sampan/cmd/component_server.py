"""The HTTPS server of a component that has no API of its own: is it well, and its figures.

    /healthz /livez /readyz    open to everyone; `?verbose` lists the checks, and a failing check makes it 500
    /metrics                   Prometheus' text, for who may `get` that path (a client certificate or a bearer token)

Ports are upstream's (10257 for the controller manager), on the node's address; the certificate is the API server's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sampan.apimachinery.http import UserInfo
from sampan.client.client import Client
from sampan.client.reviews import Reviews

RELOAD_S = 3600.0
CONTROLLER_MANAGER_PORT = 10257
_HEALTH = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class ServingFiles:
    """Certificate and key to serve with, and the CA of callers' certificates."""

    certificate: str
    key: str
    client_ca: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a component shows: checks by name, each None or what is wrong; and Prometheus collectors."""

    checks: Mapping[str, Callable[[], str | None]]
    collectors: Sequence[Any]


class ComponentServer:
    """Serves `shown`; asks `client` about callers."""

    def __init__(self, client: Client, shown: Shown) -> None:
        self._reviews = Reviews(client)
        self._shown = shown
        self._registry: Any = None

    async def run(self, address: str, port: int, files: ServingFiles) -> None:
        """Until cancelled."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.client_ca)
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
        return app

    async def _health(self, request: web.Request) -> web.Response:
        wrong = {name: why for name, check in self._shown.checks.items() if (why := check()) is not None}
        name = request.path.strip("/")
        if not wrong and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [
            f"[-]{one} failed: {wrong[one]}" if one in wrong else f"[+]{one} ok"
            for one in ("ping", *self._shown.checks)
        ]
        lines.append(f"{name} check {'failed' if wrong else 'passed'}")
        return web.Response(text="\n".join(lines) + "\n", status=500 if wrong else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        if user is None:
            return web.Response(status=401, text="Unauthorized\n")
        attributes = {"nonResourceAttributes": {"path": request.path, "verb": "get"}}
        if not await self._reviews.allowed(user, attributes):
            return web.Response(status=403, text=f'User "{user.name}" cannot get path "{request.path}"\n')
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
