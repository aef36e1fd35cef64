"""ComponentStatuses: each component is asked when somebody asks for them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Request
from sampan.apiserver.config import APIServerConfig
from sampan.apiserver.context import RequestContext
from sampan.apiserver.handlers import component_statuses
from sampan.apiserver.handlers.component_statuses import WARNING


class Parts:
    config = APIServerConfig(advertise_address="127.0.0.1")


async def ask(name: str = "", accept: str = "application/json") -> Any:
    ctx = RequestContext(Request("GET", "/", {}, {"accept": accept}), name=name)
    answer = await component_statuses.component_statuses(ctx, Parts())  # type: ignore[arg-type]
    assert WARNING in str(ctx.warnings)
    return orjson.loads(answer.body)


@pytest.fixture
async def scheduler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scheduler that is well, without TLS, and no controller manager."""
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setattr(component_statuses.upstream, "insecure_tls", lambda: None)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(component_statuses, "PORTS", {"controller-manager": 1, "scheduler": port})
    yield
    server.close()


async def test_who_is_well_and_who_is_not(scheduler: None) -> None:
    found = await ask()
    assert found["kind"] == "ComponentStatusList"
    conditions = {one["metadata"]["name"]: one["conditions"][0] for one in found["items"]}
    assert conditions["scheduler"] == {"type": "Healthy", "status": "True", "message": "ok"}
    assert conditions["etcd-0"]["status"] == "True"
    assert conditions["controller-manager"]["status"] == "False"
    assert conditions["controller-manager"]["message"].startswith('Get "https://127.0.0.1:1/healthz": ')
    assert (await ask("scheduler"))["metadata"]["name"] == "scheduler"
    with pytest.raises(NotFound):
        await ask("kubelet")


async def test_the_table(scheduler: None) -> None:
    table = await ask(accept="application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Status", "Message", "Error"]
    rows = {row["cells"][0]: row["cells"][1] for row in table["rows"]}
    assert rows == {"controller-manager": "Unhealthy", "scheduler": "Healthy", "etcd-0": "Healthy"}
