"""Objects as tables over the wire: rows, conditions, order, what a row carries of its object."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, PODS
from sampan.apiserver.server import APIServer

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def table(server: APIServer, target: str, accept: str = TABLE) -> Any:
    return document(await call(server, "GET", target, headers={"accept": accept}))


async def test_columns_are_described_by_the_documentation_of_their_fields() -> None:
    async with serving() as (server, _):
        shown = await table(server, "/api/v1/services")
        columns = {one["name"]: one for one in shown["columnDefinitions"]}
        assert columns["Name"]["description"].startswith("Name must be unique within a namespace.")
        assert columns["Name"]["format"] == "name"
        assert columns["Age"]["description"].startswith("CreationTimestamp is a timestamp representing the server time")
        assert columns["Cluster-IP"]["description"].startswith("clusterIP is the IP address of the service")
        assert set(columns["Selector"]) == {"name", "type", "format", "description", "priority"}


@pytest.mark.parametrize(("include", "carried"), [
    ("", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}),
    ("Metadata", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}),
    ("Object", {"kind": "ConfigMap", "apiVersion": "v1", "data": {"k": "v"}}),
    ("None", None),
])
async def test_what_a_row_carries(include: str, carried: dict[str, Any] | None) -> None:
    async with serving() as (server, client):
        await client.create(CONFIG_MAPS, config_map("a", k="v"))
        path = "/api/v1/namespaces/default/configmaps"
        for target in (f"{path}?includeObject={include}", f"{path}/a?includeObject={include}"):
            row = next(one for one in (await table(server, target))["rows"] if one["cells"][0] == "a")
            if carried is None:
                assert row.get("object") is None
            else:
                found = row["object"]
                assert found.pop("metadata")["name"] == "a"
                assert found == carried


async def test_an_unknown_include_is_refused() -> None:
    async with serving() as (server, _):
        answer = await call(server, "GET", "/api/v1/pods?includeObject=All", headers={"accept": TABLE})
        assert answer.status == 400 and "includeObject" in document(answer)["message"]


async def test_a_pod_that_has_ended_says_so_in_its_row() -> None:
    async with serving() as (server, client):
        await client.create(PODS, pod("a"))
        await client.create(PODS, pod("b"))
        await client.patch(PODS, "a", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
        rows = {one["cells"][0]: one for one in (await table(server, "/api/v1/namespaces/default/pods"))["rows"]}
        assert [one["type"] for one in rows["a"]["conditions"]] == ["Completed"]
        assert "conditions" not in rows["b"]


async def test_flow_schemas_are_listed_in_the_order_in_which_they_are_tried() -> None:
    async with serving(authorization=True) as (server, _):
        shown = await table(server, "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas")
        order = [(row["cells"][2], row["cells"][0]) for row in shown["rows"]]
        assert order == sorted(order) and order[0] == (1, "exempt") and order[-1] == (10000, "catch-all")


def widgets(*columns: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        **({"additionalPrinterColumns": list(columns)} if columns else {}),
    }
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        },
    }


COLUMNS: list[dict[str, Any]] = [
    {"name": "Spec", "type": "string", "jsonPath": ".spec.text"},
    {"name": "Count", "type": "integer", "jsonPath": ".spec.count", "description": "How many.", "priority": 1},
    {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
    {"name": "Share", "type": "number", "jsonPath": ".spec.share", "format": "double"},
    {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
    {"name": "List", "type": "string", "jsonPath": ".spec.list"},
]
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


async def test_the_columns_of_custom_resources() -> None:
    async with serving() as (server, client):
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, widgets(*COLUMNS))
        await server.hub.fresh()
        full = {"text": "t", "count": 3, "on": True, "share": 0.5, "since": "2020-01-01T00:00:00Z", "list": [1, "b"]}
        wrong = {"text": 5, "count": "3", "on": "yes", "share": "x", "since": "tomorrow", "list": {}}
        for name, spec in (("empty", {}), ("full", full), ("wrong", wrong)):
            body = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": name}, "spec": spec}
            assert (await call(server, "POST", WIDGETS, body)).status == 201
        await server.hub.fresh()
        shown = await table(server, WIDGETS)
        assert [(one["name"], one["type"], one["format"], one["priority"], one["description"])
                for one in shown["columnDefinitions"][1:]] == [
            ("Spec", "string", "", 0, "Custom resource definition column (in JSONPath format): .spec.text"),
            ("Count", "integer", "", 1, "How many."),
            ("On", "boolean", "", 0, "Custom resource definition column (in JSONPath format): .spec.on"),
            ("Share", "number", "double", 0, "Custom resource definition column (in JSONPath format): .spec.share"),
            ("Since", "date", "", 0, "Custom resource definition column (in JSONPath format): .spec.since"),
            ("List", "string", "", 0, "Custom resource definition column (in JSONPath format): .spec.list"),
        ]
        rows = {one["cells"][0]: one["cells"][1:] for one in shown["rows"]}
        assert rows["empty"] == [None] * 6
        assert rows["full"][:4] == ["t", 3, True, 0.5] and rows["full"][4].endswith("d") | rows["full"][4].endswith("y")
        assert rows["full"][5] == '[1,"b"]'
        assert rows["wrong"] == ["5", None, None, None, "<invalid>", "{}"]


async def test_custom_resources_without_columns_show_their_age() -> None:
    async with serving() as (server, client):
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, widgets())
        await server.hub.fresh()
        columns = (await table(server, WIDGETS))["columnDefinitions"]
        assert [(one["name"], one["type"], one["format"]) for one in columns] == [
            ("Name", "string", "name"), ("Age", "date", ""),
        ]
