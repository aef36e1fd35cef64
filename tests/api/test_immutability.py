"""What stays as it was created, and which names objects may have."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from sampan.api.kind import Kind
from sampan.api.kinds import KINDS, kind_for
from sampan.api.resources import (
    CLUSTER_ROLES,
    CRON_JOBS,
    IP_ADDRESSES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
)
from sampan.apimachinery.names import dns1123_subdomain
from sampan.apimachinery.object import dig

CASES = [
    ("apps/v1", "StatefulSet", "{serviceName: a}", "{serviceName: b}",
     "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
     "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
     "forbidden"),
    ("v1", "PersistentVolumeClaim", "{accessModes: [ReadWriteOnce]}", "{accessModes: [ReadOnlyMany]}",
     "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
     "bound claims"),
    ("v1", "PersistentVolume", "{hostPath: {path: /a}}", "{hostPath: {path: /b}}",
     "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"),
    ("storage.k8s.io/v1", "VolumeAttachment", "{nodeName: a}", "{nodeName: b}", "field is immutable"),
    ("networking.k8s.io/v1", "IngressClass", "{controller: a.io/x}", "{controller: a.io/y}",
     'spec.controller: Invalid value: "a.io/y": field is immutable'),
    ("v1", "Node", "{podCIDRs: [10.0.0.0/24]}", "{podCIDRs: [10.0.1.0/24]}",
     'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'),
]


def _kind(api_version: str, kind: str) -> Kind:
    return next(entry for entry in KINDS if (entry.resource.api_version, entry.resource.kind) == (api_version, kind))


def _object(kind: Kind, spec: str) -> Any:
    obj = {"metadata": {"name": "x"}, "spec": yaml.safe_load(spec)}
    kind.default(obj)
    return obj


@pytest.mark.parametrize(("api_version", "kind", "before", "after", "expected"), CASES, ids=[case[1] for case in CASES])
def test_a_spec_that_is_settled(api_version: str, kind: str, before: str, after: str, expected: str) -> None:
    found = _kind(api_version, kind)
    old, new = _object(found, before), _object(found, after)
    assert found.validate_update(copy.deepcopy(old), old) == []
    texts = [str(error) for error in found.validate_update(new, old)]
    assert len(texts) == 1
    assert expected in texts[0]


@pytest.mark.parametrize(("api_version", "kind", "key", "before", "after", "expected"), [
    ("storage.k8s.io/v1", "StorageClass", "provisioner", "a", "b",
     "provisioner: Forbidden: updates to provisioner are forbidden."),
    ("scheduling.k8s.io/v1", "PriorityClass", "value", 1, 2, "value: Forbidden: may not be changed in an update."),
    ("node.k8s.io/v1", "RuntimeClass", "handler", "a", "b", 'handler: Invalid value: "b": field is immutable'),
    ("discovery.k8s.io/v1", "EndpointSlice", "addressType", "IPv4", "IPv6",
     'addressType: Invalid value: "IPv6": field is immutable'),
    ("apps/v1", "ControllerRevision", "data", {"a": 1}, {"a": 2}, 'data: Invalid value: {"a":2}: field is immutable'),
    ("v1", "Secret", "type", "Opaque", "x", 'type: Invalid value: "x": field is immutable'),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef", {"name": "a"}, {"name": "b"},
     'roleRef: Invalid value: {"name":"b"}: cannot change roleRef'),
])
def test_a_field_that_is_settled(
    api_version: str, kind: str, key: str, before: Any, after: Any, expected: str
) -> None:
    found = _kind(api_version, kind)
    assert [str(error) for error in found.validate_update({key: after}, {key: before})] == [expected]


def test_a_bound_claim_may_ask_for_more_and_not_for_less() -> None:
    kind = kind_for(PERSISTENT_VOLUME_CLAIMS)
    assert kind is not None
    old = _object(kind, "{volumeName: pv, resources: {requests: {storage: 2Gi}}}")
    old["status"] = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    more, less = copy.deepcopy(old), copy.deepcopy(old)
    more["spec"]["resources"]["requests"]["storage"] = "3Gi"
    less["spec"]["resources"]["requests"]["storage"] = "1Gi"
    assert kind.validate_update(more, old) == []
    assert "field can not be less than status.capacity" in str(kind.validate_update(less, old)[0])
    assert dig(less, "spec", "volumeName") == "pv"


@pytest.mark.parametrize(("resource", "name", "good"), [
    (PODS, "a.b", True), (PODS, "A", False), (NAMESPACES, "a.b", False), (SERVICES, "1web", True),
    (SERVICES, "a.b", False), (CLUSTER_ROLES, "system:node", True), (CLUSTER_ROLES, "a/b", False),
    (CRON_JOBS, "a" * 52, True), (CRON_JOBS, "a" * 53, False), (IP_ADDRESSES, "10.0.0.1", True),
    (IP_ADDRESSES, "2001:DB8::1", False),
])
def test_names(resource: Any, name: str, good: bool) -> None:
    kind = kind_for(resource)
    assert kind is not None
    assert (not (kind.valid_name or dns1123_subdomain)(name)) is good
