"""A small HTTPS server on loopback with a certificate of its own authority: issuers, webhooks, aggregated servers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from sampan.apimachinery.http import Request, Response
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.listener import TLSFiles, serve
from sampan.pki.authority import CertificateAuthority, server
from sampan.pki.certificate import KeyPair


class _Serving:
    """As much of an API server as a listener asks for."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]]) -> None:
        self.config = APIServerConfig()
        self.handle = handle


@dataclass
class Running:
    """`authority` is the PEM that clients must trust; `directory` holds its files."""

    port: int
    authority: str
    directory: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, path: str = "") -> str:
        """A kubeconfig file that names this server."""
        file = self.directory / f"kubeconfig{path.replace('/', '-')}"
        file.write_text(orjson.dumps({
            "clusters": [{"name": "c", "cluster": {
                "server": self.url + path, "certificate-authority": str(self.directory / "ca.pem"),
            }}],
            "users": [{"name": "u", "user": {}}], "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }).decode())
        return str(file)


@contextlib.asynccontextmanager
async def running(
    directory: Path, handle: Callable[[Request], Awaitable[Response]], names: tuple[str, ...] = ("localhost",),
    client_ca: str = "",
) -> AsyncIterator[Running]:
    """Serve `handle` until left."""
    authority = CertificateAuthority.create("t-https")
    (directory / "ca.pem").write_bytes(authority.certificate_pem)
    pair = KeyPair.named(directory, "https")
    pair.save(authority.issue(server("https", list(names), ["127.0.0.1"])))
    listener = socket.create_server(("127.0.0.1", 0))
    files = TLSFiles(str(directory / "https.crt"), str(directory / "https.key"), client_ca)
    listeners = await serve(_Serving(handle), [listener], files)  # type: ignore[arg-type]
    try:
        yield Running(listener.getsockname()[1], authority.certificate_pem.decode(), directory)
    finally:
        await listeners.close()


def answer(document: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, orjson.dumps(document))
