"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy through a whole API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.apiserver.serving import call, config_map, document, pod, serving

from sampan.api.resources import (
    CONFIG_MAPS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    NAMESPACES,
    PODS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from sampan.apimachinery.errors import APIError, Forbidden, Invalid
from sampan.apimachinery.resource import Resource
from sampan.apiserver.server import APIServer
from sampan.client.client import Client

CONFIG_MAP_RULE = {
    "operations": ["CREATE", "UPDATE", "DELETE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
}
Cluster = tuple[APIServer, Client]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with serving() as found:
        yield found


async def make(client: Client, resource: Resource, name: str, **spec: Any) -> None:
    await client.create(resource, {
        "apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "spec": spec,
    })
    await client.list(CONFIG_MAPS, namespace="default")  # a consistent read: the server's caches have caught up


async def policy(client: Client, *validations: Any, binding: dict[str, Any] | None = None, **spec: Any) -> None:
    """A policy `p` bound by `b`; validations are documents, or expressions."""
    constraints = spec.pop("matchConstraints", {"resourceRules": [CONFIG_MAP_RULE]})
    found = [one if isinstance(one, dict) else {"expression": one} for one in validations]
    await make(client, VALIDATING_ADMISSION_POLICIES, "p", matchConstraints=constraints, validations=found, **spec)
    bound = {"policyName": "p", "validationActions": ["Deny"], **(binding or {})}
    await make(client, VALIDATING_ADMISSION_POLICY_BINDINGS, "b", **bound)


async def refusal(client: Client, obj: dict[str, Any], resource: Resource = CONFIG_MAPS) -> APIError:
    with pytest.raises(APIError) as caught:
        await client.create(resource, obj)
    return caught.value


async def test_a_validation_that_does_not_hold_refuses_the_write(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, "object == null || object.data.size() < 2")
    await client.create(CONFIG_MAPS, config_map("one", a="b"))
    error = await refusal(client, config_map("two", a="b", c="d"))
    text = ("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "
            "failed expression: object == null || object.data.size() < 2")
    assert error.message == f'configmaps "two" is forbidden: {text}'
    status = error.to_status()
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    assert status["details"] == {"name": "two", "kind": "configmaps", "causes": [{"message": text}]}
    with pytest.raises(APIError, match="denied request"):
        await client.patch(CONFIG_MAPS, "one", {"data": {"c": "d"}}, "default")
    await client.delete(CONFIG_MAPS, "one", "default")


async def test_a_policy_without_a_binding_does_nothing(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, "false")
    await client.delete(VALIDATING_ADMISSION_POLICY_BINDINGS, "b")
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("one"))


@pytest.mark.parametrize(("validation", "words", "code"), [
    ({"message": " no blue "}, "denied request: no blue", 422),
    ({"message": "m", "messageExpression": "'not ' + object.metadata.name"}, "denied request: not one", 422),
    ({"message": "m", "messageExpression": "object.metadata.nothing"}, "denied request: m", 422),
    ({"message": "m", "messageExpression": "'two\\nlines'"}, "denied request: m", 422),
    ({"reason": "Forbidden"}, "denied request: failed expression: false", 403),
    ({"reason": "RequestEntityTooLarge"}, "denied request: failed expression: false", 413),
])
async def test_what_a_refusal_says(cluster: Cluster, validation: dict[str, Any], words: str, code: int) -> None:
    _, client = cluster
    await policy(client, {"expression": "false", **validation})
    error = await refusal(client, config_map("one"))
    assert error.message.endswith(words) and error.status_code == code


async def test_an_expression_that_fails_counts_as_the_failure_policy_says(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, "object.data.missing == 'x'")
    error = await refusal(client, config_map("one", a="b"))
    assert error.message.endswith("expression 'object.data.missing == 'x'' resulted in error: no such key: missing")
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("one", a="b"))


SEARCH = "object.data.text.contains(object.data.text)"
TEXT = "a" * 9700
"""Searched for itself it costs a little less than a tenth of a policy's budget."""
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


async def test_validations_that_spend_the_budget_together_fail_as_the_failure_policy_says(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, *[SEARCH] * 10, *[f"{SEARCH} && true"] * 2)
    error = await refusal(client, config_map("one", text=TEXT))
    text = f"ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {SPENT}"
    assert error.message == f'configmaps "one" is forbidden: {text}'
    assert (error.to_status()["reason"], error.status_code) == ("Invalid", 422)
    await client.create(CONFIG_MAPS, config_map("small", text="a"))
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("one", text=TEXT))


