"""The kinds about the API server itself, and about devices: what upstream refuses, and how they print."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from sampan.api.apiregistration.apiservice import API_SERVICE
from sampan.api.flowcontrol.flowschema import FLOW_SCHEMA
from sampan.api.flowcontrol.mandatory import SPECS
from sampan.api.flowcontrol.prioritylevelconfiguration import PRIORITY_LEVEL_CONFIGURATION, entropy_bits
from sampan.api.kind import Kind
from sampan.api.resource.resourceclaim import RESOURCE_CLAIM
from sampan.api.resource.resourceslice import RESOURCE_SLICE
from sampan.apimachinery.object import Object

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def problems(kind: Kind, name: str, spec: Any) -> list[str]:
    obj: Object = {"metadata": {"name": name}, "spec": copy.deepcopy(spec)}
    kind.default(obj)
    kind.prepare_create(obj)
    return [str(error) for error in kind.validate(obj)]


def row(kind: Kind, obj: Object) -> list[Any]:
    return [column.cell(obj, NOW) for column in kind.columns]


LOCAL = {"group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15}
REMOTE = {**LOCAL, "service": {"namespace": "ns", "name": "metrics"}}


@pytest.mark.parametrize(("name", "spec", "refused"), [
    ("v1.apps", LOCAL, ""), ("v1.apps", REMOTE, ""), ("v1.apps", {**LOCAL, "caBundle": "YQ=="}, "spec.caBundle"),
    ("apps", LOCAL, "metadata.name"), ("v1.apps", {**LOCAL, "versionPriority": 0}, "spec.versionPriority"),
    ("v1.apps", {**LOCAL, "groupPriorityMinimum": 20001}, "must be positive and less than 20000"),
    ("v1.apps", {**REMOTE, "service": {"name": "metrics"}}, "spec.service.namespace: Required value"),
    ("v1.apps", {**REMOTE, "caBundle": "YQ==", "insecureSkipTLSVerify": True}, "may not be true if caBundle"),
])
def test_api_services(name: str, spec: Object, refused: str) -> None:
    found = problems(API_SERVICE, name, spec)
    assert refused in "\n".join(found)
    assert bool(found) is bool(refused)


def test_an_api_service_prints_who_answers_and_whether() -> None:
    obj: Object = {"metadata": {"name": "v1.apps"}, "spec": copy.deepcopy(LOCAL)}
    API_SERVICE.prepare_create(obj)
    assert row(API_SERVICE, obj)[:3] == ["v1.apps", "Local", "True"]
    remote: Object = {"metadata": {"name": "v1.x"}, "spec": REMOTE, "status": {"conditions": [
        {"type": "Available", "status": "False", "reason": "MissingEndpoints"},
    ]}}
    assert row(API_SERVICE, remote)[1:3] == ["ns/metrics", "False (MissingEndpoints)"]


RULE = {
    "subjects": [{"kind": "Group", "group": {"name": "devs"}}],
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}],
}
SCHEMA = {"priorityLevelConfiguration": {"name": "x"}, "rules": [RULE]}


@pytest.mark.parametrize(("change", "refused"), [
    ({}, ""), ({"matchingPrecedence": 1}, "only the schema named 'exempt'"), ({"matchingPrecedence": 10001}, "10000"),
    ({"priorityLevelConfiguration": {"name": ""}}, "must reference a priority level"),
    ({"distinguisherMethod": {"type": "ByAge"}}, "Unsupported value"),
    ({"rules": [{**RULE, "subjects": []}]}, "subjects must contain at least one value"),
    ({"rules": [{"subjects": RULE["subjects"]}]}, "at least one of resourceRules and nonResourceRules"),
    ({"rules": [{**RULE, "subjects": [{"kind": "User"}]}]}, "user is required when subject kind is 'User'"),
    ({"rules": [{**RULE, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["x"]}]}]}, "start with slash"),
])
def test_flow_schemas(change: Object, refused: str) -> None:
    found = problems(FLOW_SCHEMA, "x", {**SCHEMA, **change})
    assert refused in "\n".join(found)
    assert bool(found) is bool(refused)


def limited(**queuing: int) -> Object:
    return {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}


@pytest.mark.parametrize(("spec", "refused"), [
    (limited(), ""), ({"type": "Exempt"}, ""), ({"type": "Other"}, "Unsupported value"),
    ({"type": "Limited"}, "must not be empty when type is Limited"), (limited(handSize=9, queues=8), "greater than"),
    (limited(handSize=10, queues=1000), "entropy bits"), (limited(queues=10_000_001), "10000000"),
    ({"type": "Exempt", "limited": {}}, "must be nil if the type is not Limited"),
])
def test_priority_levels(spec: Object, refused: str) -> None:
    found = problems(PRIORITY_LEVEL_CONFIGURATION, "x", spec)
    assert refused in "\n".join(found)
    assert bool(found) is bool(refused)


def test_mandatory_objects_are_what_they_are() -> None:
    for (kind, name), spec in SPECS.items():
        owner = FLOW_SCHEMA if kind == "FlowSchema" else PRIORITY_LEVEL_CONFIGURATION
        assert problems(owner, name, spec) == []
    changed = {**SPECS["FlowSchema", "catch-all"], "matchingPrecedence": 9000}
    assert "must equal the fixed value" in problems(FLOW_SCHEMA, "catch-all", changed)[0]
    assert entropy_bits(64, 8) == 48


def test_a_claims_state_says_how_far_it_is() -> None:
    obj: Object = {"metadata": {"name": "c"}, "status": {}}
    assert row(RESOURCE_CLAIM, obj)[1] == "pending"
    obj["status"] = {"allocation": {}, "reservedFor": [{}]}
    assert row(RESOURCE_CLAIM, obj)[1] == "allocated,reserved"


def test_devices_are_asked_for_and_published() -> None:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
    obj: Object = {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [request]}}}
    RESOURCE_CLAIM.default(obj)
    assert request["exactly"] == {"deviceClassName": "gpu.example.com", "allocationMode": "ExactCount", "count": 1}
    assert problems(RESOURCE_CLAIM, "c", {"devices": {"requests": [{"name": "gpu"}]}})
    published = {"driver": "d.io", "nodeName": "n", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}}
    assert problems(RESOURCE_SLICE, "s", published) == []
    assert "exactly one of `nodeName`" in problems(RESOURCE_SLICE, "s", {**published, "allNodes": True})[0]
