"""Other views of an object: its status, its scale, a row of a table, its metadata, YAML, protobuf."""

from __future__ import annotations

from typing import Final

from sampan.apimachinery.object import Object
from sampan.apimachinery.protobuf import decode_object
from sampan.testing.check_api.endpoint import MERGE, Check, Endpoint, deployment

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def a_status_is_written_by_itself(api: Endpoint) -> None:
    made = await api.ok("POST", "apps/v1 deployments", deployment("a"))
    body = {**made, "spec": {**made["spec"], "minReadySeconds": 9}, "status": {"observedGeneration": 1, "replicas": 3}}
    body["metadata"] = {"name": "a"}
    found = await api.ok("PUT", "apps/v1 deployments/a/status", body)
    assert found["status"]["replicas"] == 3 and "minReadySeconds" not in found["spec"]
    body["status"] = {"replicas": 7}
    found = await api.ok("PUT", "apps/v1 deployments/a", body)
    assert found["spec"]["minReadySeconds"] == 9 and found["status"].get("replicas") != 7


async def a_scale_reads_and_writes_replicas(api: Endpoint) -> None:
    await api.ok("POST", "apps/v1 deployments", deployment("a", 0))
    scale = await api.ok("GET", "apps/v1 deployments/a/scale")
    assert (scale["kind"], scale["apiVersion"], scale["status"]["selector"]) == ("Scale", "autoscaling/v1", "app=a")
    scale["spec"]["replicas"] = 2
    del scale["metadata"]["resourceVersion"]
    await api.ok("PUT", "apps/v1 deployments/a/scale", scale)
    await api.ok("PATCH", "apps/v1 deployments/a/scale", {"spec": {"replicas": 3}}, MERGE)
    assert (await api.ok("GET", "apps/v1 deployments/a"))["spec"]["replicas"] == 3


async def a_table_has_columns_and_rows(api: Endpoint) -> None:
    await api.config_map("a", {"k": "1"}, labels={"ours": "yes"})
    found: Object = await api.ok("GET", "configmaps?labelSelector=ours", None, TABLE)
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    (row,) = found["rows"]
    assert row["cells"][:2] == ["a", 1] and row["object"]["kind"] == "PartialObjectMetadata"


async def metadata_is_served_alone(api: Endpoint) -> None:
    await api.config_map("a", {"k": "1"})
    headers = {"accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    found = await api.ok("GET", "configmaps/a", None, headers)
    assert found["kind"] == "PartialObjectMetadata" and "data" not in found and found["metadata"]["name"] == "a"


async def yaml_is_spoken(api: Endpoint) -> None:
    headers = {"content-type": "application/yaml", "accept": "application/yaml"}
    answer = await api.call("POST", "configmaps", b"metadata: {name: a}\ndata: {k: 'on'}\n", headers)
    assert answer.code == 201 and b"name: a" in answer.body and "yaml" in answer.headers["content-type"]


async def protobuf_is_spoken(api: Endpoint) -> None:
    await api.config_map("a", {"k": "1"})
    answer = await api.call("GET", "configmaps/a", None, {"accept": "application/vnd.kubernetes.protobuf"})
    assert decode_object(answer.body) == await api.ok("GET", "configmaps/a")


async def what_nobody_speaks_is_not_acceptable(api: Endpoint) -> None:
    answer = await api.call("GET", "configmaps", None, {"accept": "text/csv"})
    assert answer.code == 406


CHECKS: Final[tuple[Check, ...]] = (
    a_status_is_written_by_itself, a_scale_reads_and_writes_replicas, a_table_has_columns_and_rows,
    metadata_is_served_alone, yaml_is_spoken, protobuf_is_spoken, what_nobody_speaks_is_not_acceptable,
)