async def test_an_expression_that_is_too_dear_fails(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, SEARCH)
    error = await refusal(client, config_map("one", text=TEXT * 2))
    assert error.message.endswith(
        f"expression '{SEARCH}' resulted in error: operation cancelled: actual cost limit exceeded")
    await client.create(CONFIG_MAPS, config_map("one", text=TEXT))


async def test_what_variables_and_messages_cost_counts_too(cluster: Cluster) -> None:
    _, client = cluster
    variables = [{"name": f"v{number}", "expression": SEARCH} for number in range(10)]
    all_of_them = " && ".join(f"variables.v{number}" for number in range(10))
    await policy(
        client, {"expression": f"!({all_of_them})", "messageExpression": f"string({SEARCH})"}, variables=variables
    )
    error = await refusal(client, config_map("one", text=TEXT))
    assert error.message.endswith(f"denied request: failed messageExpression: {SPENT}")
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"validations": [
        {"expression": f"({all_of_them}) && {SEARCH}"}]}})
    await client.list(CONFIG_MAPS, namespace="default")
    error = await refusal(client, config_map("one", text=TEXT))
    assert error.message.endswith(f"denied request: {SPENT}")


async def test_match_conditions_have_a_budget_of_their_own(cluster: Cluster) -> None:
    _, client = cluster
    conditions = [{"name": f"c{number}", "expression": f"{SEARCH} || {number} == 0"} for number in range(3)]
    await policy(client, "false", matchConditions=conditions)
    error = await refusal(client, config_map("one", text=TEXT))
    assert error.message.endswith(f"denied request: {SPENT}")
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"failurePolicy": "Ignore"}})
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(CONFIG_MAPS, config_map("one", text=TEXT))


async def test_two_permissions_may_be_asked_for_and_no_third_one(cluster: Cluster) -> None:
    _, client = cluster
    checks = [f"authorizer.group('').resource('pods').check('{verb}').allowed()" for verb in ("get", "list", "watch")]
    await policy(client, " && ".join(checks[:2]))
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"validations": [
        {"expression": " && ".join(checks)}]}})
    await client.list(CONFIG_MAPS, namespace="default")
    error = await refusal(client, config_map("two"))
    assert error.message.endswith("resulted in error: operation cancelled: actual cost limit exceeded")


async def test_audit_annotations_have_a_budget_of_their_own(cluster: Cluster) -> None:
    _, client = cluster
    notes = [{"key": f"k{number}", "valueExpression": f"{SEARCH} ? 'yes' : '{number}'"} for number in range(11)]
    await policy(client, *[SEARCH] * 10, auditAnnotations=notes[:10])
    await client.create(CONFIG_MAPS, config_map("one", text=TEXT))
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"auditAnnotations": notes}})
    await client.list(CONFIG_MAPS, namespace="default")
    error = await refusal(client, config_map("two", text=TEXT))
    assert error.message.endswith(f"denied request: {SPENT}")


async def test_everything_an_expression_can_see(cluster: Cluster) -> None:
    _, client = cluster
    await policy(
        client,
        "request.operation == 'DELETE' || object.metadata.name == request.name",
        "request.operation != 'CREATE' || oldObject == null",
        "namespaceObject.metadata.name == request.namespace",
        "request.userInfo.username == 'system:apiserver' && request.resource.resource == 'configmaps'",
        "authorizer.group('').resource('secrets').namespace('x').check('get').allowed()",
        "authorizer.requestResource.check('create').allowed() && authorizer.path('/healthz').check('get').allowed()",
        "variables.both == 2 && variables.size + 1 == 2",
        "has(object.data.a) ? variables.broken == 1 || true : true",
        variables=[
            {"name": "size", "expression": "object.data.size()"},
            {"name": "both", "expression": "variables.size * 2"},
            {"name": "broken", "expression": "object.nothing.at.all"},
        ],
    )
    await client.create(CONFIG_MAPS, config_map("one", a="b"))


async def test_a_variable_that_fails_is_named(cluster: Cluster) -> None:
    _, client = cluster
    await policy(client, "variables.broken", variables=[{"name": "broken", "expression": "object.nothing"}])
    error = await refusal(client, config_map("one"))
    assert 'composited variable "broken" fails to evaluate: no such key: nothing' in error.message


