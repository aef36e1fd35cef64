# ruff: noqa: ASYNC110
"""The agent turns Node objects into a CNI file, and takes changes as they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson

from sampan.apimachinery.http import Request, Response
from sampan.client.client import Client
from sampan.network.agent import NetworkConfig, run
from sampan.network.cni import FILE_NAME, CNIConfig


class Nodes:
    """A transport that serves one list of nodes and then a watch of what the test puts into `events`."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def request(self, request: Request) -> Response:
        if "watch" in request.query:
            return Response(200, {}, stream=self._stream())
        return Response(200, {}, orjson.dumps(
            {"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": self.items}))

    async def _stream(self) -> AsyncIterator[bytes]:
        while True:
            yield orjson.dumps(await self.events.get()) + b"\n"

    async def close(self) -> None:
        pass


def node(version: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "a", "uid": "u", "resourceVersion": version},
            "spec": spec}


async def test_the_network_is_configured_as_soon_as_the_node_has_a_cidr(tmp_path: Path) -> None:
    transport = Nodes(node("1"))
    config = NetworkConfig("a", CNIConfig("sampan-t", tmp_path / "conf", tmp_path / "leases"))
    task = asyncio.create_task(run(Client(transport), config))
    file = config.cni.conf_dir / FILE_NAME
    try:
        await transport.events.put({"type": "MODIFIED", "object": node("2", podCIDR="10.244.7.0/24")})
        async with asyncio.timeout(5):
            while not file.exists():
                await asyncio.sleep(0.01)
        assert json.loads(file.read_text())["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.7.0/24"}]]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
