from __future__ import annotations

import pytest

from sampan.apimachinery.object import Object
from sampan.apiserver.admission.policies.type_check import kinds_of, problem_with, warnings_of

DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


def policy(*validations: Object, group: str = "apps", resource: str = "deployments", version: str = "v1") -> Object:
    rule = {"apiGroups": [group], "apiVersions": [version], "resources": [resource], "operations": ["CREATE"]}
    return {"spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": list(validations)}}


def test_both_expressions_of_a_validation_are_checked_with_their_place_and_kind() -> None:
    found = warnings_of(policy(
        {"expression": "object.spec.replicas > '1'", "messageExpression": "'got ' + object.spec.replicas"},
        {"expression": "object.spec.replicas > 1"},
    ))
    assert [one["fieldRef"] for one in found] == [
        "spec.validations[0].expression", "spec.validations[0].messageExpression",
    ]
    assert found[0]["warning"] == (
        "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' "
        "applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n"
    )
    assert "'_+_' applied to '(string, int)'" in found[1]["warning"]


@pytest.mark.parametrize("text", [
    "has(object.spec.replicas) && object.spec.replicas <= 5",
    "object.spec.template.spec.containers.all(c, c.image.startsWith('registry/'))",
    "object.metadata.labels['app'] == 'web'", "object.metadata.?labels[?'app'].orValue('') != ''",
    "oldObject == null || oldObject.spec.replicas <= object.spec.replicas",
    "object.spec.selector.matchLabels.all(key, key in object.spec.template.metadata.labels)",
    "'object.spec.nonsense' != object.metadata.name", "object.metadata.name.startsWith('a')",
    "object.spec.strategy.rollingUpdate.maxSurge == 1 || object.spec.strategy.rollingUpdate.maxSurge == '25%'",
    "variables.x == request.userInfo.username", "object.metadata.labels.anything == 'x'",
])
def test_what_fits_is_let_be(text: str) -> None:
    assert problem_with(text, DEPLOYMENT, params=False) == ""


def test_fields_that_the_kind_does_not_have_are_found_where_they_stand() -> None:
    assert problem_with("1 < object.spec.nonsense", DEPLOYMENT, params=False) == (
        "ERROR: <input>:1:16: undefined field 'nonsense'\n"
        " | 1 < object.spec.nonsense\n | ...............^"
    )
    assert "undefined field 'spce'" in problem_with("has(oldObject.spce.replicas)", DEPLOYMENT, params=False)


def test_kinds_are_named_in_full_or_not_checked() -> None:
    assert [kind.kind for kind, _ in kinds_of(policy())] == ["Deployment"]
    for given in ({"group": "*"}, {"resource": "*"}, {"version": "*"}, {"group": "example.com"},
                  {"resource": "deployments/scale"}):
        assert kinds_of(policy(**given)) == []


@pytest.mark.parametrize(("texts", "warned"), [
    (["object.spec.replicas > 1"], {}),
    (["object.spec.replicas < 100", "object.spec.replicas > '1'"], {1: ["'_>_' applied to '(int, string)'"]}),
    (
        ["object.spec.first > 1", "object.spec.replicas > '1'"],
        {0: ["undefined field 'first'"], 1: ["'_>_' applied to '(int, string)'"]},
    ),
    (
        ["object.spec.replicas < 100", "object.spec.replicas > '1' && object.spec.nope == 1"],
        {1: ["1:22: found no matching overload for '_>_' applied to '(int, string)'", "1:42: undefined field 'nope'"]},
    ),
    (
        ["has(object.spec.no) && oldObject.spec.nope.startsWith('a') || object.spec.replicas + 'a' == ''"],
        {0: ["1:16: undefined field 'no'", "1:38: undefined field 'nope'", "1:84: found no matching overload"]},
    ),
    (
        ["object.spec.replicas >\n  '1' &&\n  object.spec.nope"],
        {0: ["1:22: found no matching overload", " | object.spec.replicas >\n", "3:14: undefined field 'nope'",
             " |   object.spec.nope\n | .............^"]},
    ),
    (
        ["authorizer.allowed()", "authorizer.group('').resource('endpoints').check('create').allowed()"],
        {0: ["no matching overload for 'allowed' applied to 'kubernetes.authorization.Authorizer.()'"]},
    ),
    (["object.metadata.name.startsWith(1)"], {0: ["'startsWith' applied to 'string.(int)'"]}),
    (["size(1) == 1"], {0: ["'size' applied to '(int)'"]}),
])
def test_all_that_does_not_fit_is_told_in_its_order_and_at_its_place(texts, warned) -> None:
    found = warnings_of(policy(*({"expression": text} for text in texts)))
    assert [one["fieldRef"] for one in found] == [f"spec.validations[{place}].expression" for place in warned]
    for one, words in zip(found, warned.values(), strict=True):
        places = [one["warning"].find(word) for word in words]
        assert -1 not in places and places == sorted(places)
        assert one["warning"].count("ERROR: ") == sum("Kind=" not in word and " | " not in word for word in words)


def test_each_kind_that_an_expression_does_not_fit_is_named_in_their_order() -> None:
    given = policy({"expression": "object.spec.nope == 1"})
    [rule] = given["spec"]["matchConstraints"]["resourceRules"]
    given["spec"]["matchConstraints"]["resourceRules"] = [
        rule, {**rule, "apiGroups": [""], "resources": ["services", "pods/status", "pods"]},
        {**rule, "apiVersions": ["*"], "resources": ["daemonsets"]},
    ]
    [warning] = warnings_of(given)
    assert [line.split(": ")[0] for line in warning["warning"].split("\n") if "Kind=" in line] == [
        "/v1, Kind=Pod", "/v1, Kind=Service", "apps/v1, Kind=Deployment",
    ]