async def test_warnings_and_audit_annotations(cluster: Cluster) -> None:
    server, client = cluster
    await policy(
        client, {"expression": "false", "message": "mind"},
        binding={"validationActions": ["Warn", "Audit"]},
        auditAnnotations=[
            {"key": "name", "valueExpression": "'is ' + object.metadata.name"},
            {"key": "none", "valueExpression": "null"},
        ],
    )
    seen: list[Any] = []
    noted = server._metrics.note
    server._metrics.note = lambda ctx, status: (seen.append(ctx), noted(ctx, status))[1]  # type: ignore[method-assign]
    answer = await call(server, "POST", "/api/v1/namespaces/default/configmaps", config_map("one"))
    assert answer.status == 201
    assert answer.headers["warning"] == (
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': mind\""
    )
    annotations = seen[0].audit_annotations
    assert annotations["p/name"] == "is one" and "p/none" not in annotations
    [failure] = orjson.loads(annotations["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "mind", "policy": "p", "binding": "b", "expressionIndex": 0, "validationActions": ["Warn", "Audit"],
    }


async def test_match_conditions_and_what_rules_exclude(cluster: Cluster) -> None:
    _, client = cluster
    constraints = {
        "resourceRules": [{**CONFIG_MAP_RULE, "resources": ["*"]}],
        "excludeResourceRules": [{**CONFIG_MAP_RULE, "resources": ["pods"]}],
    }
    await policy(
        client, "false", matchConstraints=constraints,
        matchConditions=[{"name": "wanted", "expression": "object.metadata.name.startsWith('no')"}],
    )
    await client.create(CONFIG_MAPS, config_map("yes"))
    await client.create(PODS, pod("no"))
    await refusal(client, config_map("no"))


async def test_a_binding_narrows_down_and_rules_name_objects(cluster: Cluster) -> None:
    _, client = cluster
    narrow = {"resourceRules": [{**CONFIG_MAP_RULE, "resourceNames": ["one"]}],
              "objectSelector": {"matchLabels": {"a": "b"}}}
    await policy(client, "false", binding={"matchResources": narrow})
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.create(CONFIG_MAPS, {**config_map("two"), "metadata": {"name": "two", "namespace": "default",
                                                                        "labels": {"a": "b"}}})
    with pytest.raises(APIError, match="denied request"):
        await client.patch(CONFIG_MAPS, "one", {"metadata": {"labels": {"a": "b"}}}, "default")


PARAMS = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}


async def test_parameters_by_name(cluster: Cluster) -> None:
    _, client = cluster
    await client.create(CONFIG_MAPS, config_map("limits", size="1"))
    reference = {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}
    constraints = {"resourceRules": [{**CONFIG_MAP_RULE, "resources": ["pods"]}]}
    await policy(
        client, "object.spec.containers.size() <= int(params.data.size)", matchConstraints=constraints,
        binding={"paramRef": reference}, **PARAMS,
    )
    await client.create(PODS, pod("one"))
    two = pod("two")
    two["spec"]["containers"].append({"name": "other", "image": "busybox"})
    await refusal(client, two, PODS)
    await client.delete(CONFIG_MAPS, "limits", "default")
    await client.list(CONFIG_MAPS, namespace="default")
    error = await refusal(client, pod("three"), PODS)
    assert error.message.endswith(
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    )
    allow = {"spec": {"paramRef": {**reference, "parameterNotFoundAction": "Allow"}}}
    await client.patch(VALIDATING_ADMISSION_POLICY_BINDINGS, "b", allow)
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(PODS, pod("three"))


async def test_parameters_by_selector_in_the_namespace_of_the_request(cluster: Cluster) -> None:
    _, client = cluster
    await client.create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "other"}})
    for name, namespace in (("a", "default"), ("b", "default"), ("c", "other")):
        await client.create(CONFIG_MAPS, {
            "kind": "ConfigMap", "apiVersion": "v1", "data": {"bad": name},
            "metadata": {"name": name, "namespace": namespace, "labels": {"role": "params"}},
        })
    constraints = {"resourceRules": [{**CONFIG_MAP_RULE, "resources": ["pods", "namespaces"]}]}
    reference = {"selector": {"matchLabels": {"role": "params"}}, "parameterNotFoundAction": "Deny"}
    await policy(
        client, {"expression": "object.metadata.name != params.data.bad", "messageExpression": "params.metadata.name"},
        matchConstraints=constraints, binding={"paramRef": reference}, **PARAMS,
    )
    await client.create(PODS, pod("c"))
    assert (await refusal(client, pod("b"), PODS)).message.endswith("denied request: b")
    space = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "space"}}
    error = await refusal(client, space, NAMESPACES)
    assert "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources" in error.message


