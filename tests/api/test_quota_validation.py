"""Which scopes a ResourceQuota may have, and what it may limit in them."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.core.resourcequota import validate
from sampan.apimachinery.object import Object

MISAPPLIED = "unsupported scope applied to resource"


def selecting(*scopes: Object, **hard: str) -> Object:
    return {"hard": hard, "scopeSelector": {"matchExpressions": list(scopes)}}


def scope(name: str, operator: str = "Exists", *values: str) -> Object:
    return {"scopeName": name, "operator": operator, **({"values": list(values)} if values else {})}


def problems(spec: Object, **status: Any) -> list[str]:
    return [str(one) for one in validate({"metadata": {"name": "q"}, "spec": spec, "status": status})]


def scoped(name: str, *hard: str) -> Object:
    return {"hard": dict.fromkeys(hard, "1"), "scopes": [name]}


POD_SCOPES = ["Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"]


@pytest.mark.parametrize("name", POD_SCOPES)
def test_scopes_of_pods_limit_pods_and_compute_and_what_is_not_of_kubernetes(name: str) -> None:
    allowed = ["pods", "cpu", "memory", "requests.cpu", "limits.memory", "count/pods", "requests.example.com/gpu",
               "hugepages-2Mi", "requests.hugepages-2Mi"]
    assert not problems(scoped(name, *allowed)) and not problems(selecting(scope(name), **dict.fromkeys(allowed, "1")))
    for other in ("services", "requests.storage", "ephemeral-storage", "limits.ephemeral-storage"):
        [found] = problems(scoped(name, other))
        assert found.startswith("spec.scopes: ") and found.endswith(MISAPPLIED)
        [found] = problems(selecting(scope(name), **{other: "1"}))
        assert found.startswith("spec.scopeSelector.matchExpressions: ") and found.endswith(MISAPPLIED)


def test_best_effort_limits_pods_only_and_each_limit_is_told() -> None:
    assert not problems(scoped("BestEffort", "pods", "count/pods"))
    assert len(problems(scoped("BestEffort", "pods", "cpu", "requests.memory"))) == 2


def test_a_scope_of_attributes_classes_limits_claims() -> None:
    rule = scope("VolumeAttributesClass", "In", "gold")
    assert not problems(selecting(rule, **{"persistentvolumeclaims": "1", "requests.storage": "1Gi"}))


@pytest.mark.parametrize(("spec", "text"), [
    (scoped("Odd"), "spec.scopes: Invalid value: [\"Odd\"]: unsupported scope"),
    ({"hard": {}, "scopes": ["BestEffort", "NotBestEffort"]}, "conflicting scopes"),
    ({"hard": {}, "scopes": ["Terminating", "NotTerminating"]}, "conflicting scopes"),
    (selecting(scope("Terminating"), scope("NotTerminating")),
     "spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"),
    (selecting(scope("Odd")),
     'spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope'),
    (selecting(scope("BestEffort", "In", "x")), "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating"),
    (selecting(scope("CrossNamespacePodAffinity", "DoesNotExist")), "must be 'Exist' when scope is any of"),
    (selecting(scope("PriorityClass", "In")), "spec.scopeSelector.matchExpressions.values: Required value: must be at "
     "least one value when `operator` is 'In' or 'NotIn' for scope selector"),
    (selecting(scope("PriorityClass", "NotIn")), "must be at least one value"),
    (selecting(scope("PriorityClass", "Exists", "x")), "must be no value when `operator` is 'Exist' or 'DoesNotExist'"),
    (selecting(scope("PriorityClass", "DoesNotExist", "x")), "must be no value when"),
    (selecting(scope("PriorityClass", "Near", "x")),
     'spec.scopeSelector.matchExpressions.operator: Invalid value: "Near": not a valid selector operator'),
])
def test_scopes_that_make_no_sense_are_refused(spec: Object, text: str) -> None:
    [found] = problems(spec)
    assert text in found


@pytest.mark.parametrize("rule", [
    scope("PriorityClass"), scope("PriorityClass", "DoesNotExist"), scope("PriorityClass", "In", "x"),
    scope("PriorityClass", "NotIn", "x", "y"),
])
def test_classes_may_be_selected_in_four_ways(rule: Object) -> None:
    assert not problems(selecting(rule, pods="1"))


def test_amounts_of_the_status_are_amounts_too() -> None:
    assert problems({"hard": {}}, used={"pods": "-1"}) == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    ]
    assert problems({"hard": {}}, hard={"odd": "1"}) == [
        'status.hard[odd]: Invalid value: "odd": must be a standard resource for quota'
    ]
