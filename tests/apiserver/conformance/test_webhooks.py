"""What upstream's tests of admission webhooks ask, where tests/apiserver/admission/test_webhooks.py does not.

Each is a scenario of upstream's, with its own words: compliant and non-compliant objects, lists of configurations that
are deleted as a collection, custom resources that change their storage version between two mutations.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.apiserver.admission.test_webhooks import configure, mutating, validating, webhook
from tests.apiserver.extensions.definitions import CRONTABS, crontab, definition, establish, until, version
from tests.apiserver.serving import call, config_map, document, pod, serving
from tests.apiserver.webhooks.hook_server import HookServer, allowed, hook_server, patching

from sampan.api.resources import (
    CONFIG_MAPS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    NAMESPACES,
    PODS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from sampan.api.resources import CUSTOM_RESOURCE_DEFINITIONS as CRDS
from sampan.apimachinery.errors import APIError, InternalError
from sampan.apimachinery.resource import Resource
from sampan.apiserver.server import APIServer
from sampan.client.client import Client

GROUP = "admissionregistration.k8s.io"
KINDS = {"mutating": MUTATING_WEBHOOK_CONFIGURATIONS, "validating": VALIDATING_WEBHOOK_CONFIGURATIONS}
Cluster = tuple[APIServer, Client]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with serving() as found:
        yield found


@pytest.fixture
async def hook() -> AsyncIterator[HookServer]:
    async with hook_server() as server:
        server.answers["/"] = allowed
        server.answers["/deny"] = _denied
        server.answers["/disallow"] = _disallow_marked
        for stage, wanted in (("1", "mutation-start"), ("2", "mutation-stage-1")):
            server.answers[f"/stage-{stage}"] = _stage(f"mutation-stage-{stage}", wanted)
        yield server


def _denied(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": False, "status": {"message": "this webhook denies all requests"}}


def _disallow_marked(request: dict[str, Any]) -> dict[str, Any]:
    found = request["object"] or request["oldObject"]
    data = found.get("data") or found.get("spec") or {}
    if data.get("webhook-e2e-test") == "webhook-disallow":
        return {"allowed": False, "status": {"message": "the object contains unwanted key and value"}}
    return {"allowed": True}


def _stage(adds: str, wants: str) -> Any:
    """Adds a key to `data` if another one is there."""

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if (request["object"].get("data") or {}).get(wants) != "yes":
            return {"allowed": True}
        found: dict[str, Any] = patching({"op": "add", "path": f"/data/{adds}", "value": "yes"})(request)
        return found

    return answer


def rule(resource: str, *operations: str, group: str = "", version: str = "*") -> list[dict[str, Any]]:
    return [{"operations": list(operations), "apiGroups": [group], "apiVersions": [version], "resources": [resource]}]


async def refusal(attempt: Any) -> str:
    with pytest.raises(APIError) as refused:
        await attempt
    return str(refused.value.message)


@pytest.mark.parametrize("sort", list(KINDS))
async def test_configurations_are_listed_and_deleted_as_a_collection(
    cluster: Cluster, hook: HookServer, sort: str
) -> None:
    server, client = cluster
    resource = KINDS[sort]
    for number in range(10):
        one = webhook(hook, "/stage-1" if sort == "mutating" else "/disallow", name=f"hook{number}.example.com")
        await client.create(resource, {
            "apiVersion": resource.api_version, "kind": resource.kind, "webhooks": [one],
            "metadata": {"name": f"c{number}", "labels": {"e2e-list-test-uuid": "1"}},
        })
    assert len((await client.list(resource, label_selector="e2e-list-test-uuid=1"))["items"]) == 10
    marked = {"mutation-start": "yes", "webhook-e2e-test": "webhook-disallow"}
    if sort == "mutating":
        created = await client.create(CONFIG_MAPS, config_map("a", **marked))
        assert created["data"]["mutation-stage-1"] == "yes"
    else:
        assert "unwanted key" in await refusal(client.create(CONFIG_MAPS, config_map("a", **marked)))
    path = f"/apis/{GROUP}/v1/{resource.plural}?labelSelector=e2e-list-test-uuid=1"
    assert (await call(server, "DELETE", path)).status == 200
    assert (await client.list(resource))["items"] == []
    created = await client.create(CONFIG_MAPS, config_map("b", **marked))
    assert created["data"] == marked


@pytest.mark.parametrize("sort", list(KINDS))
async def test_a_webhook_follows_updates_and_patches_of_its_rules(
    cluster: Cluster, hook: HookServer, sort: str
) -> None:
    _, client = cluster
    resource = KINDS[sort]
    one = webhook(hook, "/stage-1" if sort == "mutating" else "/disallow", rules=rule("configmaps", "CREATE"))
    await configure(client, resource, one)
    marked = {"mutation-start": "yes", "webhook-e2e-test": "webhook-disallow"}

    async def acts(name: str) -> bool:
        try:
            created = await client.create(CONFIG_MAPS, config_map(name, **marked))
        except APIError:
            return True
        return bool(created["data"] != marked)

    assert await acts("a")
    found = await client.get(resource, "hooks")
    found["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    await client.update(resource, found)
    await client.list(CONFIG_MAPS)
    assert not await acts("b")
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    await client.patch(resource, "hooks", patch, type="json")
    await client.list(CONFIG_MAPS)
    assert await acts("c")


@pytest.mark.parametrize("sort", list(KINDS))
async def test_match_conditions_are_kept_updated_and_must_compile(
    cluster: Cluster, hook: HookServer, sort: str
) -> None:
    _, client = cluster
    resource = KINDS[sort]
    conditions = [{"name": "expression-1", "expression": "object.metadata.namespace == 'production'"}]
    await configure(client, resource, webhook(hook, matchConditions=conditions))
    found = await client.get(resource, "hooks")
    assert found["webhooks"][0]["matchConditions"] == conditions
    found["webhooks"][0]["matchConditions"] = [
        {"name": "expression-1", "expression": "object.metadata.namespace == 'staging'"},
        {"name": "expression-2", "expression": "object.metadata.name == 'skip-me'"},
    ]
    await client.update(resource, found)
    assert (await client.get(resource, "hooks"))["webhooks"] == found["webhooks"]
    broken = webhook(hook, matchConditions=[{"name": "x", "expression": "... [] bad expression"}])
    assert "compilation failed" in await refusal(configure(client, resource, broken, name="other"))


async def test_everything_is_mutated_but_what_a_condition_excepts(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    conditions = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    await mutating(client, webhook(hook, "/stage-1", matchConditions=conditions))
    skipped = await client.create(CONFIG_MAPS, config_map("skip-me", **{"mutation-start": "yes"}))
    assert skipped["data"] == {"mutation-start": "yes"}
    created = await client.create(CONFIG_MAPS, config_map("other", **{"mutation-start": "yes"}))
    assert created["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes"}


async def test_objects_that_do_not_comply_are_refused_however_they_come(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    skipping = {"key": "skip-webhook", "operator": "NotIn", "values": ["yes"]}
    exempt = {"namespaceSelector": {"matchExpressions": [skipping]}}
    await validating(client, webhook(hook, "/disallow", **exempt), name="maps")
    hook.answers["/pods"] = lambda request: {
        "allowed": request["object"]["metadata"]["name"] != "disallowed-pod",
        "status": {"message": "the pod contains unwanted container name; the pod contains unwanted label"},
    }
    await validating(client, webhook(hook, "/pods", rules=rule("pods", "CREATE"), **exempt), name="pods")
    words = await refusal(client.create(PODS, pod("disallowed-pod")))
    assert "unwanted container name" in words and "unwanted label" in words
    bad = {"webhook-e2e-test": "webhook-disallow"}
    assert "unwanted key and value" in await refusal(client.create(CONFIG_MAPS, config_map("a", **bad)))
    found = await client.create(CONFIG_MAPS, config_map("a", admit="this"))
    assert "unwanted key" in await refusal(client.update(CONFIG_MAPS, {**found, "data": bad}))
    assert "unwanted key" in await refusal(client.patch(CONFIG_MAPS, "a", {"data": bad}, "default", type="merge"))
    await client.create(NAMESPACES, {"metadata": {"name": "free", "labels": {"skip-webhook": "yes"}}})
    await client.create(CONFIG_MAPS, {**config_map("a", **bad), "metadata": {"name": "a"}}, "free")


async def test_attaching_is_denied(cluster: Cluster, hook: HookServer) -> None:
    server, client = cluster
    await validating(client, webhook(hook, "/deny", rules=rule("pods/attach", "CONNECT")))
    await client.create(PODS, pod("to-be-attached"))
    path = "/api/v1/namespaces/default/pods/to-be-attached/attach?container=main&stdout=true"
    answer = await call(server, "POST", path, headers={"connection": "Upgrade", "upgrade": "SPDY/3.1"})
    assert "this webhook denies all requests" in document(answer)["message"]
    [review] = hook.reviews
    assert review["request"]["operation"] == "CONNECT" and review["request"]["subResource"] == "attach"
    assert review["request"]["object"]["kind"] == "PodAttachOptions"
    assert review["request"]["object"]["container"] == "main" and review["request"]["object"]["stdout"] is True


async def test_a_webhook_that_cannot_be_reached_refuses_without_exception(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    await client.create(NAMESPACES, {"metadata": {"name": "closed", "labels": {"closed": "yes"}}})
    broken = {**webhook(hook), "namespaceSelector": {"matchLabels": {"closed": "yes"}}, "failurePolicy": "Fail"}
    broken["clientConfig"] = {**hook.client(), "caBundle": ""}
    await validating(client, broken)
    made = {**config_map("a"), "metadata": {"name": "a"}}
    with pytest.raises(InternalError, match="failed calling webhook"):
        await client.create(CONFIG_MAPS, made, "closed")
    await client.create(CONFIG_MAPS, config_map("a"))


async def test_configurations_of_webhooks_are_neither_mutated_nor_held(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    about = [{"operations": ["*"], "apiGroups": [GROUP], "apiVersions": ["*"], "resources": ["*"]}]
    hook.answers["/label"] = patching({"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}})
    await validating(client, webhook(hook, "/deny", rules=about), name="deny")
    await mutating(client, webhook(hook, "/label", rules=about), name="mutate")
    for resource in KINDS.values():
        await configure(client, resource, webhook(hook), name="dummy")
        assert "labels" not in (await client.get(resource, "dummy"))["metadata"]
        await client.delete(resource, "dummy")
    assert hook.reviews == []


async def test_two_mutations_in_their_order(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    await mutating(
        client, webhook(hook, "/stage-1", name="adding-1.example.com"),
        webhook(hook, "/stage-2", name="adding-2.example.com"),
    )
    created = await client.create(CONFIG_MAPS, config_map("a", **{"mutation-start": "yes"}))
    assert created["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


async def test_what_a_mutation_adds_to_a_pod_is_defaulted(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    added = {"name": "webhook-added-init-container", "image": "busybox"}
    hook.answers["/init"] = patching({"op": "add", "path": "/spec/initContainers", "value": [added]})
    await mutating(client, webhook(hook, "/init", rules=rule("pods", "CREATE")))
    [found] = (await client.create(PODS, pod("webhook-to-be-mutated")))["spec"]["initContainers"]
    assert found["name"] == added["name"] and found["terminationMessagePolicy"] == "File"
    assert found["imagePullPolicy"] == "Always"


DATA = {"type": "object", "properties": {key: {"type": "string"} for key in (
    "mutation-start", "mutation-stage-1", "mutation-stage-2", "webhook-e2e-test",
)}}


def tabs(data: Any = DATA, **more: Any) -> dict[str, Any]:
    """A version whose objects have `data`."""
    return version(schema={"openAPIV3Schema": {"type": "object", "properties": {"data": data}}}, **more)


def tab(name: str, **data: str) -> dict[str, Any]:
    found = crontab(name)
    found.pop("spec")
    return {**found, "data": data}


def about_tabs(hook: HookServer, path: str, *operations: str, name: str = "a.example.com") -> dict[str, Any]:
    return webhook(hook, path, name=name, rules=rule("crontabs", *operations, group="stable.example.com"))


async def test_custom_resources_are_denied_creation_update_and_deletion(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    await establish(client, tabs())
    await validating(client, about_tabs(hook, "/disallow", "CREATE", "UPDATE", "DELETE"))
    bad = {"webhook-e2e-test": "webhook-disallow"}
    assert "unwanted key and value" in await refusal(client.create(CRONTABS, tab("a", **bad)))
    await client.create(CRONTABS, tab("a", **{"webhook-e2e-test": "webhook-allow"}))
    patch = client.patch(CRONTABS, "a", {"data": bad}, "default", type="merge")
    assert "unwanted key and value" in await refusal(patch)
    await client.delete(VALIDATING_WEBHOOK_CONFIGURATIONS, "hooks")
    await client.list(CRONTABS)  # a consistent read: the server's caches have caught up
    await client.patch(CRONTABS, "a", {"data": bad}, "default", type="merge")
    await validating(client, about_tabs(hook, "/disallow", "DELETE"))
    assert "unwanted key and value" in await refusal(client.delete(CRONTABS, "a", "default"))
    await client.patch(CRONTABS, "a", {"data": {"webhook-e2e-test": "fine"}}, "default", type="merge")
    await client.delete(CRONTABS, "a", "default")


async def test_a_definition_is_denied(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    rules = rule("customresourcedefinitions", "CREATE", group="apiextensions.k8s.io")
    marked = {"objectSelector": {"matchLabels": {"crd-webhook": "yes"}}}
    await validating(client, webhook(hook, "/deny", rules=rules, **marked))
    refused = definition()
    refused["metadata"]["labels"] = {"crd-webhook": "yes"}
    assert "this webhook denies all requests" in await refusal(client.create(CRDS, refused))
    await establish(client)


@pytest.mark.parametrize(("known", "left"), [
    (DATA, {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}),
    ({"type": "object", "properties": {"mutation-start": {"type": "string"}, "mutation-stage-1": {"type": "string"}}},
     {"mutation-start": "yes", "mutation-stage-1": "yes"}),
])
async def test_custom_resources_are_mutated_and_pruned(
    cluster: Cluster, hook: HookServer, known: Any, left: dict[str, str]
) -> None:
    _, client = cluster
    await establish(client, tabs(known))
    await mutating(
        client, about_tabs(hook, "/stage-1", "CREATE", name="one.example.com"),
        about_tabs(hook, "/stage-2", "CREATE", name="two.example.com"),
    )
    created = await client.create(CRONTABS, tab("a", **{"mutation-start": "yes"}))
    assert created["data"] == left
    assert (await client.get(CRONTABS, "a", "default"))["data"] == left


async def test_a_mutation_goes_on_after_the_storage_version_changed(cluster: Cluster, hook: HookServer) -> None:
    _, client = cluster
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await establish(client, tabs(loose), tabs(loose, name="v2", storage=False))
    await mutating(client, about_tabs(hook, "/stage-1", "CREATE", "UPDATE"))
    await client.create(CRONTABS, tab("a", **{"mutation-start": "yes"}))
    await client.patch(CRDS, "crontabs.stable.example.com", {"spec": {"versions": [
        tabs(loose, storage=False), tabs(loose, name="v2"),
    ]}})

    async def stored() -> bool:
        status = (await client.get(CRDS, "crontabs.stable.example.com"))["status"]
        return bool(status["storedVersions"] == ["v1", "v2"])

    await until(stored)
    second = Resource("stable.example.com", "v2", "crontabs", "CronTab")
    for resource, value in ((CRONTABS, "one"), (second, "two")):
        patched = await client.patch(resource, "a", {"data": {"dummy": value}}, "default", type="merge")
        assert patched["data"] == {"mutation-start": "yes", "mutation-stage-1": "yes", "dummy": value}


async def test_webhooks_are_in_the_documents_of_discovery(cluster: Cluster) -> None:
    server, _ = cluster
    groups = {one["name"]: one for one in document(await call(server, "GET", "/apis"))["groups"]}
    assert f"{GROUP}/v1" in [one["groupVersion"] for one in groups[GROUP]["versions"]]
    names = [one["name"] for one in document(await call(server, "GET", f"/apis/{GROUP}/v1"))["resources"]]
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= set(names)


@pytest.mark.parametrize(("timeout_s", "policy", "waits_s", "passes"), [
    (1, "Fail", 5, False), (1, "Ignore", 5, True), (10, "Fail", 0, True), (None, "Fail", 0, True),
])
async def test_a_timeout_counts_as_the_failure_policy_says(
    cluster: Cluster, hook: HookServer, timeout_s: int | None, policy: str, waits_s: int, passes: bool
) -> None:
    _, client = cluster
    more: dict[str, Any] = {} if timeout_s is None else {"timeoutSeconds": timeout_s}
    await validating(client, webhook(hook, failurePolicy=policy, **more))
    found = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, "hooks")
    assert found["webhooks"][0]["timeoutSeconds"] == (timeout_s or 10)
    if waits_s:
        hook.gate.clear()
    if passes:
        await client.create(CONFIG_MAPS, config_map("a"))
    else:
        words = await refusal(client.create(CONFIG_MAPS, config_map("a")))
        assert "webhook" in words and "deadline" in words
