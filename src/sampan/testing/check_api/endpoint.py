"""The server under test, as a check sees it: a namespace of its own, raw requests, and answers that are expected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from sampan import effects
from sampan.apimachinery.http import Request, Response, Transport
from sampan.apimachinery.object import Object

DEADLINE_S = 20.0
MERGE = {"content-type": "application/merge-patch+json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code, headers, and the document of the body (None if it is not JSON)."""

    code: int
    headers: Mapping[str, str]
    document: Any
    body: bytes


class Endpoint:
    """Requests to one server. Paths that begin with a word are below the check's own namespace: `configmaps/a`."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self.namespace = namespace
        self._transport = transport

    def path(self, resource: str) -> str:
        """`configmaps/a` or `apps/v1 deployments/a` as a whole path; what begins with a slash is one already."""
        if resource.startswith("/"):
            return resource
        group, _, rest = resource.rpartition(" ")
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{rest}"

    async def call(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any request; `target` is a path, perhaps with a query. Never raises for what the server answers."""
        response = await self.open(method, target, body, headers)
        data = response.body
        if response.stream is not None:
            data = b"".join([chunk async for chunk in response.stream])
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError:
            document = None
        return Answer(response.status, response.headers, document, data)

    async def open(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """The response itself, which may be a stream."""
        path, _, text = target.partition("?")
        query: dict[str, list[str]] = {}
        for pair in filter(None, text.split("&")):
            key, _, value = pair.partition("=")
            query.setdefault(key, []).append(value)
        sent = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
        payload = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        return await self._transport.request(Request(method, self.path(path), query, sent, payload))

    async def ok(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """The document of a request that must succeed."""
        answer = await self.call(method, target, body, headers)
        assert 200 <= answer.code < 300, f"{method} {target}: {answer.code} {answer.document or answer.body!r}"
        return answer.document

    async def refused(
        self, expected: str, method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Object:
        """The Status of a request that must fail with a code and a reason: `404 NotFound`."""
        code, _, reason = expected.partition(" ")
        answer = await self.call(method, target, body, headers)
        status: Object = answer.document or {}
        assert (answer.code, status.get("kind")) == (int(code), "Status"), f"{method} {target}: {answer.code} {status}"
        assert (status.get("reason"), status.get("code")) == (reason, int(code)), f"{method} {target}: {status}"
        return status

    async def config_map(self, name: str, data: Mapping[str, str] | None = None, **metadata: Any) -> Object:
        """Create one."""
        body = {"metadata": {"name": name, **metadata}, "data": dict(data or {})}
        found: Object = await self.ok("POST", "configmaps", body)
        return found

    async def eventually(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until it holds."""
        deadline = effects.monotonic() + DEADLINE_S
        while not await condition():
            assert effects.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
            await asyncio.sleep(0.05)


Check: TypeAlias = Callable[[Endpoint], Awaitable[None]]


async def run(check: Check, transport: Transport) -> None:
    """One check in a namespace of its own. Raises AssertionError."""
    name = f"check-api-{effects.uid()[:8]}"
    endpoint = Endpoint(transport, name)
    await endpoint.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        await check(endpoint)
    finally:
        await endpoint.call("DELETE", f"/api/v1/namespaces/{name}")


def held_pod(name: str, **metadata: Any) -> Object:
    """A pod that no scheduler places, so that nothing but the check changes it."""
    return {
        "metadata": {"name": name, **metadata},
        "spec": {
            "containers": [{"name": "main", "image": "registry.example/none"}], "automountServiceAccountToken": False,
            "schedulingGates": [{"name": "sampan.example/held"}], "serviceAccountName": "default",
        },
    }


def deployment(name: str, replicas: int = 0) -> Object:
    """A Deployment; without replicas a controller has nothing to do."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels}, "paused": True,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "registry.example/none"}]},
            },
        },
    }
