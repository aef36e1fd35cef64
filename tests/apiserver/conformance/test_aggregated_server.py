"""What upstream's test with its sample-apiserver asks: a server behind an APIService, used as any other group.

The server behind is a second sampan, whose group is a custom one, behind HTTPS and a Service that is only a name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from tests.apiserver.aggregation.test_aggregation import api_service, eventually
from tests.apiserver.extensions.definitions import establish, version
from tests.apiserver.https_server import running
from tests.apiserver.serving import call, document, serving

from sampan.api.resources import API_SERVICES, SERVICES
from sampan.apimachinery.errors import NotFound
from sampan.apimachinery.http import Request, Response
from sampan.apimachinery.resource import Resource

GROUP = "stable.example.com"
FLUNDERS = f"/apis/{GROUP}/v1/namespaces/default/flunders"
NAME = f"v1.{GROUP}"
MERGE = {"content-type": "application/merge-patch+json"}


def registered(port: int, authority: str) -> dict[str, Any]:
    found = api_service(port, authority)
    found["metadata"] = {"name": NAME, "labels": {"sample": "true"}}
    found["spec"] = {**found["spec"], "group": GROUP, "version": "v1"}
    return found


async def read(server: Any, path: str, **headers: str) -> Any:
    """The document, which comes from behind as a stream."""
    response = await call(server, "GET", path, headers=headers)
    assert response.status == 200
    return orjson.loads(response.body or b"".join([chunk async for chunk in response.stream]))


async def test_a_server_behind_is_used_as_any_group(tmp_path: Path) -> None:
    async with serving() as (behind, owner):
        await establish(owner, version(subresources={"status": {}}), plural="flunders", kind="Flunder")

        async def handle(request: Request) -> Response:
            return await behind.handle(request)

        async with (
            running(tmp_path, handle, ("other.default.svc",)) as at, serving() as (server, client),
        ):
            await client.create(SERVICES, {
                "kind": "Service", "apiVersion": "v1", "metadata": {"name": "other", "namespace": "default"},
                "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
            })
            await client.create(API_SERVICES, registered(at.port, at.authority))

            async def available() -> bool:
                found = await client.get(API_SERVICES, NAME)
                conditions = found["status"].get("conditions") or []
                return any(one["type"] == "Available" and one["status"] == "True" for one in conditions)

            await eventually(available)
            flunder = {"apiVersion": f"{GROUP}/v1", "kind": "Flunder",
                       "metadata": {"name": "rest-flunder", "labels": {"sample-label": "true"}}}
            made = await call(server, "POST", FLUNDERS, flunder)
            assert made.status == 201
            listed = await read(server, FLUNDERS)
            assert [one["metadata"]["name"] for one in listed["items"]] == ["rest-flunder"]
            table = await read(server, FLUNDERS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
            assert table["rows"][0]["cells"][0] == "rest-flunder"
            assert (await call(server, "DELETE", f"{FLUNDERS}/rest-flunder")).status == 200
            assert (await read(server, FLUNDERS))["items"] == []
            dynamic = Resource(GROUP, "v1", "flunders", "Flunder")
            await client.create(dynamic, {"metadata": {"name": "dynamic-flunder"}}, "default")
            assert len((await client.list(dynamic, "default"))["items"]) == 1
            await client.delete(dynamic, "dynamic-flunder", "default")

            async def discovered() -> bool:
                groups = document(await call(server, "GET", "/apis"))["groups"]
                return GROUP in [one["name"] for one in groups]

            await eventually(discovered)
            resources = (await read(server, f"/apis/{GROUP}/v1"))["resources"]
            assert {"flunders", "flunders/status"} <= {one["name"] for one in resources}
            await _an_api_service_is_an_object(server, client)


async def _an_api_service_is_an_object(server: Any, client: Any) -> None:
    """Its status is read, updated and patched; it is listed and deleted by label."""
    path = f"/apis/apiregistration.k8s.io/v1/apiservices/{NAME}/status"
    found = document(await call(server, "GET", path))
    updated = {"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    found["status"]["conditions"].append(updated)
    answer = await call(server, "PUT", path, found)
    assert answer.status == 200 and "StatusUpdated" in answer.body.decode()
    patched = await call(server, "PATCH", path, {"status": {"conditions": [
        *document(answer)["status"]["conditions"], {**updated, "type": "StatusPatched"},
    ]}}, headers=MERGE)
    assert patched.status == 200 and "StatusPatched" in patched.body.decode()
    await client.patch(API_SERVICES, NAME, {"metadata": {"labels": {"patched": "yes"}}}, type="merge")
    listed = await client.list(API_SERVICES, label_selector="patched=yes")
    assert [one["metadata"]["name"] for one in listed["items"]] == [NAME]
    path = "/apis/apiregistration.k8s.io/v1/apiservices?labelSelector=patched=yes"
    assert (await call(server, "DELETE", path)).status == 200

    async def gone() -> bool:
        try:
            await client.get(API_SERVICES, NAME)
        except NotFound:
            return (await call(server, "GET", FLUNDERS)).status == 404
        return False

    await eventually(gone)