async def test_expressions_are_compiled_when_the_policy_is_made(cluster: Cluster) -> None:
    _, client = cluster
    for spec, where, words in (
        ({"validations": [{"expression": "unknown"}]}, "spec.validations[0].expression", "undeclared reference"),
        ({"validations": [{"expression": "'a'"}]}, "spec.validations[0].expression", "must evaluate to bool"),
        ({"validations": [{"expression": "params.x"}]}, "spec.validations[0].expression", "undeclared reference"),
        ({"validations": [{"expression": "true", "messageExpression": "1"}]}, "messageExpression", "string"),
        ({"validations": [{"expression": "true"}], "matchConditions": [{"name": "x", "expression": "1 +"}]},
         "spec.matchConditions[0].expression", "Syntax error"),
    ):
        with pytest.raises(Invalid) as caught:
            await make(client, VALIDATING_ADMISSION_POLICIES, "p",
                       matchConstraints={"resourceRules": [CONFIG_MAP_RULE]}, **spec)
        assert where in caught.value.message and words in caught.value.message


async def test_status_of_the_api_server_is_no_business_of_policies(cluster: Cluster) -> None:
    """Policies do not see policies."""
    _, client = cluster
    rule = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    await policy(client, "false", matchConstraints={"resourceRules": [rule]})
    await client.delete(VALIDATING_ADMISSION_POLICIES, "p")


async def mutation(client: Client, *mutations: str, name: str = "m", **spec: Any) -> None:
    """Mutations that begin with `[` are JSON patches."""
    rule = {**CONFIG_MAP_RULE, "operations": ["CREATE", "UPDATE"]}
    constraints = spec.pop("matchConstraints", {"resourceRules": [rule]})
    found = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": one}} if one.startswith("[") else
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": one}} for one in mutations
    ]
    spec = {"reinvocationPolicy": "Never", "mutations": found, "matchConstraints": constraints, **spec}
    await make(client, MUTATING_ADMISSION_POLICIES, name, **spec)
    await make(client, MUTATING_ADMISSION_POLICY_BINDINGS, name, policyName=name)


POD_RULE = {"resourceRules": [{**CONFIG_MAP_RULE, "operations": ["CREATE"], "resources": ["pods"]}]}


async def test_an_apply_configuration_is_merged_by_keys(cluster: Cluster) -> None:
    server, client = cluster
    await mutation(client, """
        Object{
          metadata: Object.metadata{labels: {"team": request.namespace}},
          spec: Object.spec{
            // the sidecar of every pod
            initContainers: [Object.spec.initContainers{
              name: "mesh", image: "mesh:1", args: ["{", "}"], restartPolicy: "Always"
            }],
            containers: object.spec.containers.map(c, Object.spec.containers{name: c.name, tty: true})
          }
        }""", matchConstraints=POD_RULE)
    created = await client.create(PODS, pod("one", app="web"))
    assert created["metadata"]["labels"] == {"app": "web", "team": "default"}
    assert created["spec"]["initContainers"][0]["args"] == ["{", "}"]
    assert created["spec"]["initContainers"][0]["terminationMessagePath"] == "/dev/termination-log"
    [container] = created["spec"]["containers"]
    assert container["tty"] is True and container["image"] == "busybox"
    answer = await call(server, "POST", "/api/v1/namespaces/default/pods?dryRun=All", pod("two"))
    assert document(answer)["spec"]["initContainers"][0]["name"] == "mesh"


async def test_a_json_patch(cluster: Cluster) -> None:
    _, client = cluster
    await mutation(client, """[
        JSONPatch{op: "test", path: "/data/a", value: "b"},
        JSONPatch{op: "add", path: "/metadata/annotations", value: {}},
        JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("example.com/x"), value: "y"},
        JSONPatch{op: "remove", path: "/data/a"}
    ]""", "[JSONPatch{op: 'add', path: '/data', value: {'sizeBefore': string(object.data.size())}}]")
    created = await client.create(CONFIG_MAPS, config_map("one", a="b"))
    assert created["metadata"]["annotations"] == {"example.com/x": "y"} and created["data"] == {"sizeBefore": "0"}
    with pytest.raises(Forbidden, match="policy 'm' with binding 'm' denied request: "):
        await client.create(CONFIG_MAPS, config_map("two", a="c"))


