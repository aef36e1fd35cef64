"""Webhook configurations and policies: what is refused before anybody evaluates an expression."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.admissionregistration.mutatingadmissionpolicy import MUTATING_ADMISSION_POLICY
from sampan.api.admissionregistration.mutatingwebhookconfiguration import MUTATING_WEBHOOK_CONFIGURATION
from sampan.api.admissionregistration.validatingadmissionpolicy import VALIDATING_ADMISSION_POLICY
from sampan.api.admissionregistration.validatingadmissionpolicybinding import VALIDATING_ADMISSION_POLICY_BINDING
from sampan.api.kind import Kind

RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}


def problems(kind: Kind, **content: Any) -> list[str]:
    obj = {"metadata": {"name": "x"}, **content}
    kind.default(obj)
    return [str(error) for error in kind.validate(obj)]


def webhook(**more: Any) -> dict[str, Any]:
    return {"name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [RULE],
            "clientConfig": {"url": "https://hooks.example/check"}, **more}


def test_a_mutating_webhook_is_not_called_again_unless_it_asks_for_it() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "x"}, "webhooks": [webhook()]}
    MUTATING_WEBHOOK_CONFIGURATION.default(obj)
    assert obj["webhooks"][0]["reinvocationPolicy"] == "Never"
    assert MUTATING_WEBHOOK_CONFIGURATION.validate(obj) == []


@pytest.mark.parametrize(("url", "words"), [
    ("http://a/", "'https' is the only allowed URL scheme"), ("https:///x", "host must be specified"),
    ("https://me@a/", "user information is not permitted"), ("https://a/?b=c", "query parameters are not permitted"),
    ("https://a/#b", "fragments are not permitted"), ("https://a:x/", "url must be a valid URL"),
])
def test_urls_of_webhooks(url: str, words: str) -> None:
    [problem] = problems(MUTATING_WEBHOOK_CONFIGURATION, webhooks=[webhook(clientConfig={"url": url})])
    assert problem.startswith("webhooks[0].clientConfig.url: Invalid value: ") and words in problem


def test_match_conditions_have_names_of_their_own() -> None:
    condition = {"name": "a", "expression": "true"}
    found = problems(MUTATING_WEBHOOK_CONFIGURATION, webhooks=[webhook(
        matchConditions=[condition, condition, {"expression": " "}, {"name": "not good", "expression": "true"}],
        reinvocationPolicy="Always",
    )])
    at = "webhooks[0].matchConditions"
    assert found[0].startswith('webhooks[0].reinvocationPolicy: Unsupported value: "Always"')
    assert found[1:4] == [
        f'{at}[1].name: Duplicate value: "a"', f"{at}[2].expression: Required value", f"{at}[2].name: Required value",
    ]
    assert found[4].startswith(f'{at}[3].name: Invalid value: "not good"')
    many = [{"name": f"n{number}", "expression": "true"} for number in range(65)]
    assert "must have at most 64 items" in problems(
        MUTATING_WEBHOOK_CONFIGURATION, webhooks=[webhook(matchConditions=many)]
    )[0]


def test_policies_say_what_is_wrong_with_them() -> None:
    constraints = {"resourceRules": [RULE]}
    found = problems(VALIDATING_ADMISSION_POLICY, spec={
        "matchConstraints": constraints, "paramKind": {"kind": "ConfigMap"},
        "validations": [{"expression": "true", "reason": "Whim"}],
        "variables": [{"name": "a-b", "expression": "1"}, {"name": "a", "expression": ""}, {"name": "a"}],
    })
    assert [problem.partition(":")[0] for problem in found] == [
        "spec.validations[0].reason", "spec.paramKind.apiVersion", "spec.variables[0].name",
        "spec.variables[1].expression", "spec.variables[2].name", "spec.variables[2].expression",
    ]
    found = problems(MUTATING_ADMISSION_POLICY, spec={
        "matchConstraints": constraints,
        "mutations": [{"patchType": "JSONPatch"}, {"patchType": "Merge"}, {}],
    })
    assert [problem.partition(":")[0] for problem in found] == [
        "spec.mutations[0].jsonPatch.expression", "spec.mutations[1].patchType", "spec.mutations[2].patchType",
        "spec.reinvocationPolicy",
    ]


@pytest.mark.parametrize(("reference", "words"), [
    ({"parameterNotFoundAction": "Deny"}, "one of name or selector must be specified"),
    ({"name": "a", "selector": {}, "parameterNotFoundAction": "Deny"}, "name and selector are mutually exclusive"),
    ({"name": "a"}, "spec.paramRef.parameterNotFoundAction: Required value"),
    ({"name": "a", "parameterNotFoundAction": "Perhaps"}, 'Unsupported value: "Perhaps"'),
])
def test_a_binding_points_at_parameters_in_one_way(reference: dict[str, Any], words: str) -> None:
    found = problems(VALIDATING_ADMISSION_POLICY_BINDING, spec={
        "policyName": "p", "validationActions": ["Deny"], "paramRef": reference,
    })
    assert found and all(words in problem for problem in found)
