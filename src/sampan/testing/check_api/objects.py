"""Objects: what create, get and update give, keep and refuse."""

from __future__ import annotations

import re
from typing import Final

from sampan.testing.check_api.endpoint import Check, Endpoint, deployment


async def a_created_object_is_named_dated_and_numbered(api: Endpoint) -> None:
    answer = await api.call("POST", "configmaps", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    found = answer.document
    metadata = found["metadata"]
    assert answer.code == 201 and (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["resourceVersion"] and metadata["namespace"] == api.namespace
    assert await api.ok("GET", "configmaps/a") == found


async def what_a_client_may_not_set_is_ignored(api: Endpoint) -> None:
    found = await api.config_map("a", uid="mine", creationTimestamp="2001-01-01T00:00:00Z")
    metadata = found["metadata"]
    assert metadata["uid"] != "mine" and not metadata["creationTimestamp"].startswith("2001")


async def a_name_is_taken_once(api: Endpoint) -> None:
    await api.config_map("a")
    status = await api.refused("409 AlreadyExists", "POST", "configmaps", {"metadata": {"name": "a"}})
    assert status["message"] == 'configmaps "a" already exists'
    assert status["details"] == {"name": "a", "kind": "configmaps"}


async def a_name_is_made_from_a_prefix(api: Endpoint) -> None:
    found = await api.ok("POST", "configmaps", {"metadata": {"generateName": "made-"}})
    assert re.fullmatch(r"made-[a-z0-9]{5}", found["metadata"]["name"])


async def what_is_not_there_is_not_found(api: Endpoint) -> None:
    status = await api.refused("404 NotFound", "GET", "configmaps/none")
    assert status["message"] == 'configmaps "none" not found'
    await api.refused("404 NotFound", "PUT", "configmaps/none", {"metadata": {"name": "none"}})
    await api.refused("404 NotFound", "DELETE", "configmaps/none")


async def a_stale_update_is_a_conflict_and_a_blind_one_is_not(api: Endpoint) -> None:
    old = await api.config_map("a", {"k": "1"})
    newer = await api.ok("PUT", "configmaps/a", {**old, "data": {"k": "2"}})
    assert newer["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
    status = await api.refused("409 Conflict", "PUT", "configmaps/a", {**old, "data": {"k": "3"}})
    assert "the object has been modified; please apply your changes to the latest version" in status["message"]
    blind = await api.ok("PUT", "configmaps/a", {"metadata": {"name": "a"}, "data": {"k": "4"}})
    assert blind["data"] == {"k": "4"} and blind["metadata"]["uid"] == old["metadata"]["uid"]


async def an_update_that_changes_nothing_takes_no_version(api: Endpoint) -> None:
    old = await api.config_map("a", {"k": "1"})
    same = await api.ok("PUT", "configmaps/a", old)
    assert same["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]


async def a_dry_run_answers_and_stores_nothing(api: Endpoint) -> None:
    answer = await api.call("POST", "configmaps?dryRun=All", {"metadata": {"name": "a"}})
    assert answer.code == 201 and answer.document["metadata"]["uid"]
    await api.refused("404 NotFound", "GET", "configmaps/a")
    await api.config_map("b", {"k": "1"})
    await api.ok("PUT", "configmaps/b?dryRun=All", {"metadata": {"name": "b"}, "data": {"k": "2"}})
    await api.ok("DELETE", "configmaps/b?dryRun=All")
    assert (await api.ok("GET", "configmaps/b"))["data"] == {"k": "1"}
    assert (await api.call("POST", "configmaps?dryRun=Some", {"metadata": {"name": "c"}})).code in (400, 422)


async def unknown_fields_are_refused_warned_of_or_dropped(api: Endpoint) -> None:
    body = {"metadata": {"name": "a"}, "dada": {}}
    status = await api.refused("400 BadRequest", "POST", "configmaps?fieldValidation=Strict", body)
    assert 'unknown field "dada"' in status["message"]
    warned = await api.call("POST", "configmaps?fieldValidation=Warn", body)
    assert warned.code == 201 and 'unknown field \\"dada\\"' in warned.headers.get("warning", "")
    ignored = await api.call("POST", "configmaps?fieldValidation=Ignore", {**body, "metadata": {"name": "b"}})
    assert ignored.code == 201 and "warning" not in ignored.headers and "dada" not in ignored.document


async def a_field_that_is_given_twice_is_refused_when_strict(api: Endpoint) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"k":"1"},"data":{"k":"2"}}'
    status = await api.refused("400 BadRequest", "POST", "configmaps?fieldValidation=Strict", body)
    assert 'duplicate field "data"' in status["message"]


async def an_invalid_object_is_told_every_field_that_is_wrong(api: Endpoint) -> None:
    body = deployment("a")
    body["metadata"]["name"] = "A_b"
    body["spec"]["replicas"] = -1
    status = await api.refused("422 Invalid", "POST", "apps/v1 deployments", body)
    fields = {cause["field"] for cause in status["details"]["causes"]}
    assert {"metadata.name", "spec.replicas"} <= fields
    assert status["details"]["group"] == "apps" and status["message"].startswith('Deployment.apps "A_b" is invalid: ')


async def a_body_of_the_wrong_type_is_a_bad_request(api: Endpoint) -> None:
    await api.refused("400 BadRequest", "POST", "configmaps", b'{"metadata": {"name": ')
    await api.refused("400 BadRequest", "POST", "configmaps", {"kind": "Secret", "apiVersion": "v1"})
    headers = {"content-type": "text/csv"}
    await api.refused("415 UnsupportedMediaType", "POST", "configmaps", b"a,b", headers)


async def the_namespace_of_the_url_counts(api: Endpoint) -> None:
    body = {"metadata": {"name": "a", "namespace": "another"}}
    await api.refused("400 BadRequest", "POST", "configmaps", body)
    path = "/api/v1/namespaces/check-api-none/configmaps"
    status = await api.refused("404 NotFound", "POST", path, {"metadata": {"name": "a"}})
    assert status["message"] == 'namespaces "check-api-none" not found'


async def a_generation_counts_changes_of_the_spec(api: Endpoint) -> None:
    first = await api.ok("POST", "apps/v1 deployments", deployment("a"))
    first["spec"]["minReadySeconds"] = 5
    second = await api.ok("PUT", "apps/v1 deployments/a?fieldManager=me", {
        **first, "metadata": {**first["metadata"], "resourceVersion": ""}
    })
    second["metadata"].update(labels={"a": "b"}, resourceVersion="")
    third = await api.ok("PUT", "apps/v1 deployments/a", second)
    assert [first["metadata"]["generation"], second["metadata"]["generation"]] == [1, 2]
    assert third["metadata"]["generation"] == 2


async def an_immutable_object_stays_as_it_is(api: Endpoint) -> None:
    await api.ok("POST", "configmaps", {"metadata": {"name": "a"}, "data": {"k": "1"}, "immutable": True})
    body = {"metadata": {"name": "a"}, "data": {"k": "2"}, "immutable": True}
    status = await api.refused("422 Invalid", "PUT", "configmaps/a", body)
    assert "field is immutable when `immutable` is set" in status["message"]


CHECKS: Final[tuple[Check, ...]] = (
    a_created_object_is_named_dated_and_numbered, what_a_client_may_not_set_is_ignored, a_name_is_taken_once,
    a_name_is_made_from_a_prefix, what_is_not_there_is_not_found, a_stale_update_is_a_conflict_and_a_blind_one_is_not,
    an_update_that_changes_nothing_takes_no_version, a_dry_run_answers_and_stores_nothing,
    unknown_fields_are_refused_warned_of_or_dropped, a_field_that_is_given_twice_is_refused_when_strict,
    an_invalid_object_is_told_every_field_that_is_wrong, a_body_of_the_wrong_type_is_a_bad_request,
    the_namespace_of_the_url_counts, a_generation_counts_changes_of_the_spec, an_immutable_object_stays_as_it_is,
)
