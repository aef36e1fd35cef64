"""An API server over a memory store, for tests: no authorisation, in process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from sampan.apimachinery.http import Request, Response
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.server import ITSELF, APIServer
from sampan.client.client import Client
from sampan.storage.memory import MemoryStore


@contextlib.asynccontextmanager
async def serving(**config: Any) -> AsyncIterator[tuple[APIServer, Client]]:
    """A started server and a client of it."""
    store = MemoryStore()
    settings: dict[str, Any] = {"authorization": False, "disable_admission": ("ServiceAccount",), **config}
    server = APIServer(store, APIServerConfig(**settings))
    await server.start()
    try:
        yield server, Client(server.transport(ITSELF), field_manager="test")
    finally:
        await server.stop()
        await store.close()


async def call(
    server: APIServer, method: str, target: str, body: Any = None, *, headers: dict[str, str] | None = None
) -> Response:
    """A raw request; `target` is a path with a query."""
    path, _, text = target.partition("?")
    query: dict[str, list[str]] = {}
    for pair in filter(None, text.split("&")):
        key, _, value = pair.partition("=")
        query.setdefault(key, []).append(value)
    payload = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"content-type": "application/json", **(headers or {})}
    return await server.handle(Request(method, path, query, sent, payload, user=ITSELF))


def document(response: Response) -> Any:
    return orjson.loads(response.body)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "data": data,
    }


def pod(name: str, **labels: str) -> dict[str, Any]:
    return {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "busybox"}]},
    }
