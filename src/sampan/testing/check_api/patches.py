"""Patches: the three kinds, and server-side apply."""

from __future__ import annotations

from typing import Any, Final

from sampan.apimachinery.object import Object
from sampan.testing.check_api.endpoint import MERGE, Check, Endpoint, deployment

JSON = {"content-type": "application/json-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}


async def _apply(api: Endpoint, manager: str, data: dict[str, str], options: str = "") -> Any:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    return await api.ok("PATCH", f"configmaps/a?fieldManager={manager}{options}", body, APPLY)


def _managers(obj: Object) -> set[tuple[str, str]]:
    return {(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", [])}


async def a_merge_patch_sets_and_removes(api: Endpoint) -> None:
    await api.config_map("a", {"k": "1", "l": "2"})
    found = await api.ok("PATCH", "configmaps/a", {"data": {"k": None, "m": "3"}}, MERGE)
    assert found["data"] == {"l": "2", "m": "3"}


async def a_json_patch_is_all_or_nothing(api: Endpoint) -> None:
    await api.config_map("a", {"k": "1"})
    operations: list[Object] = [
        {"op": "test", "path": "/data/k", "value": "1"}, {"op": "add", "path": "/data/l", "value": "2"},
        {"op": "remove", "path": "/data/k"},
    ]
    assert (await api.ok("PATCH", "configmaps/a", operations, JSON))["data"] == {"l": "2"}
    failing = [{"op": "add", "path": "/data/m", "value": "3"}, {"op": "test", "path": "/data/l", "value": "9"}]
    await api.refused("422 Invalid", "PATCH", "configmaps/a", failing, JSON)
    assert (await api.ok("GET", "configmaps/a"))["data"] == {"l": "2"}


async def a_strategic_patch_merges_lists_by_their_keys(api: Endpoint) -> None:
    await api.ok("POST", "apps/v1 deployments", deployment("a"))
    containers: list[Object] = [{"name": "main", "env": [{"name": "A", "value": "1"}]}, {"name": "b", "image": "i"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    found = await api.ok("PATCH", "apps/v1 deployments/a", patch, STRATEGIC)
    result = {one["name"]: one for one in found["spec"]["template"]["spec"]["containers"]}
    assert result["main"]["image"] == "registry.example/none" and result["main"]["env"] == [{"name": "A", "value": "1"}]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "$patch": "delete"}]}}}}
    found = await api.ok("PATCH", "apps/v1 deployments/a", patch, STRATEGIC)
    assert [one["name"] for one in found["spec"]["template"]["spec"]["containers"]] == ["main"]


async def a_patch_with_an_old_version_is_a_conflict(api: Endpoint) -> None:
    old = await api.config_map("a")
    await api.ok("PATCH", "configmaps/a", {"data": {"k": "1"}}, MERGE)
    stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "data": {"k": "2"}}
    await api.refused("409 Conflict", "PATCH", "configmaps/a", stale, MERGE)


async def apply_creates_and_owns(api: Endpoint) -> None:
    found = await _apply(api, "one", {"k": "1"})
    assert found["data"] == {"k": "1"} and _managers(found) == {("one", "Apply")}
    again = await _apply(api, "one", {"k": "1"})
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


async def a_field_that_is_given_up_disappears(api: Endpoint) -> None:
    await _apply(api, "one", {"k": "1", "l": "2"})
    assert (await _apply(api, "one", {"l": "2"}))["data"] == {"l": "2"}


async def a_field_of_another_is_a_conflict_unless_forced(api: Endpoint) -> None:
    await _apply(api, "one", {"k": "1"})
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "2"}}
    status = await api.refused("409 Conflict", "PATCH", "configmaps/a?fieldManager=two", body, APPLY)
    cause = status["details"]["causes"][0]
    assert cause["reason"] == "FieldManagerConflict" and cause["field"] == ".data.k"
    forced = await _apply(api, "two", {"k": "2"}, "&force=true")
    assert forced["data"] == {"k": "2"} and ("two", "Apply") in _managers(forced)


async def managers_that_agree_share_a_field(api: Endpoint) -> None:
    await _apply(api, "one", {"k": "1"})
    await _apply(api, "two", {"k": "1"})
    assert (await _apply(api, "one", {}))["data"] == {"k": "1"}


async def an_update_is_owned_too(api: Endpoint) -> None:
    found = await api.ok("POST", "configmaps?fieldManager=hand", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    assert _managers(found) == {("hand", "Update")}
    fields = found["metadata"]["managedFields"][0]["fieldsV1"]
    assert "f:k" in fields["f:data"]


async def apply_must_say_who(api: Endpoint) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    answer = await api.call("PATCH", "configmaps/a", body, APPLY)
    assert answer.code in (400, 422) and "fieldManager" in answer.document["message"]


async def an_unknown_kind_of_patch_is_unsupported(api: Endpoint) -> None:
    await api.config_map("a")
    headers = {"content-type": "application/json"}
    await api.refused("415 UnsupportedMediaType", "PATCH", "configmaps/a", {"data": {}}, headers)


CHECKS: Final[tuple[Check, ...]] = (
    a_merge_patch_sets_and_removes, a_json_patch_is_all_or_nothing, a_strategic_patch_merges_lists_by_their_keys,
    a_patch_with_an_old_version_is_a_conflict, apply_creates_and_owns, a_field_that_is_given_up_disappears,
    a_field_of_another_is_a_conflict_unless_forced, managers_that_agree_share_a_field, an_update_is_owned_too,
    apply_must_say_who, an_unknown_kind_of_patch_is_unsupported,
)
