"""A webhook for tests: real HTTPS on loopback, answering what the test says and remembering what it was asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from sampan.pki.authority import CertificateAuthority
from sampan.pki.certificate import CertificateSpec, Usage

Answer = Callable[[dict[str, Any]], Any]


class HookServer:
    """`answers` by path: a function from the AdmissionRequest to the response, or to a whole `web.Response`."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self.authority = authority
        self.answers: dict[str, Answer] = {}
        self.reviews: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.headers: list[Any] = []
        self.connections = 0
        self.port = 0
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def ca_bundle(self) -> str:
        return base64.b64encode(self.authority.certificate_pem).decode()

    def client(self, path: str = "/") -> dict[str, Any]:
        """A clientConfig of this server."""
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.ca_bundle}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        review = orjson.loads(await request.read())
        self.reviews.append(review)
        self.paths.append(str(request.rel_url))
        self.headers.append(request.headers)
        await self.gate.wait()
        asked = review["request"]
        answer = self.answers[request.path](asked)
        if isinstance(answer, web.StreamResponse):
            return answer
        body = {
            "kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": {"uid": asked["uid"], **answer},
        }
        return web.Response(body=orjson.dumps(body), content_type="application/json")


def allowed(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


def patching(*operations: dict[str, Any]) -> Answer:
    patch = base64.b64encode(orjson.dumps(list(operations))).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": patch}


@contextlib.asynccontextmanager
async def hook_server() -> AsyncIterator[HookServer]:
    authority = CertificateAuthority.create("webhooks")
    server = HookServer(authority)
    spec = CertificateSpec(
        "webhook", usages=(Usage.SERVER,), dns_names=("hook.default.svc", "localhost"),
        addresses=("127.0.0.1",),
    )
    credential = authority.issue(spec)
    app = web.Application()
    app.router.add_post("/{tail:.*}", server.handle)

    @web.middleware
    async def count(request: web.Request, handler: Any) -> web.StreamResponse:
        seen.add(request.transport)
        server.connections = len(seen)
        return await handler(request)  # type: ignore[no-any-return]

    seen: set[object] = set()
    app.middlewares.append(count)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        certificate.write_bytes(credential.certificate_pem)
        key.write_bytes(credential.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()