@pytest.mark.parametrize(("text", "words"), [
    ("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'main', command: ['x']}]}}",
     "may not mutate atomic arrays, maps or structs: .spec.containers.command"),
    ("Object{kind: 'Node'}", "kind may not be set"),
    ("object.nothing", "resulted in error: no such key: nothing"),
    ("1", "the expression's value is no Object"),
    ("[1]", "the expression's value is no list of JSONPatch"),
    ("[JSONPatch{op: 'replace', path: '/spec/containers', value: 'x'}]", "denied request"),
])
async def test_a_mutation_that_cannot_be(cluster: Cluster, text: str, words: str) -> None:
    _, client = cluster
    await mutation(client, text, matchConstraints=POD_RULE)
    one = pod("one")
    one["spec"]["containers"][0]["command"] = ["sleep"]
    with pytest.raises(Forbidden) as caught:
        await client.create(PODS, one)
    assert words in caught.value.message
    await client.patch(MUTATING_ADMISSION_POLICIES, "m", {"spec": {"failurePolicy": "Ignore"}})
    await client.list(CONFIG_MAPS, namespace="default")
    await client.create(PODS, pod("one"))


async def test_policies_see_each_others_changes_and_may_be_asked_again(cluster: Cluster) -> None:
    _, client = cluster
    seen = "Object{data: {'seen' + string(object.data.size()): 'x'}}"
    await mutation(client, seen, name="a", reinvocationPolicy="IfNeeded")
    await mutation(client, "Object{data: {'b': 'x'}}", name="b")
    created = await client.create(CONFIG_MAPS, config_map("one", a="b"))
    assert sorted(created["data"]) == ["a", "b", "seen1", "seen3"]


async def test_deletions_are_not_mutated(cluster: Cluster) -> None:
    _, client = cluster
    await client.create(CONFIG_MAPS, config_map("one"))
    await mutation(client, "Object{data: {'a': 'b'}}")
    await client.delete(CONFIG_MAPS, "one", "default")


async def test_each_mutation_has_a_budget_with_its_variables(cluster: Cluster) -> None:
    _, client = cluster
    variables = [{"name": f"v{number}", "expression": f"{SEARCH} || {number} == 0"} for number in range(11)]
    named = [f"variables.v{number}" for number in range(11)]
    label = "Object{metadata: Object.metadata{labels: {'found': string(%s)}}}"
    await mutation(client, *[label % " && ".join(named[:10])] * 2, variables=variables)
    made = await client.create(CONFIG_MAPS, config_map("one", text=TEXT))
    assert made["metadata"]["labels"] == {"found": "true"}
    await client.patch(MUTATING_ADMISSION_POLICIES, "m", {"spec": {"mutations": [{
        "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": label % " && ".join(named)},
    }]}})
    await client.list(CONFIG_MAPS, namespace="default")
    with pytest.raises(Forbidden) as caught:
        await client.create(CONFIG_MAPS, config_map("two", text=TEXT))
    assert caught.value.message.endswith(f"policy 'm' with binding 'm' denied request: {SPENT}")
    await client.patch(MUTATING_ADMISSION_POLICIES, "m", {"spec": {"mutations": [{
        "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": label % SEARCH},
    }]}})
    await client.list(CONFIG_MAPS, namespace="default")
    with pytest.raises(Forbidden, match="resulted in error: operation cancelled: actual cost limit exceeded"):
        await client.create(CONFIG_MAPS, config_map("two", text=TEXT * 2))


async def test_variables_may_be_times_and_no_optionals(cluster: Cluster) -> None:
    _, client = cluster
    variables = [
        {"name": "moment", "expression": "timestamp('2026-01-02T03:04:05Z')"},
        {"name": "nothing", "expression": "{'a': optional.none()}"},
    ]
    await policy(client, "variables.moment.getFullYear() == 2026", variables=variables)
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.patch(VALIDATING_ADMISSION_POLICIES, "p", {"spec": {"validations": [
        {"expression": "variables.nothing.size() == 1"}]}})
    await client.list(CONFIG_MAPS, namespace="default")
    error = await refusal(client, config_map("two"))
    assert error.message.endswith('composited variable "nothing" fails to evaluate: an optional is no value')
