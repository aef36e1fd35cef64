"""Every built-in kind through every verb: create, get, list, watch, the four patches, update, status, delete.

What conformance tests do to some kinds, one after the other, this does to all. Each write is tried as a dry run first,
which must answer as the real one does and change nothing.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import orjson
import pytest
from tests.apiserver.lifecycle.samples import ALL, identity, sample
from tests.apiserver.serving import call, serving
from tests.standing import Standing

from sampan import effects
from sampan.api.kind import Kind
from sampan.apimachinery.schema.loader import definition
from sampan.apiserver.server import APIServer

each_kind = pytest.mark.parametrize("kind", ALL, ids=identity)
SELECTED: Final = "labelSelector=sample=yes"
PATCHES: Final[dict[str, Callable[[str], Any]]] = {
    "application/json-patch+json": lambda by: [{"op": "add", "path": "/metadata/annotations", "value": {"by": by}}],
    "application/merge-patch+json": lambda by: {"metadata": {"annotations": {"by": by}}},
    "application/strategic-merge-patch+json": lambda by: {"metadata": {"annotations": {"by": by}}},
}
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL: Final = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
FINALIZED: Final = frozenset({
    "CustomResourceDefinition", "Job", "Namespace", "PersistentVolume", "PersistentVolumeClaim",
    "ReplicationController",
})
"""Kinds that stay for a while: something has to be finished first, or their children set free."""
FOLLOWED: Final = {"APIService": "Available", "CustomResourceDefinition": "Established"}
"""Kinds whose status the server itself writes, and the condition that ends it."""

STATUS_ALONE: Final = frozenset({
    "APIService", "DeviceTaintRule", "FlowSchema", "PodCertificateRequest", "PodGroup", "PriorityLevelConfiguration",
    "ResourceClaim", "ServiceCIDR", "StorageVersionMigration", "ValidatingAdmissionPolicy", "VolumeAttachment",
})
"""Kinds whose metadata is not written through their status."""


class Objects:
    """The objects of one kind on one server."""

    def __init__(self, server: APIServer, kind: Kind) -> None:
        self.server, self.kind = server, kind
        self.collection = kind.resource.path("default" if kind.resource.namespaced else None)
        self.name = sample(kind)["metadata"]["name"]
        self.path = f"{self.collection}/{self.name}"

    async def ok(self, method: str, target: str, body: Any = None, code: int = 200, **headers: str) -> Any:
        """The document of an answer with this code."""
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        response = await call(self.server, method, target, body, headers=sent)
        assert response.status == code, response.body
        return orjson.loads(response.body)

    async def create(self, place: int = 0) -> Any:
        """A new object, as it is once the server leaves it alone."""
        made = await self.ok("POST", f"{self.collection}?fieldValidation=Strict", sample(self.kind, place), 201)
        last = FOLLOWED.get(self.kind.resource.kind)
        async with asyncio.timeout(60):
            while last and last not in {one["type"] for one in made["status"].get("conditions", [])}:
                await asyncio.sleep(0)
                made = await self.ok("GET", f"{self.collection}/{made['metadata']['name']}")
        return made

    async def now(self) -> Any:
        return await self.ok("GET", self.path)

    async def selected(self) -> list[str]:
        """The names of the samples that nobody is deleting."""
        found = await self.ok("GET", f"{self.collection}?{SELECTED}")
        return [obj["metadata"]["name"] for obj in found["items"] if not obj["metadata"].get("deletionTimestamp")]


@pytest.fixture
async def objects(kind: Kind) -> AsyncIterator[Objects]:
    async with serving() as (server, _):
        yield Objects(server, kind)


def _but_metadata(obj: Any) -> Any:
    return {key: value for key, value in obj.items() if key != "metadata"}


@each_kind
async def test_create(objects: Objects) -> None:
    body, resource = sample(objects.kind), objects.kind.resource
    trial = await objects.ok("POST", f"{objects.collection}?dryRun=All&fieldValidation=Strict", body, 201)
    assert trial["metadata"]["uid"] and "resourceVersion" not in trial["metadata"]
    await objects.ok("GET", objects.path, code=404)
    made = await objects.create()
    assert made == await objects.now()
    metadata = made["metadata"]
    assert metadata["uid"] and metadata["creationTimestamp"] and metadata["resourceVersion"]
    assert {entry["operation"] for entry in metadata["managedFields"]} == {"Update"}
    status = await objects.ok("POST", objects.collection, body, 409)
    assert status["reason"] == "AlreadyExists"
    assert status["message"] == f'{resource.qualified} "{objects.name}" already exists'


@each_kind
async def test_list(objects: Objects) -> None:
    made = [await objects.create(place) for place in (0, 1)]
    names = [obj["metadata"]["name"] for obj in made]
    resource = objects.kind.resource
    for collection in (objects.collection, resource.path(None)):
        found = await objects.ok("GET", f"{collection}?{SELECTED}")
        assert (found["kind"], found["apiVersion"]) == (f"{resource.kind}List", resource.api_version)
        assert [item["metadata"]["name"] for item in found["items"]] == names
    one = await objects.ok("GET", f"{objects.collection}?fieldSelector=metadata.name={names[1]}")
    assert [item["metadata"]["uid"] for item in one["items"]] == [made[1]["metadata"]["uid"]]
    paged = f"{objects.collection}?{SELECTED}&limit=1"
    part = await objects.ok("GET", paged)
    rest = await objects.ok("GET", f"{paged}&continue={part['metadata']['continue']}")
    assert [item["metadata"]["name"] for page in (part, rest) for item in page["items"]] == names
    await objects.ok("GET", f"{objects.collection}?fieldSelector=spec.no=1", code=400)


@each_kind
async def test_tables_and_metadata(objects: Objects) -> None:
    made = await objects.create()
    with effects.use(Standing()):
        table = await objects.ok("GET", f"{objects.collection}?{SELECTED}", accept=TABLE)
        single = await objects.ok("GET", objects.path, accept=TABLE)
    [row] = table["rows"]
    columns = table["columnDefinitions"]
    assert [column["name"] for column in columns] == [column.name for column in objects.kind.columns]
    assert all(column["description"] for column in columns)
    assert row["cells"][[column["format"] for column in columns].index("name")] == objects.name
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert single["rows"][0]["cells"] == row["cells"]
    part = await objects.ok("GET", objects.path, accept=PARTIAL)
    assert part == {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": made["metadata"]}


@each_kind
@pytest.mark.parametrize("media", PATCHES)
async def test_patch(objects: Objects, media: str) -> None:
    made = await objects.create()
    body = orjson.dumps(PATCHES[media]("a"))
    trial = await objects.ok("PATCH", f"{objects.path}?dryRun=All", body, content_type=media)
    assert trial["metadata"]["annotations"]["by"] == "a" and await objects.now() == made
    patched = await objects.ok("PATCH", objects.path, body, content_type=media)
    assert patched["metadata"]["annotations"]["by"] == "a" and await objects.now() == patched
    assert _but_metadata(patched) == _but_metadata(made)
    assert patched["metadata"].get("generation") == made["metadata"].get("generation")
    await objects.ok("PATCH", f"{objects.collection}/none", body, 404, content_type=media)


@each_kind
async def test_apply(objects: Objects) -> None:
    body, target = sample(objects.kind), f"{objects.path}?fieldManager=applier"
    trial = await objects.ok("PATCH", f"{target}&dryRun=All", body, 201, content_type=APPLY)
    assert trial["metadata"]["name"] == objects.name
    await objects.ok("GET", objects.path, code=404)
    made = await objects.ok("PATCH", target, body, 201, content_type=APPLY)
    again = await objects.ok("PATCH", target, body, content_type=APPLY)
    assert made == again
    body["metadata"]["annotations"] = {"by": "a"}
    changed = await objects.ok("PATCH", target, body, content_type=APPLY)
    assert changed["metadata"]["annotations"]["by"] == "a"
    del body["metadata"]["annotations"]
    given_up = await objects.ok("PATCH", target, body, content_type=APPLY)
    assert "by" not in given_up["metadata"].get("annotations", {})


@each_kind
async def test_update(objects: Objects) -> None:
    made = await objects.create()
    wanted = copy.deepcopy(made)
    wanted["metadata"].setdefault("annotations", {})["by"] = "a"
    trial = await objects.ok("PUT", f"{objects.path}?dryRun=All", wanted)
    assert trial["metadata"]["annotations"]["by"] == "a" and await objects.now() == made
    updated = await objects.ok("PUT", objects.path, wanted)
    assert updated == await objects.now() and updated["metadata"]["annotations"]["by"] == "a"
    assert updated["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    stale = {**wanted, "metadata": {**wanted["metadata"], "labels": {}}}
    assert (await objects.ok("PUT", objects.path, stale, 409))["reason"] == "Conflict"
    another = {**updated, "metadata": {**updated["metadata"], "uid": "another"}}
    assert (await objects.ok("PUT", objects.path, another, 409))["reason"] == "Conflict"


def _has_conditions(kind: Kind) -> bool:
    status = definition(kind.definition).child("status")
    return status is not None and "conditions" in status.field_names


@pytest.mark.parametrize("kind", [kind for kind in ALL if "status" in kind.subresources], ids=identity)
async def test_status(objects: Objects) -> None:
    made = await objects.create()
    path = f"{objects.path}/status"
    assert await objects.ok("GET", path) == made
    body: dict[str, Any] = {"metadata": {"annotations": {"by": "a"}}}
    seen = "Denied" if objects.kind.resource.kind == "PodCertificateRequest" else "Seen"
    if _has_conditions(objects.kind):
        body["status"] = {"conditions": [{
            "type": seen, "status": "True", "reason": "Test", "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }]}
    await objects.ok("PATCH", f"{path}?dryRun=All", body, content_type=MERGE)
    assert await objects.now() == made
    patched = await objects.ok("PATCH", path, body, content_type=MERGE)
    assert patched.get("spec") == made.get("spec")
    if "status" in body:
        assert [one for one in patched["status"]["conditions"] if one["type"] == seen]
    ordinary = await objects.ok("PATCH", objects.path, {"status": None}, content_type=MERGE)
    if objects.kind.resource.kind not in FOLLOWED:
        assert ordinary.get("status") == patched.get("status")
    updated = await objects.ok("PUT", path, ordinary)
    assert updated.get("spec") == made.get("spec") and updated.get("status") == ordinary.get("status")


@pytest.mark.parametrize("kind", [kind for kind in ALL if "status" in kind.subresources], ids=identity)
async def test_metadata_through_the_status(objects: Objects) -> None:
    made = await objects.create()
    path, alone = f"{objects.path}/status", made["kind"] in STATUS_ALONE
    body = {"metadata": {"annotations": {"by": "a"}, "finalizers": ["e.com/f"]}}
    patched = await objects.ok("PATCH", path, body, content_type=MERGE)
    assert patched["metadata"].get("annotations", {}).get("by") == (None if alone else "a")
    assert ("e.com/f" in patched["metadata"].get("finalizers", ())) is not alone
    applied = {"apiVersion": made["apiVersion"], "kind": made["kind"],
               "metadata": {"name": objects.name, "annotations": {"mine": "b"}}}
    after = await objects.ok("PATCH", f"{path}?fieldManager=m", applied, content_type=APPLY)
    assert after["metadata"].get("annotations", {}).get("mine") == (None if alone else "b")
    written = {field for entry in after["metadata"]["managedFields"] if entry.get("subresource") == "status"
               for field in entry["fieldsV1"]}
    assert ("f:metadata" in written) is not alone


@each_kind
async def test_delete(objects: Objects) -> None:
    made = await objects.create()
    trial = await objects.ok("DELETE", f"{objects.path}?dryRun=All")
    assert trial["kind"] in ("Status", made["kind"]) and (await objects.now())["metadata"] == made["metadata"]
    another = {"preconditions": {"uid": "another"}}
    assert (await objects.ok("DELETE", objects.path, another, 409))["reason"] == "Conflict"
    await objects.ok("DELETE", objects.path)
    if objects.kind.resource.kind not in FINALIZED:
        assert (await objects.ok("GET", objects.path, code=404))["reason"] == "NotFound"
        assert (await objects.ok("DELETE", objects.path, code=404))["reason"] == "NotFound"


@each_kind
async def test_watch(objects: Objects) -> None:
    made = await objects.create()
    since = made["metadata"]["resourceVersion"]
    changed = await objects.ok("PATCH", objects.path, {"metadata": {"labels": {"b": "c"}}}, content_type=MERGE)
    await objects.ok("DELETE", objects.path)
    target = f"{objects.collection}?watch=true&resourceVersion={since}&{SELECTED}&timeoutSeconds=10"
    response = await call(objects.server, "GET", target)
    seen: list[Any] = []
    assert response.stream is not None
    async for chunk in response.stream:
        seen += map(orjson.loads, chunk.splitlines())
        if len(seen) > 1:
            break
    last = "MODIFIED" if objects.kind.resource.kind in FINALIZED else "DELETED"
    assert [event["type"] for event in seen[:2]] == ["MODIFIED", last]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert seen[0]["object"] == changed and versions[0] < versions[1]


@each_kind
async def test_deletecollection(objects: Objects) -> None:
    if "deletecollection" not in objects.kind.verbs:
        await objects.ok("DELETE", objects.collection, code=405)
        return
    names = [(await objects.create(place))["metadata"]["name"] for place in (0, 1)]
    await objects.ok("DELETE", f"{objects.collection}?{SELECTED}&dryRun=All")
    assert await objects.selected() == names
    await objects.ok("DELETE", f"{objects.collection}?fieldSelector=metadata.name={names[0]}")
    assert await objects.selected() == names[1:]
    await objects.ok("DELETE", f"{objects.collection}?{SELECTED}")
    assert await objects.selected() == []
