"""What all tests share: the golden files with the flag that writes them anew, and a list-and-watch API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.object import key_of
from sampan.apimachinery.resource import Resource

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("dns/web.txt", text)` holds when tests/golden/dns/web.txt says just this."""

    def check(name: str, text: str) -> None:
        file = GOLDEN / name
        if request.config.getoption("--rewrite"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert file.exists(), f"{file.name} is missing; run pytest with --rewrite and read what it says"
        assert text == file.read_text()

    return check


class FakeAPI:
    """A transport that lists and watches what a test puts into it; for components that only read."""

    def __init__(self) -> None:
        self.revision = 1
        self._objects: dict[str, dict[str, dict[str, Any]]] = {}
        self._watches: dict[str, list[asyncio.Queue[bytes]]] = {}

    def put(self, resource: Resource, obj: dict[str, Any]) -> None:
        """Create or replace an object."""
        known = self._objects.setdefault(resource.path(), {})
        self._publish(resource, "MODIFIED" if key_of(obj) in known else "ADDED", obj)
        known[key_of(obj)] = obj

    def remove(self, resource: Resource, key: str) -> None:
        """Delete the object `namespace/name`."""
        self._publish(resource, "DELETED", self._objects[resource.path()].pop(key))

    async def request(self, request: Request) -> Response:
        if request.param("watch"):
            queue: asyncio.Queue[bytes] = asyncio.Queue()
            self._watches.setdefault(request.path, []).append(queue)
            return Response(stream=self._stream(queue))
        items = list(self._objects.get(request.path, {}).values())
        document = {"kind": "List", "metadata": {"resourceVersion": str(self.revision)}, "items": items}
        return Response(body=orjson.dumps(document))

    async def close(self) -> None:
        self._watches.clear()

    def _publish(self, resource: Resource, kind: str, obj: dict[str, Any]) -> None:
        self.revision += 1
        obj.update(kind=resource.kind, apiVersion=resource.api_version)
        obj["metadata"].update(resourceVersion=str(self.revision), uid=key_of(obj))
        line = orjson.dumps({"type": kind, "object": obj}) + b"\n"
        for queue in self._watches.get(resource.path(), []):
            queue.put_nowait(line)

    async def _stream(self, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        while True:
            yield await queue.get()


@pytest.fixture
def fake_api() -> FakeAPI:
    """`fake_api.put(SERVICES, {...})`, and `Client(fake_api)` sees it."""
    return FakeAPI()
