"""Admission webhooks: real HTTPS servers on loopback, asked by a whole API server."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.apiserver.serving import call, config_map, pod, serving
from tests.apiserver.webhooks.hook_server import HookServer, allowed, hook_server, patching

from sampan.api.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    NAMESPACES,
    PODS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from sampan.apimachinery.errors import APIError, BadRequest, Forbidden, InternalError
from sampan.apimachinery.resource import Resource
from sampan.apiserver.admission.webhooks.call import Turn
from sampan.apiserver.admission.webhooks.webhook import Webhook
from sampan.apiserver.seams import AdmissionAttributes
from sampan.apiserver.server import ITSELF, APIServer
from sampan.apiserver.webhooks.caller import WebhookCaller
from sampan.client.client import Client

CONFIG_MAP_RULE = {
    "operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "scope": "*",
}
LABEL = {"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}


@pytest.fixture
async def cluster() -> AsyncIterator[tuple[APIServer, Client]]:
    async with serving() as found:
        yield found


@pytest.fixture
async def hook() -> AsyncIterator[HookServer]:
    async with hook_server() as server:
        server.answers["/"] = allowed
        yield server


def webhook(hook: HookServer, path: str = "/", name: str = "a.example.com", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "clientConfig": hook.client(path), "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "rules": [CONFIG_MAP_RULE], **more,
    }


async def configure(
    client: Client, resource: Resource, *webhooks: dict[str, Any], name: str = "hooks"
) -> None:
    await client.create(resource, {
        "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name},
        "webhooks": list(webhooks),
    })
    await client.list(CONFIG_MAPS, namespace="default")  # a consistent read: the server's caches have caught up


async def reconfigure(client: Client, resource: Resource, *webhooks: dict[str, Any]) -> None:
    await client.patch(resource, "hooks", {"webhooks": list(webhooks)})
    await client.list(CONFIG_MAPS, namespace="default")


async def mutating(client: Client, *webhooks: dict[str, Any], name: str = "hooks") -> None:
    await configure(client, MUTATING_WEBHOOK_CONFIGURATIONS, *webhooks, name=name)


async def validating(client: Client, *webhooks: dict[str, Any], name: str = "hooks") -> None:
    await configure(client, VALIDATING_WEBHOOK_CONFIGURATIONS, *webhooks, name=name)


async def test_a_webhook_changes_what_is_stored(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    hook.answers["/label"] = patching(LABEL)
    await mutating(client, webhook(hook, "/label"))
    created = await client.create(CONFIG_MAPS, config_map("one", a="b"))
    assert created["metadata"]["labels"] == {"seen": "yes"}
    assert (await client.get(CONFIG_MAPS, "one", "default"))["metadata"]["labels"] == {"seen": "yes"}


async def test_what_a_webhook_is_asked(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    await validating(client, webhook(hook))
    await client.create(CONFIG_MAPS, config_map("one", a="b"))
    await client.patch(CONFIG_MAPS, "one", {"data": {"a": "c"}}, "default")
    await client.delete(CONFIG_MAPS, "one", "default")
    create, update, delete = (review["request"] for review in hook.reviews)
    assert hook.reviews[0]["apiVersion"] == "admission.k8s.io/v1" and hook.paths[0] == "/?timeout=10s"
    assert create["kind"] == create["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert create["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert (create["operation"], create["name"], create["namespace"]) == ("CREATE", "one", "default")
    assert create["userInfo"]["username"] == "system:apiserver" and create["dryRun"] is False
    assert create["options"]["kind"] == "CreateOptions"
    assert create["object"]["data"] == {"a": "b"} and create["oldObject"] is None
    assert update["object"]["data"] == {"a": "c"} and update["oldObject"]["data"] == {"a": "b"}
    assert delete["object"] is None and delete["oldObject"]["data"] == {"a": "c"}
    assert len({create["uid"], update["uid"], delete["uid"]}) == 3


async def test_a_refusal_bears_the_webhooks_name_and_words(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    answers: list[Any] = [
        ({"message": "too blue", "code": 403, "reason": "Forbidden"}, 403, ": too blue", "Forbidden"),
        ({"reason": "Expired"}, 400, ": Expired", "Expired"),
        ({"code": 200, "status": "Success"}, 400, " without explanation", ""),
        (None, 400, " without explanation", ""),
    ]
    await validating(client, webhook(hook, "/no"))
    for status, code, words, reason in answers:
        hook.answers["/no"] = lambda request, status=status: {"allowed": False, "status": status}  # type: ignore[misc]
        with pytest.raises(APIError) as refusal:
            await client.create(CONFIG_MAPS, config_map("one"))
        assert refusal.value.message == f'admission webhook "a.example.com" denied the request{words}'
        assert refusal.value.status_code == code
        assert refusal.value.to_status().get("reason", "") in (reason, "BadRequest")


async def test_an_unreachable_webhook_refuses_or_is_passed_over(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    nobody = {"url": "https://127.0.0.1:1/", "caBundle": hook.ca_bundle}
    await validating(client, webhook(hook, clientConfig=nobody))
    with pytest.raises(InternalError) as refusal:
        await client.create(CONFIG_MAPS, config_map("one"))
    assert refusal.value.message == (
        'Internal error occurred: failed calling webhook "a.example.com": failed to call webhook: '
        'Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )
    lenient = webhook(hook, clientConfig=nobody, failurePolicy="Ignore")
    await reconfigure(client, VALIDATING_WEBHOOK_CONFIGURATIONS, lenient)
    await client.create(CONFIG_MAPS, config_map("one"))


async def test_a_slow_webhook_is_given_up(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    hook.gate.clear()
    await validating(client, webhook(hook, timeoutSeconds=1))
    with pytest.raises(InternalError, match=r'Post "https://.*\?timeout=1s": context deadline exceeded'):
        await client.create(CONFIG_MAPS, config_map("one"))


@pytest.mark.parametrize(("answer", "words"), [
    (lambda request: web.Response(status=500, text="oops"),
     'failed to call webhook: an error on the server ("oops") has prevented the request from succeeding'),
    (lambda request: web.Response(status=404), "failed to call webhook: the server could not find"),
    (lambda request: web.Response(status=307, headers={"Location": "/elsewhere"}), "rejected our request"),
    (lambda request: web.Response(text="hello"), "json parse error"),
    (lambda request: web.json_response({"kind": "AdmissionReview"}), "webhook response was absent"),
    (lambda request: {"uid": "x", "allowed": True}, "received invalid webhook response: expected response.uid="),
    (lambda request: {"allowed": True, "patch": "W10="}, "response.patch but not response.patchType"),
    (lambda request: {"allowed": True, "patchType": "JSONPatch"}, "response.patchType but not response.patch"),
    (lambda request: {"allowed": True, "patch": "W10=", "patchType": "Merge"}, "invalid response.patchType of"),
    (lambda request: {"allowed": True, "patch": "!", "patchType": "JSONPatch"}, "a patch that is no JSON"),
])
async def test_an_answer_that_is_none(
    cluster: tuple[APIServer, Client], hook: HookServer, answer: Any, words: str
) -> None:
    _, client = cluster
    hook.answers["/bad"] = answer
    await mutating(client, webhook(hook, "/bad"))
    with pytest.raises(InternalError) as refusal:
        await client.create(CONFIG_MAPS, config_map("one"))
    assert words in refusal.value.message


async def test_a_certificate_of_another_authority_is_not_believed(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    async with hook_server() as other:
        wrong = {**hook.client(), "caBundle": other.ca_bundle}
        await validating(client, webhook(hook, clientConfig=wrong))
        with pytest.raises(InternalError, match="x509: certificate signed by unknown authority"):
            await client.create(CONFIG_MAPS, config_map("one"))
    assert not hook.reviews


async def test_connections_are_used_again(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    await validating(client, webhook(hook))
    for number in range(5):
        await client.create(CONFIG_MAPS, config_map(f"c{number}"))
    assert len(hook.reviews) == 5 and hook.connections == 1


async def test_rules_say_what_a_webhook_sees(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    rules = [
        {"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods", "pods/*"]},
        {"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*/scale"]},
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "scope": "Cluster"},
    ]
    await validating(client, webhook(hook, rules=rules))
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.create(PODS, pod("one"))
    await client.create(DEPLOYMENTS, deployment())
    await client.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "space"}})
    await client.patch(DEPLOYMENTS, "web", {"metadata": {"labels": {"a": "b"}}}, "default")
    await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, "default", subresource="scale")
    asked = [(review["request"]["resource"]["resource"], review["request"].get("subResource")) for review in
             hook.reviews]
    assert asked == [("pods", None), ("namespaces", None), ("deployments", "scale")]
    scale = hook.reviews[-1]["request"]
    assert scale["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert scale["object"]["kind"] == "Scale" and scale["object"]["spec"]["replicas"] == 3


def deployment() -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod("x")["spec"]}
    return {
        "kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_evictions_and_bindings_are_seen_as_what_the_client_sent(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    server, client = cluster
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*"]}
    await client.create(PODS, pod("one"))
    await validating(client, webhook(hook, rules=[rule]))
    await call(server, "POST", "/api/v1/namespaces/default/pods/one/binding", {
        "kind": "Binding", "apiVersion": "v1", "metadata": {"name": "one"}, "target": {"kind": "Node", "name": "n"},
    })
    await call(server, "POST", "/api/v1/namespaces/default/pods/one/eviction", {
        "kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "one", "namespace": "default"},
    })
    asked = [(one["request"]["operation"], one["request"]["kind"]["kind"], one["request"].get("subResource"),
              (one["request"]["object"] or {}).get("kind")) for one in hook.reviews]
    assert asked == [
        ("CREATE", "Binding", "binding", "Binding"), ("CREATE", "Eviction", "eviction", "Eviction"),
    ]


async def test_selectors_of_namespaces_and_objects(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    for name in ("plain", "marked"):
        labels = {"hooked": "yes"} if name == "marked" else {}
        await client.create(NAMESPACES, {
            "kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name, "labels": labels},
        })
    await validating(client, webhook(
        hook, namespaceSelector={"matchLabels": {"hooked": "yes"}},
        objectSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
    ))
    for namespace in ("plain", "marked"):
        for labels in ({}, {"skip": "1"}):
            name = f"c{len(labels)}"
            await client.create(CONFIG_MAPS, {
                "kind": "ConfigMap", "apiVersion": "v1",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
            })
    asked = [(review["request"]["namespace"], review["request"]["name"]) for review in hook.reviews]
    assert asked == [("marked", "c0")]


async def test_equivalent_versions_are_converted(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    rule = {"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"],
            "resources": ["horizontalpodautoscalers"]}
    hook.answers["/max"] = patching({"op": "replace", "path": "/spec/maxReplicas", "value": 7})
    await mutating(client, webhook(hook, "/max", rules=[rule]))
    created = await client.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler("one"))
    request = hook.reviews[0]["request"]
    assert request["object"]["apiVersion"] == "autoscaling/v1"
    assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert request["kind"]["version"] == "v1" and request["requestKind"]["version"] == "v2"
    assert created["apiVersion"] == "autoscaling/v2" and created["spec"]["maxReplicas"] == 7
    assert created["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    await reconfigure(client, MUTATING_WEBHOOK_CONFIGURATIONS, webhook(hook, "/max", rules=[rule], matchPolicy="Exact"))
    assert (await client.create(HORIZONTAL_POD_AUTOSCALERS, autoscaler("two")))["spec"]["maxReplicas"] == 3


def autoscaler(name: str) -> dict[str, Any]:
    metric = {"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50},
    }}
    target = {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}
    return {
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": [metric]},
    }


async def test_match_conditions(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    conditions = [
        {"name": "not-nodes", "expression": "!('system:nodes' in request.userInfo.groups)"},
        {"name": "wanted", "expression": "object.data.wanted == 'yes'"},
        {"name": "may", "expression": "authorizer.group('').resource('pods').check('get').allowed()"},
    ]
    await validating(client, webhook(hook, matchConditions=conditions))
    await client.create(CONFIG_MAPS, config_map("one", wanted="yes"))
    await client.create(CONFIG_MAPS, config_map("two", wanted="no"))
    assert [review["request"]["name"] for review in hook.reviews] == ["one"]
    with pytest.raises(Forbidden, match=r"expression 'object.data.wanted == 'yes'' resulted in error: no such key"):
        await client.create(CONFIG_MAPS, config_map("three"))
    lenient = webhook(hook, matchConditions=conditions, failurePolicy="Ignore")
    await reconfigure(client, VALIDATING_WEBHOOK_CONFIGURATIONS, lenient)
    await client.create(CONFIG_MAPS, config_map("three"))
    assert len(hook.reviews) == 1


async def test_match_conditions_have_a_budget(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    dear = [{"name": f"c{number}", "expression": f"object.data.text.contains(object.data.text) || {number} == 0"}
            for number in range(3)]
    await validating(client, webhook(hook, matchConditions=dear))
    await client.create(CONFIG_MAPS, config_map("small", text="a"))
    with pytest.raises(Forbidden, match="validation failed due to running out of cost budget, no further validation"):
        await client.create(CONFIG_MAPS, config_map("large", text="a" * 9700))
    await reconfigure(
        client, VALIDATING_WEBHOOK_CONFIGURATIONS, webhook(hook, matchConditions=dear, failurePolicy="Ignore")
    )
    await client.create(CONFIG_MAPS, config_map("large", text="a" * 9700))
    assert [review["request"]["name"] for review in hook.reviews] == ["small"]


async def test_a_dry_run_asks_only_webhooks_without_side_effects(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    server, client = cluster
    await validating(client, webhook(hook, sideEffects="NoneOnDryRun"))
    target = "/api/v1/namespaces/default/configmaps?dryRun=All"
    assert (await call(server, "POST", target, config_map("one"))).status == 201
    assert hook.reviews[0]["request"]["dryRun"] is True
    old = Webhook.of({"metadata": {"name": "x"}}, webhook(hook, sideEffects="Some"))  # from before this was required
    kind = server.kind_of("", "v1", "configmaps")
    assert kind is not None
    write = AdmissionAttributes(
        "CREATE", kind, kind.resource, "one", "default", ITSELF, config_map("one"), dry_run=True
    )
    with pytest.raises(BadRequest, match=r'^admission webhook "a.example.com" does not support dry run$'):
        await Turn(old, kind, "round_0_index_0").take(write, WebhookCaller(server.reader), mutating=False)


async def test_warnings_and_audit_annotations(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    server, client = cluster
    hook.answers["/warn"] = lambda request: {
        "allowed": True, "warnings": ["mind the gap"], "auditAnnotations": {"k": "v"},
    }
    await validating(client, webhook(hook, "/warn"))
    answer = await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map("one"))
    assert answer.headers["warning"] == '299 - "mind the gap"'


async def test_webhooks_are_called_in_order_of_their_configurations_names(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    for letter in "cab":
        hook.answers[f"/{letter}"] = patching({"op": "add", "path": "/data/last", "value": letter})
        await mutating(client, webhook(hook, f"/{letter}", f"{letter}.example.com"), name=f"hooks-{letter}")
    created = await client.create(CONFIG_MAPS, config_map("one", a="b"))
    assert [path[1] for path in hook.paths] == ["a", "b", "c"] and created["data"]["last"] == "c"
    assert [review["request"]["object"]["data"].get("last") for review in hook.reviews] == [None, "a", "b"]


async def test_reinvocation_if_a_later_webhook_changed_something(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    hook.answers["/change"] = patching({"op": "add", "path": "/data/late", "value": "yes"})
    await mutating(
        client,
        webhook(hook, "/", "never.example.com"),
        webhook(hook, "/again", "again.example.com", reinvocationPolicy="IfNeeded"),
        webhook(hook, "/change", "change.example.com"),
        webhook(hook, "/last", "last.example.com", reinvocationPolicy="IfNeeded"),
    )
    hook.answers["/again"] = hook.answers["/last"] = allowed
    await client.create(CONFIG_MAPS, config_map("one", a="b"))
    assert [path.partition("?")[0] for path in hook.paths] == ["/", "/again", "/change", "/last", "/again"]
    assert hook.reviews[-1]["request"]["object"]["data"]["late"] == "yes"


async def test_other_plugins_see_what_a_webhook_added(hook: HookServer) -> None:
    """A webhook adds a container; the plugins that ran before it look at the pod again."""
    async with serving(disable_admission=()) as (server, client):
        await client.create(Resource("", "v1", "serviceaccounts", "ServiceAccount"), {
            "kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default", "namespace": "default"},
        })
        sidecar = {"name": "sidecar", "image": "busybox"}
        hook.answers["/inject"] = patching({"op": "add", "path": "/spec/containers/-", "value": sidecar})
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        await mutating(client, webhook(hook, "/inject", rules=[rule]))
        created = await client.create(PODS, pod("one"))
        containers = created["spec"]["containers"]
        assert [one["name"] for one in containers] == ["main", "sidecar"]
        assert all(one["volumeMounts"] for one in containers), "the token is mounted into the sidecar too"
        assert containers[1]["terminationMessagePath"] == "/dev/termination-log", "and it is defaulted"
        assert server.admission.plugins


async def test_a_webhook_cannot_touch_managed_fields_or_add_unknown_ones(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    await client.create(CONFIG_MAPS, config_map("one", a="b"))
    hook.answers["/evil"] = patching(
        {"op": "add", "path": "/metadata/managedFields", "value": []}, {"op": "add", "path": "/bogus", "value": 1},
    )
    await mutating(client, webhook(hook, "/evil"))
    updated = await client.patch(CONFIG_MAPS, "one", {"data": {"a": "c"}}, "default")
    assert updated["metadata"]["managedFields"] and "bogus" not in updated


async def test_a_patch_that_does_not_fit_is_the_servers_error(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    hook.answers["/odd"] = patching({"op": "remove", "path": "/nothing"})
    await mutating(client, webhook(hook, "/odd"))
    with pytest.raises(InternalError, match="Internal error occurred: remove operation does not apply"):
        await client.create(CONFIG_MAPS, config_map("one"))


async def test_a_webhook_cannot_change_a_deletion(cluster: tuple[APIServer, Client], hook: HookServer) -> None:
    _, client = cluster
    await client.create(CONFIG_MAPS, config_map("one"))
    hook.answers["/label"] = patching(LABEL)
    await mutating(client, webhook(hook, "/label"))
    with pytest.raises(InternalError, match="attempted to modify the object, which is not supported"):
        await client.delete(CONFIG_MAPS, "one", "default")


async def test_webhooks_never_see_the_configuration_of_admission(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    hook.answers["/no"] = lambda request: {"allowed": False}
    await validating(client, webhook(hook, "/no", rules=[everything]))
    await reconfigure(client, VALIDATING_WEBHOOK_CONFIGURATIONS, webhook(hook, "/no"))
    await client.delete(VALIDATING_WEBHOOK_CONFIGURATIONS, "hooks")
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("one"))


async def test_v1beta1_if_that_is_what_the_webhook_speaks(
    cluster: tuple[APIServer, Client], hook: HookServer
) -> None:
    _, client = cluster
    patch = base64.b64encode(b'[{"op":"add","path":"/data","value":{"x":"y"}}]').decode()
    hook.answers["/old"] = lambda request: {"uid": "", "allowed": True, "patch": patch, "patchType": "JSONPatch"}
    await mutating(client, webhook(hook, "/old", admissionReviewVersions=["v0", "v1beta1"]))
    created = await client.create(CONFIG_MAPS, config_map("one"))
    assert hook.reviews[0]["apiVersion"] == "admission.k8s.io/v1beta1" and created["data"] == {"x": "y"}


async def test_without_webhooks_no_plugin_for_them_is_called(cluster: tuple[APIServer, Client]) -> None:
    server, _ = cluster
    kind = server.kind_of("", "v1", "configmaps")
    assert kind is not None
    write = AdmissionAttributes("CREATE", kind, kind.resource, "x", "default", ITSELF, config_map("x"))
    names = [plugin.name for plugin in server.admission.plugins if plugin.interested(write)]
    assert "MutatingAdmissionWebhook" not in names and "ValidatingAdmissionWebhook" not in names
