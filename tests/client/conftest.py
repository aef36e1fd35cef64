"""A Transport that answers from a script: a small API server in a dict, enough for clients to be tested against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest

from sampan.apimachinery import errors
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import Object


class ScriptedServer:
    """One resource's list and watches. Tests call `put`, `remove`, `break_watches`, `forget_history`, `fail`."""

    def __init__(self) -> None:
        self.revision = 10
        self.objects: dict[str, Object] = {}
        self.history: list[tuple[int, str, Object]] = []
        self.oldest = 0
        self.requests: list[Request] = []
        self.failures: list[errors.APIError] = []
        self.watchers: list[asyncio.Queue[bytes | Exception | None]] = []

    def put(self, name: str, **fields: object) -> Object:
        self.revision += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        uid = fields.pop("uid", f"uid-{name}")
        obj: Object = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(self.revision)},
            **fields,
        }
        self.objects[name] = obj
        self._publish(kind, obj)
        return obj

    def remove(self, name: str) -> None:
        self.revision += 1
        obj = self.objects.pop(name)
        final = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self._publish("DELETED", final)

    def bookmark(self) -> None:
        self._publish("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(self.revision)}})

    def break_watches(self, error: Exception | None = None) -> None:
        """End every watch: cleanly, or with a connection that breaks."""
        for queue in self.watchers:
            queue.put_nowait(error)
        self.watchers.clear()

    def forget_history(self) -> None:
        self.oldest = self.revision

    def fail(self, *failures: errors.APIError) -> None:
        self.failures += failures

    async def request(self, request: Request) -> Response:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        if request.param("watch"):
            return self._watch(int(request.param("resourceVersion")))
        items = [{k: v for k, v in obj.items() if k not in ("kind", "apiVersion")} for obj in self.objects.values()]
        metadata = {"resourceVersion": str(self.revision)}
        first, limit = int(request.param("continue") or 0), int(request.param("limit") or 0)
        if limit and len(items) > first + limit:
            metadata["continue"] = str(first + limit)
        document = {"kind": "PodList", "metadata": metadata, "items": items[first:first + limit] if limit else items}
        return Response(200, {}, orjson.dumps(document))

    async def close(self) -> None:
        self.break_watches()

    def _watch(self, after: int) -> Response:
        if after < self.oldest:
            status = errors.Expired(f"too old resource version: {after} ({self.oldest})").to_status()
            return Response(410, {}, orjson.dumps(status))
        queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        for revision, kind, obj in self.history:
            if revision > after:
                queue.put_nowait(_line(kind, obj))
        self.watchers.append(queue)
        return Response(200, {}, stream=_stream(queue))

    def _publish(self, kind: str, obj: Object) -> None:
        if kind != "BOOKMARK":
            self.history.append((self.revision, kind, obj))
        for queue in self.watchers:
            queue.put_nowait(_line(kind, obj))


def _line(kind: str, obj: Object) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


async def _stream(queue: asyncio.Queue[bytes | Exception | None]) -> AsyncIterator[bytes]:
    while (item := await queue.get()) is not None:
        if isinstance(item, Exception):
            raise item
        yield item


@pytest.fixture
def server() -> ScriptedServer:
    return ScriptedServer()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait for a condition, failing after five seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.001)

    return wait
